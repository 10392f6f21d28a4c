//! Time as a plain number that is passed in: `Time` counts microseconds since the process (or the simulation) began,
//! `Span` is a distance between two times, `Now` is what the shell passes with every input. Nothing here reads a clock,
//! and arithmetic saturates instead of wrapping or panicking.

use core::ops::{Add, AddAssign, Mul, Sub};

const MICROS_PER_MILLI: u64 = 1_000;
const MICROS_PER_SEC: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic: for deadlines and measurements.
    pub at: Time,
    /// Wall clock, milliseconds since 1970: for what people read and for tokens that expire by the calendar.
    pub wall_ms: u64,
}

impl Now {
    /// The monotonic time of a dated event; a date in the future counts as now.
    pub fn time_of(self, wall_ms: u64) -> Time {
        let age_us = self.wall_ms.saturating_sub(wall_ms).saturating_mul(1000);
        Time::from_micros(self.at.as_micros().saturating_sub(age_us))
    }
}

impl Time {
    pub const ZERO: Self = Self(0);

    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(MICROS_PER_MILLI))
    }

    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / MICROS_PER_MILLI
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Zero if `earlier` is still to come.
    pub const fn saturating_since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Time {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for Time {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Span {
    pub const ZERO: Self = Self(0);

    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(MICROS_PER_MILLI))
    }

    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(MICROS_PER_SEC))
    }

    /// Rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / MICROS_PER_MILLI
    }

    pub const fn as_micros(self) -> u64 {
        self.0
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / MICROS_PER_SEC as f64
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Zero if `other` is longer.
impl Sub for Span {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<u32> for Span {
    type Output = Self;

    fn mul(self, factor: u32) -> Self {
        Self(self.0.saturating_mul(u64::from(factor)))
    }
}

impl From<Span> for core::time::Duration {
    fn from(span: Span) -> Self {
        Self::from_micros(span.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_between_units() {
        assert_eq!(Time::from_millis(3), Time::from_micros(3_000));
        assert_eq!(Time::from_micros(3_999).as_millis(), 3);
        assert_eq!(Span::from_secs(2).as_millis(), 2_000);
        assert_eq!(Span::from_millis(1_500).as_secs_f64(), 1.5);
        assert_eq!(
            core::time::Duration::from(Span::from_millis(7)),
            core::time::Duration::from_millis(7)
        );
        assert!(Span::ZERO.is_zero() && !Span::from_micros(1).is_zero());
    }

    #[test]
    fn arithmetic_saturates() {
        let end_of_time = Time::from_micros(u64::MAX);
        assert_eq!(end_of_time + Span::from_secs(1), end_of_time);
        assert_eq!(Time::from_millis(u64::MAX), end_of_time);
        assert_eq!(Span::from_secs(u64::MAX) * 2, Span::from_micros(u64::MAX));
        assert_eq!(Time::ZERO.saturating_since(end_of_time), Span::ZERO);
        assert_eq!(Span::from_secs(1) - Span::from_secs(2), Span::ZERO);
    }

    #[test]
    fn moves_forward_by_spans() {
        let mut at = Time::from_millis(10);
        at += Span::from_millis(5) + Span::from_micros(1);
        assert_eq!(at.as_micros(), 15_001);
        assert_eq!(
            at.saturating_since(Time::from_millis(10)),
            Span::from_micros(5_001)
        );
        assert_eq!(
            Span::from_millis(4).min(Span::from_millis(3) * 2),
            Span::from_millis(4)
        );
    }
}
