//! Reads the file and the environment that a configuration is made from.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::options::Options;
use crate::config::{self, Config, Mistake, Sources, Warning};

/// Read when no file is named, if it exists.
const USUAL_FILE: &str = "config.toml";

#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("{name}: cannot be read: {source}")]
    Unreadable { name: String, source: io::Error },
    #[error("{} mistakes in the configuration", .0.len())]
    Mistakes(Vec<Mistake>),
}

pub(super) fn load(options: &Options) -> Result<(Config, Vec<Warning>), SourceError> {
    let file = read_file(options.config.as_deref())?;
    let sources = Sources {
        file: file
            .as_ref()
            .map(|file| (file.name.as_str(), file.text.as_str())),
        environment: &environment(),
        flags: &options.flags,
    };
    config::load(sources).map_err(SourceError::Mistakes)
}

struct FileText {
    name: String,
    text: String,
}

fn read_file(named: Option<&Path>) -> Result<Option<FileText>, SourceError> {
    let path = named.unwrap_or(Path::new(USUAL_FILE));
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(FileText { name, text })),
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SourceError::Unreadable { name, source }),
    }
}

/// Other programs' variables may hold bytes that are not UTF-8; they must not stop the start.
fn environment() -> Vec<(String, String)> {
    let text = |bytes: std::ffi::OsString| bytes.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}
