//! Positions in a room's log, as text `epoch:offset` (contract section 5), and the value of `since`. The epoch is hexadecimal and
//! opaque to clients: they send back what they were given.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// An offset within an epoch. Offset 0 is before the first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Which log: a room that was removed and created again has another epoch.
    pub epoch: u64,
    /// The newest entry at or before this position.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}:{}", self.epoch, self.offset)
    }
}

/// The value of `since`: where a reader wants a log to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Start,
    /// After a position that an acknowledgement or a publication gave the reader.
    After(Position),
}

impl FromStr for Since {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        match text {
            "start" => Ok(Self::Start),
            _ => text.parse().map(Self::After),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position; expected `start`, or `epoch:offset` as an answer of this server gave it")]
pub struct NotAPosition;

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let (epoch, offset) = text.split_once(':').ok_or(NotAPosition)?;
        let epoch = u64::from_str_radix(epoch, 16).map_err(|_| NotAPosition)?;
        let offset = offset.parse().map_err(|_| NotAPosition)?;
        Ok(Self { epoch, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let position = Position {
            epoch: 0xabc123,
            offset: 42,
        };
        assert_eq!(position.to_string(), "abc123:42");
        assert_eq!("abc123:42".parse(), Ok(position));
        for wrong in ["", "abc", "x:y", "1:", ":1", "1:-1"] {
            assert_eq!(wrong.parse::<Position>(), Err(NotAPosition), "{wrong}");
            assert_eq!(wrong.parse::<Since>(), Err(NotAPosition), "{wrong}");
        }
    }

    #[test]
    fn since_is_a_word_or_a_position() {
        assert_eq!("start".parse(), Ok(Since::Start));
        let position = Position {
            epoch: 0xa,
            offset: 7,
        };
        assert_eq!("a:7".parse(), Ok(Since::After(position)));
        for wrong in ["Start", "start ", "starts", "start:0"] {
            assert_eq!(wrong.parse::<Since>(), Err(NotAPosition), "{wrong}");
        }
    }
}
