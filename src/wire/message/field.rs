//! A field of a merge patch (RFC 7396): absent, cleared with `null`, or set.

use serde::{Deserialize, Deserializer};

#[derive(Debug, Clone, PartialEq, Default)]
pub enum Field<T> {
    /// The field stays as it is.
    #[default]
    Absent,
    /// `null`: the field goes.
    Clear,
    Set(T),
}

impl<T> Field<T> {
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether the patch changes a field with this value.
    pub fn changes(&self, present: &Option<T>) -> bool
    where
        T: PartialEq,
    {
        match self {
            Self::Absent => false,
            Self::Clear => present.is_some(),
            Self::Set(value) => present.as_ref() != Some(value),
        }
    }

    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Absent | Self::Clear => None,
        }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Clear => Field::Clear,
            Self::Set(value) => Field::Set(change(value)),
        }
    }

    pub fn into_value(self) -> Option<T> {
        self.into_change().flatten()
    }

    /// The field's new value (`None`: cleared), or `None` when the patch leaves it alone.
    pub fn into_change(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<T>::deserialize(deserializer)? {
            None => Self::Clear,
            Some(value) => Self::Set(value),
        })
    }
}
