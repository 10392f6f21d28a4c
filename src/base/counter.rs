//! Events per minute over a sliding window of sixty one-second buckets, and the total since the process began. Reading
//! never changes the counter.

use super::time::Time;

const BUCKETS: usize = 60;
const BUCKETS_SECS: u64 = BUCKETS as u64;

#[derive(Clone, Debug)]
pub struct MinuteCounter {
    count_by_second: [u64; BUCKETS],
    newest_second: u64,
    total: u64,
}

impl Default for MinuteCounter {
    fn default() -> Self {
        Self {
            count_by_second: [0; BUCKETS],
            newest_second: 0,
            total: 0,
        }
    }
}

impl MinuteCounter {
    pub fn record(&mut self, now: Time, count: u64) {
        self.empty_buckets_until(second_of(now));
        self.count_by_second[bucket_of(self.newest_second)] += count;
        self.total += count;
    }

    /// Over the last sixty seconds, the running one included.
    pub fn per_minute(&self, now: Time) -> u64 {
        let after_newest = second_of(now).max(self.newest_second) + 1;
        let oldest = after_newest.saturating_sub(BUCKETS_SECS);
        (oldest..=self.newest_second)
            .map(|second| self.count_by_second[bucket_of(second)])
            .sum()
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    fn empty_buckets_until(&mut self, second: u64) {
        let entered = second.saturating_sub(self.newest_second).min(BUCKETS_SECS);
        for age in 0..entered {
            self.count_by_second[bucket_of(second - age)] = 0;
        }
        self.newest_second = self.newest_second.max(second);
    }
}

fn second_of(time: Time) -> u64 {
    time.as_millis() / 1_000
}

fn bucket_of(second: u64) -> usize {
    (second % BUCKETS_SECS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forgets_after_sixty_seconds_but_not_in_total() {
        let mut counter = MinuteCounter::default();
        counter.record(Time::from_millis(500), 3);
        counter.record(Time::from_millis(30_000), 4);
        assert_eq!(counter.per_minute(Time::from_millis(59_999)), 7);
        assert_eq!(counter.per_minute(Time::from_millis(60_000)), 4);
        assert_eq!(counter.per_minute(Time::from_millis(90_000)), 0);
        assert_eq!(counter.total(), 7);
    }

    proptest! {
        #[test]
        fn agrees_with_a_list_of_all_events(steps in prop::collection::vec((0u64..90_000, 0u64..5), 0..80)) {
            let mut counter = MinuteCounter::default();
            let mut events = Vec::new();
            let mut now_ms = 0;
            for (wait_ms, count) in steps {
                now_ms += wait_ms;
                let now = Time::from_millis(now_ms);
                counter.record(now, count);
                events.push((second_of(now), count));
                for later_ms in [now_ms, now_ms + 20_000] {
                    let second = later_ms / 1_000;
                    let expected: u64 = events.iter().filter(|(at, _)| at + 60 > second).map(|(_, count)| count).sum();
                    prop_assert_eq!(counter.per_minute(Time::from_millis(later_ms)), expected);
                }
            }
        }
    }
}
