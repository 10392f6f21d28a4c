//! How long a task usually takes between two advances: a median weighted by time, from a histogram of eight classes of length.
//!
//! Why not the plain median: for a task that does twenty items within two seconds and then waits for half a minute it is a tenth of a
//! second, and says nothing of the pace. Weighted by time the median is the gap in which half of the time is spent: the same for steady
//! work, and right for bursts. Why not a mean: it lies between the two and is no gap that the task ever takes. An advance costs two
//! additions, and memory is the same for any number of gaps. Knows lengths only, neither moments nor steps.

use serde::{Deserialize, Serialize};

/// Each class begins at four times the length where the one before does; the last begins at about 18 minutes and has no end.
const CLASSES: usize = 8;
/// The first class holds gaps below 2^18 microseconds, about a quarter of a second.
const FIRST_CLASS_BITS: u32 = 18;

/// Work goes in bursts when the usual gap is more than this many times the mean; for random arrivals it is 1.7 times.
const BURSTY: f32 = 3.0;
/// The same factor once a rest is known to come again.
const BURSTY_WITH_RESTS: f32 = 1.5;

/// The time spent in gaps, and their number, by class of length. Stored as the classes that are not empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(u8, f32, f32)>", into = "Vec<(u8, f32, f32)>")]
pub(in crate::hub) struct Gaps([Class; CLASSES]);

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Class {
    // Floats, because halving is how gaps are forgotten; of 32 bits, because every measured task has eight classes.
    time_ms: f32,
    count: f32,
}

impl Gaps {
    /// Adds a gap.
    pub(in crate::hub) fn add(&mut self, gap_us: i64) {
        let class = self.class(gap_us);
        class.time_ms += gap_us as f32 / 1000.0;
        class.count += 1.0;
    }

    /// Takes out a gap that was added and has not been halved since.
    pub(in crate::hub) fn remove(&mut self, gap_us: i64) {
        let class = self.class(gap_us);
        class.time_ms -= gap_us as f32 / 1000.0;
        class.count -= 1.0;
        // It may have been halved after all: then what is left is no gap, and a negative time would spoil the median.
        if class.count < 0.5 || class.time_ms <= 0.0 {
            *class = Class::default();
        }
    }

    fn class(&mut self, gap_us: i64) -> &mut Class {
        let length = gap_us.unsigned_abs() >> FIRST_CLASS_BITS;
        let class = (u64::BITS - length.leading_zeros()).div_ceil(2) as usize;
        &mut self.0[class.min(CLASSES - 1)]
    }

    /// The usual gap in microseconds: the mean of the class in which half of the time is reached. `None` before the first gap.
    pub(in crate::hub) fn usual_us(&self) -> Option<i64> {
        let half_ms = self.total_ms() / 2.0;
        let mut longer_ms = 0.0;
        // From the longest down: on a tie the longer gap is the usual one, so that a task is called late later rather than sooner.
        let mut classes = self.0.iter().rev().filter(|class| class.count > 0.0);
        let usual = classes.find(|class| {
            longer_ms += class.time_ms;
            longer_ms >= half_ms
        })?;
        Some((f64::from(usual.time_ms / usual.count) * 1000.0) as i64)
    }

    /// Whether the work goes in bursts: most gaps are much shorter than the usual one, or than `rest_us`, a rest known to come again.
    pub(in crate::hub) fn are_bursty(&self, rest_us: Option<i64>) -> bool {
        let (length_us, times) = match (self.usual_us(), rest_us) {
            (usual_us, Some(rest_us)) => (rest_us.max(usual_us.unwrap_or(0)), BURSTY_WITH_RESTS),
            (usual_us, None) => (usual_us.unwrap_or(0), BURSTY),
        };
        let count: f32 = self.0.iter().map(|class| class.count).sum();
        self.total_ms() * times < length_us as f32 / 1000.0 * count
    }

    /// The usual gap within a burst: the mean of the classes whose gaps are shorter than the mean of all.
    pub(in crate::hub) fn within_bursts_us(&self) -> f64 {
        let count: f32 = self.0.iter().map(|class| class.count).sum();
        let mean_ms = self.total_ms() / count;
        let short = |class: &&Class| class.time_ms < mean_ms * class.count;
        let (mut time_ms, mut count) = (0.0, 0.0);
        for class in self.0.iter().filter(short) {
            time_ms += class.time_ms;
            count += class.count;
        }
        f64::from(time_ms) * 1000.0 / f64::from(count).max(1.0)
    }

    /// Halves the weight of the past when it covers more than `horizon_us`, so that a new pace becomes the usual one.
    pub(in crate::hub) fn forget(&mut self, horizon_us: i64) {
        if self.total_ms() * 1000.0 > horizon_us as f32 {
            for class in &mut self.0 {
                class.time_ms /= 2.0;
                class.count /= 2.0;
            }
        }
    }

    fn total_ms(&self) -> f32 {
        self.0.iter().map(|class| class.time_ms).sum()
    }
}

impl From<Vec<(u8, f32, f32)>> for Gaps {
    fn from(known: Vec<(u8, f32, f32)>) -> Self {
        let mut gaps = Self::default();
        for (class, time_ms, count) in known {
            if let Some(class) = gaps.0.get_mut(usize::from(class)) {
                *class = Class { time_ms, count };
            }
        }
        gaps
    }
}

impl From<Gaps> for Vec<(u8, f32, f32)> {
    fn from(gaps: Gaps) -> Self {
        let classes = (0..).zip(gaps.0);
        classes
            .filter(|(_, class)| class.count > 0.0)
            .map(|(index, class)| (index, class.time_ms, class.count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual_ms(gaps_ms: impl IntoIterator<Item = i64>) -> Option<i64> {
        let mut gaps = Gaps::default();
        for gap_ms in gaps_ms {
            gaps.add(gap_ms * 1000);
        }
        gaps.usual_us().map(|gap_us| gap_us / 1000)
    }

    #[test]
    fn steady_gaps_are_usual_whatever_their_length() {
        assert_eq!(usual_ms([]), None);
        for gap_ms in [1, 100, 1_000, 15_000, 65_000, 3_600_000, 864_000_000] {
            let usual = usual_ms([gap_ms; 20]).expect("a gap");
            assert!((usual - gap_ms).abs() <= gap_ms / 1000, "{gap_ms}: {usual}");
        }
    }

    #[test]
    fn the_rest_between_bursts_is_usual_not_the_gap_within_them() {
        let bursts = (0..100).map(|item| if item % 20 == 0 { 28_000 } else { 100 });
        assert_eq!(usual_ms(bursts), Some(28_000));
        let mut gaps = Gaps::default();
        (0..20).for_each(|item| gaps.add(1_000_000 + 100_000 * (item % 9)));
        let are_bursty = |gaps: &Gaps| gaps.are_bursty(None);
        assert!(!are_bursty(&gaps), "irregular, but no bursts");
        (0..3).for_each(|_| gaps.add(60_000_000));
        assert!(are_bursty(&gaps));
    }

    #[test]
    fn one_long_gap_is_outweighed_once_as_much_time_has_passed() {
        let gaps = std::iter::once(50_000).chain([1_000; 49]);
        assert_eq!(usual_ms(gaps), Some(50_000));
        let gaps = std::iter::once(50_000).chain([1_000; 51]);
        assert_eq!(usual_ms(gaps), Some(1_000));
    }

    #[test]
    fn a_new_pace_is_usual_soon_after_the_old_is_forgotten() {
        let mut gaps = Gaps::default();
        for _ in 0..1_000 {
            gaps.add(1_000_000);
            gaps.forget(16_000_000);
        }
        for _ in 0..2 {
            gaps.add(10_000_000);
        }
        assert_eq!(gaps.usual_us(), Some(10_000_000));
    }
}
