//! The configuration in the terms of the floors below: the engine's settings.

use super::settings::{Config, Control, Endpoint, Locale as Language, Publish};
use crate::base::pattern::Pattern;
use crate::base::time::Span;
use crate::base::token_bucket::Rate;
use crate::engine::access::{Access, Host, Proxies};
use crate::engine::{
    HttpSettings, Permission, Reconnect, RoutesSettings, Settings, WebSocketSettings,
};
use crate::hub::HubSettings;
use crate::wire::locale::{Locale, Phrase};

impl Config {
    /// The engine's part of the configuration, with room for so many viewers (0: any number).
    pub fn engine_settings(&self, max_viewers: usize) -> Settings {
        Settings {
            locale: self.language(),
            websocket: self.websocket_settings(),
            http: self.http_settings(),
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
            routes: self.routes_settings(),
            shutdown_timeout: Span::from_millis(self.server.shutdown_timeout),
        }
    }

    /// The language of log lines and error messages.
    pub fn language(&self) -> Locale {
        match self.locale {
            Language::English => Locale::English,
            Language::SimplifiedChinese => Locale::Chinese,
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

    fn websocket_settings(&self) -> WebSocketSettings {
        let config = &self.websocket;
        WebSocketSettings {
            path: config.path.clone(),
            echo_path: config.echo_path.clone(),
            compression_threshold: config.compression_threshold,
            heartbeat_interval: Span::from_millis(config.heartbeat_interval),
            connection_timeout: Span::from_millis(config.connection_timeout),
            max_clients: config.max_clients,
            max_clients_per_address: config.max_clients_per_address,
            max_message_size: config.max_message_size,
            max_outbox_size: config.max_outbox_size,
            max_outbox_messages: config.max_outbox_messages,
            max_backlog_age: Span::from_millis(config.max_backlog_age),
            enable_compression: config.enable_compression,
            publish: match config.publish {
                Publish::Nobody => Permission::Nobody,
                Publish::Members => Permission::Members,
                Publish::Anybody => Permission::Anybody,
            },
            control: match config.control {
                Control::Nobody => Permission::Nobody,
                Control::Members => Permission::Members,
                Control::Anybody => Permission::Anybody,
            },
            message_rate: Rate {
                per_minute: config.rate_limit.max_messages_per_minute,
                burst: self.message_burst(),
            },
            connection_rate: Rate {
                per_minute: config.rate_limit.max_connections_per_minute,
                burst: self.connection_burst(),
            },
            reconnect: Reconnect {
                max_attempts: config.reconnect.max_attempts,
                delay_ms: config.reconnect.delay,
                exponential_backoff: config.reconnect.exponential_backoff,
            },
        }
    }

    fn http_settings(&self) -> HttpSettings {
        let config = &self.http;
        HttpSettings {
            api_key: config.api_key.clone(),
            max_body_size: config.max_body_size,
            max_head_size: config.max_head_size,
        }
    }

    fn routes_settings(&self) -> RoutesSettings {
        let config = &self.routes;
        RoutesSettings {
            types: config.types.iter().map(|text| Pattern::new(text)).collect(),
            timeout: Span::from_millis(config.timeout),
            max_pending: config.max_pending,
        }
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
            lost_message: self.language().say(Phrase::Lost { lost_after }).to_string(),
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
