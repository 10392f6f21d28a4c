//! The `Date` field (RFC 9110 sections 5.6.7 and 6.6.1), from a time that is passed in.

use std::time::{Duration, UNIX_EPOCH};

/// The last second of the year 9999, where the format ends.
const LAST_SECOND: u64 = 253_402_300_799;

const DATE_BYTES: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    text: [u8; DATE_BYTES],
}

impl Date {
    pub fn at(wall_ms: u64) -> Self {
        let second = (wall_ms / 1000).min(LAST_SECOND);
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        let text = text
            .as_bytes()
            .try_into()
            .expect("an IMF-fixdate of a four-digit year has one length");
        Self { text }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

/// Formats a date once a second instead of once a response.
#[derive(Debug, Clone)]
pub struct DateCache {
    second: u64,
    date: Date,
}

impl DateCache {
    pub fn new() -> Self {
        Self {
            second: 0,
            date: Date::at(0),
        }
    }

    pub fn at(&mut self, wall_ms: u64) -> Date {
        let second = wall_ms / 1000;
        if second != self.second {
            *self = Self {
                second,
                date: Date::at(wall_ms),
            };
        }
        self.date
    }
}

impl Default for DateCache {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_from_the_epoch_to_the_end_of_the_format() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        let mut cache = DateCache::new();
        for (wall_ms, text) in cases {
            assert_eq!(Date::at(wall_ms).as_bytes(), text.as_bytes());
            assert_eq!(cache.at(wall_ms), Date::at(wall_ms));
            assert_eq!(cache.at(wall_ms), Date::at(wall_ms));
        }
    }
}
