//! Floor 4: file, environment and flags become one checked configuration.
//!
//! Four layers, each above the last: the `config.toml` inside the binary, the operator's file, the environment, the
//! flags. They come in as values: nothing here reads a file or a variable. Out comes either a [`Config`] that holds
//! only possible values, or every mistake at once, each with its location.
//!
//! - `keys`: the table of all keys, which everything else goes by; `value`: one value against its key
//! - `file`, `environment`: the layers' own syntax; `layers`: which value counts; `nearest`: what a misspelled key meant
//! - `settings`: the typed result; `derived`: keys that follow from others; `checks`: keys that must agree
//! - `location`: mistakes and warnings; `manual`, `print`: what operators are shown
//! - `engine`: the result as the engine's settings

mod checks;
mod derived;
mod engine;
mod environment;
mod file;
mod keys;
mod layers;
mod location;
mod manual;
mod nearest;
mod print;
mod settings;
mod value;

pub use crate::base::auto::Auto;
/// An alias of [`Permission`], for `websocket.control`.
pub use crate::engine::settings::Permission as Control;
/// An alias of [`Permission`], for `websocket.publish`.
pub use crate::engine::settings::Permission as Publish;
pub use crate::engine::settings::{
    HttpConfig, ListenPort, Permission, RateLimitConfig, ReconnectConfig, RoutesConfig,
    WebSocketConfig,
};
pub use crate::hub::{BroadcasterConfig, WorkspacesConfig};
pub use crate::wire::locale::Locale;
pub(crate) use checks::ROUTES_NEED_A_KEY;
pub use keys::{Alias, Key, aliases, keys};
pub use location::{Location, Mistake, Warning};
pub use manual::MANUAL;
pub use print::print_resolved;
pub use settings::{
    Config, Endpoint, Environment, IngestConfig, LogConfig, LogLevel, ServerConfig, StorageConfig,
    Synchronous, none_if_zero,
};

use layers::Layers;

/// All that a configuration is made from, as plain values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// The operator's file: the name that mistakes call it by, and its text.
    pub file: Option<(&'a str, &'a str)>,
    /// Environment variables; those that are none of ours are passed over.
    pub environment: &'a [(String, String)],
    /// Key paths such as `websocket.port`, each with its value.
    pub flags: &'a [(String, String)],
}

/// Lays the sources over the defaults and checks the result.
pub fn load(sources: Sources<'_>) -> Result<(Config, Vec<Warning>), Vec<Mistake>> {
    let mut layers = defaults();
    if let Some((name, text)) = sources.file {
        file::lay(Some(name), text, &mut layers);
    }
    environment::lay(sources.environment, &mut layers);
    lay_flags(sources.flags, &mut layers);
    layers.refuse_old_rivals();
    let config = layers.resolve();
    checks::check(&config, &mut layers);
    layers.into_result(config)
}

fn lay_flags(flags: &[(String, String)], layers: &mut Layers) {
    for (path, text) in flags {
        let location = Location::Flag { key: path.clone() };
        if keys::set_by(path).is_empty() {
            layers.mistake(location, file::unknown_key(path));
            continue;
        }
        layers.put_text(path, text, location, |rival| {
            let is_given = flags.iter().any(|(path, _)| path == rival);
            is_given.then(|| format!("--{rival}"))
        });
    }
}

/// What `config.toml` says.
fn defaults() -> Layers {
    let mut layers = Layers::default();
    file::lay(None, MANUAL, &mut layers);
    layers
}

impl Default for Config {
    /// What `config.toml` says, with nothing laid over it.
    fn default() -> Self {
        defaults().resolve()
    }
}

#[cfg(test)]
mod tests;
