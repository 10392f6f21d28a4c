//! The configuration in the terms of the floors below: the engine's settings.

use super::settings::{Config, Endpoint};
use crate::base::pattern::Pattern;
use crate::base::time::Span;
use crate::base::token_bucket::Rate;
use crate::engine::Settings;
use crate::engine::access::{Access, Host, Proxies};
use crate::hub::HubSettings;
use crate::wire::locale::Phrase;

impl Config {
    /// The engine's part of the configuration, with room for so many viewers (0: any number).
    pub fn engine_settings(&self, max_viewers: usize) -> Settings {
        let rates = &self.websocket.rate_limit;
        Settings {
            locale: self.locale,
            websocket: self.websocket.clone(),
            message_rate: Rate {
                per_minute: rates.max_messages_per_minute,
                burst: self.message_burst(),
            },
            connection_rate: Rate {
                per_minute: rates.max_connections_per_minute,
                burst: self.connection_burst(),
            },
            http: self.http.clone(),
            access: Access::new(
                self.server.allowed_origins.clone(),
                self.server.allowed_hosts.clone(),
                self.is_bound_beyond(),
            ),
            proxies: Proxies::new(
                &self.server.trusted_proxies,
                &self.server.client_address_header,
            ),
            max_viewers,
            max_connections_per_address: self.server.max_connections_per_address,
            hub: self.hub_settings(),
            routes: self.routes.clone(),
            routed: self
                .routes
                .types
                .iter()
                .map(|text| Pattern::new(text))
                .collect(),
            shutdown_timeout: Span::from_millis(self.server.shutdown_timeout),
        }
    }

    /// Whether a listener is bound to more than the loopback.
    fn is_bound_beyond(&self) -> bool {
        is_beyond(&self.websocket.endpoint()) || is_beyond(&self.http.endpoint())
    }

    /// Whether other machines can reach the API: by the address that it is bound to, or through a proxy with a host
    /// name.
    pub(super) fn has_public_api(&self) -> bool {
        let is_public = |host: &String| !is_loopback(host);
        is_beyond(&self.http.endpoint()) || self.server.allowed_hosts.iter().any(is_public)
    }

    fn hub_settings(&self) -> HubSettings {
        let config = &self.websocket;
        let lost_after = self.broadcaster.lost_after;
        HubSettings {
            broadcaster: self.broadcaster.clone(),
            workspaces: self.workspaces.clone(),
            message_queue_size: config.message_queue_size,
            session_ttl: Span::from_millis(config.session_ttl),
            max_sessions: config.max_sessions,
            max_rooms: config.max_rooms,
            max_viewer_rooms: self.max_viewer_rooms(),
            max_rooms_per_client: config.max_rooms_per_client,
            lost_message: self.locale.say(Phrase::Lost { lost_after }).to_string(),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    Host::parse(host).is_some_and(|host| host.is_loopback())
}

fn is_beyond(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Port { host, .. } => !is_loopback(host),
        Endpoint::UnixPath(_) => false,
    }
}
