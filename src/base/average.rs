//! The mean of a latency since the process began: a count and a sum, no samples kept.

use super::time::Span;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Average {
    count: u64,
    sum_micros: u64,
}

impl Average {
    pub fn record(&mut self, sample: Span) {
        self.count += 1;
        self.sum_micros = self.sum_micros.saturating_add(sample.as_micros());
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// 0.0 before the first sample.
    pub fn mean_ms(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.sum_micros as f64 / self.count as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zero_before_the_first_sample_and_a_mean_after() {
        let mut average = Average::default();
        assert_eq!(average.mean_ms(), 0.0);
        average.record(Span::from_millis(1));
        average.record(Span::from_micros(2_500));
        assert_eq!(average.mean_ms(), 1.75);
        assert_eq!(average.count(), 2);
    }
}
