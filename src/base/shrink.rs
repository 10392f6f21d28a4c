//! When a table that empties often should give its memory back: late, for the next crowd may be near.

/// How often a table empties between two looks at what it needed.
const EMPTIES: u8 = 64;

/// The memory of how full a table has been.
#[derive(Debug, Default)]
pub struct LateShrink {
    peak: u32,
    empties: u8,
}

impl LateShrink {
    /// Records how many entries the table holds.
    pub fn record(&mut self, len: usize) {
        self.peak = self.peak.max(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// The table is empty: whether it should be given back, since `capacity` is beyond `kept` and lately three quarters of
    /// it were never used.
    pub fn is_due(&mut self, capacity: usize, kept: usize) -> bool {
        self.empties += 1;
        if self.empties < EMPTIES {
            return false;
        }
        let peak = std::mem::take(self).peak as usize;
        capacity > kept && peak < capacity / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_was_used_goes() {
        let mut shrink = LateShrink::default();
        shrink.record(1000);
        assert!(
            (0..EMPTIES).all(|_| !shrink.is_due(2000, 100)),
            "used lately"
        );
        let due = (0..EMPTIES).filter(|_| shrink.is_due(2000, 100)).count();
        assert_eq!(due, 1, "not used since");
        assert!(
            (0..EMPTIES).all(|_| !shrink.is_due(100, 100)),
            "small enough to keep"
        );
    }
}
