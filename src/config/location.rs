//! Where a value came from, and what is wrong with it, in words for an operator.

use std::fmt;
use std::sync::Arc;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the `config.toml` inside the binary.
    BuiltIn {
        /// Its key path.
        key: String,
    },
    /// In the operator's file.
    File {
        /// The file's name as the operator gave it.
        name: Arc<str>,
        /// The line, counted from 1.
        line: usize,
        /// The key path, as far as it is known.
        key: Option<String>,
    },
    /// In an environment variable.
    Environment {
        /// The variable's name.
        variable: String,
    },
    /// In a flag.
    Flag {
        /// The key path, which is the flag's name.
        key: String,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn { key } => write!(out, "default of {key}"),
            Self::File {
                name,
                line,
                key: Some(key),
            } => write!(out, "{name}:{line}: {key}"),
            Self::File {
                name,
                line,
                key: None,
            } => write!(out, "{name}:{line}"),
            Self::Environment { variable } => write!(out, "environment {variable}"),
            Self::Flag { key } => write!(out, "--{key}"),
        }
    }
}

/// Something that keeps the server from starting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {what}")]
pub struct Mistake {
    /// Where it is.
    pub location: Location,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// Something odd that the server starts in spite of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where it is.
    pub location: Location,
    /// What is odd about it.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.location, self.what)
    }
}
