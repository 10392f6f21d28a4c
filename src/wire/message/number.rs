//! Numbers as producers spell them: whole numbers in any JSON form (`5`, `5.0`, `5e0`), rounding errors just beyond a
//! bound, and times in milliseconds, not seconds.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;

/// 2^53 - 1: up to here a double represents every whole number, and JavaScript has no other numbers.
pub const MAX_COUNT: u64 = (1 << 53) - 1;
/// The year 2000.
const FIRST_MS: u64 = 946_684_800_000;
/// The year 2200.
const LAST_MS: u64 = 7_258_118_400_000;
/// How far a sum of floats may exceed a bound.
const ROUNDING: f64 = 1e-6;

/// A whole number up to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole<const MAX: u64 = { u64::MAX }>(pub u64);

pub type Count = Whole<MAX_COUNT>;

/// Milliseconds since 1970, in the years 2000 to 2200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub u64);

/// 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(try_from = "f64")]
pub struct Percent(pub f64);

/// 0 or more.
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(try_from = "f64")]
pub struct Amount(pub f64);

impl TryFrom<f64> for Percent {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if (-ROUNDING..=100.0 + ROUNDING).contains(&value) {
            Ok(Self(clamped(value).min(100.0)))
        } else {
            Err(format!("{value} is out of range; expected 0 to 100"))
        }
    }
}

impl TryFrom<f64> for Amount {
    type Error = String;
    fn try_from(value: f64) -> Result<Self, String> {
        if value >= -ROUNDING {
            Ok(Self(clamped(value)))
        } else {
            Err(format!("{value} is negative; expected 0 or more"))
        }
    }
}

/// Turns everything up to 0, including -0, into 0.
fn clamped(value: f64) -> f64 {
    if value > 0.0 { value } else { 0.0 }
}

fn whole(value: f64) -> Option<u64> {
    // From here on every double is whole, and the next one exceeds `u64`.
    const END: f64 = 18_446_744_073_709_551_616.0;
    let is_whole = value.fract() == 0.0 && (0.0..END).contains(&value);
    is_whole.then_some(value as u64)
}

impl<'de, const MAX: u64> Deserialize<'de> for Whole<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(WholeVisitor(MAX)).map(Self)
    }
}

/// Accepts whole numbers up to its content.
struct WholeVisitor(u64);

impl Visitor<'_> for WholeVisitor {
    type Value = u64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            u64::MAX => out.write_str("a whole number of at least 0"),
            most => write!(out, "a whole number from 0 to {most}"),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        match value <= self.0 {
            true => Ok(value),
            false => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        match whole(value).filter(|value| *value <= self.0) {
            Some(value) => Ok(value),
            None if value.fract() == 0.0 => Err(E::invalid_value(Unexpected::Float(value), &self)),
            None => Err(E::invalid_type(Unexpected::Float(value), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(MomentVisitor).map(Self)
    }
}

struct MomentVisitor;

impl Visitor<'_> for MomentVisitor {
    type Value = u64;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("milliseconds since 1970")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        match (FIRST_MS..=LAST_MS).contains(&value) {
            true => Ok(value),
            false => Err(E::custom(no_moment(value as f64))),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        Err(E::custom(no_moment(value as f64)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        // Clocks that count in floats have fractions of a millisecond, which nobody needs.
        match whole(value.round()).filter(|moment| (FIRST_MS..=LAST_MS).contains(moment)) {
            Some(moment) => Ok(moment),
            None => Err(E::custom(no_moment(value))),
        }
    }
}

/// Why a number is not a time, with the unit in which it would be one.
fn no_moment(value: f64) -> String {
    let is_in = |milliseconds: f64| (FIRST_MS as f64..=LAST_MS as f64).contains(&milliseconds);
    let units = [
        ("seconds", value * 1e3),
        ("microseconds", value / 1e3),
        ("nanoseconds", value / 1e6),
    ];
    let unit = units.iter().find(|(_, milliseconds)| is_in(*milliseconds));
    match unit {
        Some((unit, milliseconds)) => format!(
            "{value} looks like {unit}; expected milliseconds since 1970, as {}",
            milliseconds.round()
        ),
        None => format!(
            "{value} is not in the years 2000 to 2200; expected milliseconds since 1970, {FIRST_MS} to {LAST_MS}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn whole_numbers_in_every_spelling() {
        for text in ["5", "5.0", "5e0", "0.5e1", "50E-1"] {
            assert_eq!(read(text), Ok(Whole::<{ u64::MAX }>(5)), "{text}");
            assert_eq!(read(text), Ok(Whole::<MAX_COUNT>(5)), "{text}");
        }
        assert_eq!(read("-0.0"), Ok(Whole::<MAX_COUNT>(0)));
        assert_eq!(
            read("18446744073709551615"),
            Ok(Whole::<{ u64::MAX }>(u64::MAX))
        );
        assert_eq!(read("9007199254740991"), Ok(Whole::<MAX_COUNT>(MAX_COUNT)));
        for text in [
            "-1", "1.5", "1e-1", "1e20", "-1e3", "\"5\"", "true", "null", "[]",
        ] {
            assert!(read::<Whole>(text).is_err(), "{text}");
            let reason = read::<Count>(text).unwrap_err();
            assert!(reason.contains("from 0 to 9007199254740991"), "{reason}");
        }
        assert!(read::<Count>("9007199254740992").is_err());
    }

    #[test]
    fn bounds_forgive_rounding_and_nothing_more() {
        for (text, value) in [
            ("-1e-6", 0.0),
            ("100.000001", 100.0),
            ("-0.0", 0.0),
            ("50.5", 50.5),
        ] {
            let Percent(read) = read(text).unwrap();
            assert_eq!(read.to_bits(), f64::to_bits(value), "{text}");
        }
        for text in ["-2e-6", "100.000002"] {
            assert!(read::<Percent>(text).is_err(), "{text}");
        }
        let Amount(zero) = read("-1e-6").unwrap();
        assert_eq!(zero.to_bits(), 0);
        assert!(read::<Amount>("-2e-6").is_err());
    }
}
