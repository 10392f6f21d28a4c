//! Keywords in JSON: a string from a fixed list; anything else is refused with the list.

use serde::de::{self, Deserializer, Visitor};
use std::fmt;

/// The word of each variant of an enum, in Rust and in JSON.
macro_rules! words {
    ($name:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl $name {
            pub(super) const ALL: &[Self] = &[$(Self::$variant),+];
            pub(super) const WORDS: &[&str] = &[$($word),+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            pub fn from_word(word: &str) -> Option<Self> {
                let index = Self::WORDS.iter().position(|known| *known == word)?;
                Self::ALL.get(index).copied()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::wire::message::keyword::word(deserializer, Self::WORDS, Self::from_word)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(super) use words;

/// `read` turns the string into a value; `expected` is the list for the error.
pub(super) fn word<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static [&'static str],
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(Word { expected, read })
}

struct Word<F> {
    expected: &'static [&'static str],
    read: F,
}

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Word<F> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&one_of(self.expected))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
        (self.read)(word).ok_or_else(|| E::unknown_variant(word, self.expected))
    }
}

/// The list as error messages show it.
pub(super) fn one_of(expected: &[&str]) -> String {
    format!("one of `{}`", expected.join("`, `"))
}
