//! A number of the configuration that is set or "auto", in which case it follows from the rest.

use serde::{Deserialize, Serialize};

pub const WORD: &str = "auto";

/// A number that is set or "auto".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum Auto {
    /// "auto": it follows from the rest of the configuration.
    #[default]
    Derived,
    /// As it was set.
    Number(u32),
}

impl Auto {
    pub fn or(self, derived: impl FnOnce() -> usize) -> usize {
        match self {
            Self::Derived => derived(),
            Self::Number(number) => number as usize,
        }
    }
}

/// How it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or \"auto\"")]
enum Written {
    Number(u32),
    Derived(Word),
}

#[derive(Serialize, Deserialize)]
enum Word {
    #[serde(rename = "auto")]
    Auto,
}

impl From<Auto> for Written {
    fn from(auto: Auto) -> Self {
        match auto {
            Auto::Derived => Self::Derived(Word::Auto),
            Auto::Number(number) => Self::Number(number),
        }
    }
}

impl From<Written> for Auto {
    fn from(written: Written) -> Self {
        match written {
            Written::Derived(Word::Auto) => Self::Derived,
            Written::Number(number) => Self::Number(number),
        }
    }
}
