//! What no single key can tell: switches that this version cannot turn on, and keys that must agree.

use super::layers::Layers;
use super::settings::{Config, Endpoint};
use crate::engine::settings::ListenPort;

pub(super) fn check(config: &Config, layers: &mut Layers) {
    refuse_what_is_to_come(config, layers);
    check_authentication(config, layers);
    check_websocket_path(config, layers);
    check_echo_path(config, layers);
    check_ingest_socket(config, layers);
    check_routes(config, layers);
    warn_of_two_hosts(config, layers);
    warn_of_open_api(config, layers);
    warn_of_early_timeout(config, layers);
}

/// Settings that the contract names and a later version will honour; that version deletes the line.
const TO_COME: &[ToCome] = &[
    ToCome {
        path: "websocket.secure",
        is_on: |config| config.websocket.secure,
        what: "this version does not speak TLS; leave it false and put a TLS proxy in front",
    },
    ToCome {
        path: "websocket.enable_authentication",
        is_on: |config| config.websocket.enable_authentication,
        what: "this version does not check tokens; leave it false, keep websocket.host on \"localhost\", \
               and guard the API with http.api_key",
    },
];

struct ToCome {
    path: &'static str,
    is_on: fn(&Config) -> bool,
    what: &'static str,
}

fn refuse_what_is_to_come(config: &Config, layers: &mut Layers) {
    for refusal in TO_COME.iter().filter(|refusal| (refusal.is_on)(config)) {
        let what = format!("true is not possible yet: {}", refusal.what);
        layers.mistake_at(refusal.path, what);
    }
}

fn check_authentication(config: &Config, layers: &mut Layers) {
    if config.websocket.enable_authentication && config.websocket.auth_secret.is_empty() {
        let what = "needs a secret; expected websocket.auth_secret to be set";
        layers.mistake_at("websocket.enable_authentication", what.to_owned());
    }
}

fn check_websocket_path(config: &Config, layers: &mut Layers) {
    let path = config.websocket.path.as_str();
    let taken_by = match path {
        "/" => "the data dialect",
        "/backend" => "the application's own link",
        _ => return,
    };
    let what = format!("{path:?} is taken by {taken_by}; expected another path, such as \"/ws\"");
    layers.mistake_at("websocket.path", what);
}

fn check_echo_path(config: &Config, layers: &mut Layers) {
    let path = config.websocket.echo_path.as_str();
    let taken_by = match path {
        "/backend" => "taken by the application's own link",
        path if path == config.websocket.path => "websocket.path already",
        _ => return,
    };
    let what = format!("{path:?} is {taken_by}; expected another path");
    layers.mistake_at("websocket.echo_path", what);
}

fn check_ingest_socket(config: &Config, layers: &mut Layers) {
    let listeners = [
        ("websocket.port", config.websocket.endpoint()),
        ("http.port", config.http.endpoint()),
    ];
    for (path, endpoint) in listeners {
        if endpoint == Endpoint::UnixPath(config.ingest.socket.clone()) {
            let location = layers.location_of_any(&["ingest.socket", path]);
            layers.mistake(
                location,
                format!("ingest.socket and {path} name the same socket; expected two paths"),
            );
        }
    }
}

/// The application's link may do all that the API may, and hears what clients say: nobody may be taken for it by
/// chance.
pub(crate) const ROUTES_NEED_A_KEY: &str = "needs a key that the application proves itself with on /backend; expected \
                                          http.api_key to be set, or routes.types to be []";

fn check_routes(config: &Config, layers: &mut Layers) {
    if !config.guards_routes() {
        layers.mistake_at("routes.types", ROUTES_NEED_A_KEY.to_owned());
    }
}

fn warn_of_two_hosts(config: &Config, layers: &mut Layers) {
    let (websocket, http) = (&config.websocket, &config.http);
    let is_fixed_port = matches!(websocket.port, ListenPort::Number(port) if port != 0);
    if is_fixed_port && websocket.port == http.port && websocket.host != http.host {
        let location =
            layers.location_of_any(&["websocket.port", "http.port", "websocket.host", "http.host"]);
        let what = format!(
            "websocket and http have one port but two hosts ({}, {}), so there will be two listeners; one needs one host",
            websocket.host, http.host
        );
        layers.warn(location, what);
    }
}

fn warn_of_open_api(config: &Config, layers: &mut Layers) {
    if config.has_public_api() && config.http.api_key.is_empty() {
        let location = layers.location_of_any(&["http.host", "server.allowed_hosts"]);
        let what = "there is no http.api_key, so whoever reaches the API may report, read and delete tasks; expected a key";
        layers.warn(location, what.to_owned());
    }
}

fn warn_of_early_timeout(config: &Config, layers: &mut Layers) {
    let (heartbeat, timeout) = (
        config.websocket.heartbeat_interval,
        config.websocket.connection_timeout,
    );
    if heartbeat != 0 && timeout != 0 && timeout < heartbeat {
        let location = layers.location_of_any(&[
            "websocket.connection_timeout",
            "websocket.heartbeat_interval",
        ]);
        let what = format!(
            "a client that is gone is closed after {} ms, not {timeout}: what shows it is the ping that is due after {heartbeat} ms",
            heartbeat + timeout
        );
        layers.warn(location, what);
    }
}
