//! A number of the configuration that is set or "auto", in which case it follows from the rest.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub const WORD: &str = "auto";

/// A number that is set or "auto".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
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

impl Serialize for Auto {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Derived => serializer.serialize_str(WORD),
            Self::Number(number) => serializer.serialize_u32(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Auto {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Found {
            Number(u32),
            Text(String),
        }
        match Found::deserialize(deserializer)? {
            Found::Number(number) => Ok(Self::Number(number)),
            Found::Text(text) if text == WORD => Ok(Self::Derived),
            Found::Text(text) => Err(de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"a number or \"auto\"",
            )),
        }
    }
}
