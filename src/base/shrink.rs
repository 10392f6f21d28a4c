//! When a table that often runs empty should give its memory back: not at once, since the next crowd may be near.

/// How often a table runs empty between two decisions.
const EMPTIES: u8 = 64;

/// The fullest that a table has been since the last decision.
#[derive(Debug, Default)]
pub struct LateShrink {
    peak: u32,
    empties: u8,
}

impl LateShrink {
    pub fn record(&mut self, len: usize) {
        self.peak = self.peak.max(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// Call when the table is empty. `true`: shrink it, because `capacity` exceeds `kept` and three quarters of it went
    /// unused lately.
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
