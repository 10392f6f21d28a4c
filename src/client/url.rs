//! Addresses of servers: `ws://host:port/path`, `http://host:port`, or a Unix-domain socket,
//! `ws+unix:/path/to.sock:/ws`.

use http::Uri;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// `ws` and `ws+unix`.
    WebSocket,
    /// `http` and `http+unix`.
    Http,
}

impl Purpose {
    fn scheme(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::Http => "http",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub address: Address,
    /// The path with its query, from its `/` on.
    pub target: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

/// Why a URL names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` {reason}")]
pub struct UrlError {
    url: String,
    reason: String,
}

impl ServerUrl {
    pub fn parse(text: &str, purpose: Purpose) -> Result<Self, UrlError> {
        let scheme = purpose.scheme();
        let read = match text.strip_prefix(&format!("{scheme}+unix:")) {
            Some(rest) => unix(rest),
            None => tcp(text, scheme),
        };
        read.map_err(|reason| UrlError {
            url: text.to_owned(),
            reason,
        })
    }

    /// The `Host` field of a request.
    pub fn host(&self) -> String {
        match &self.address {
            Address::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The WebSocket URL of another target on the same server.
    pub fn with_target(&self, target: &str) -> String {
        match &self.address {
            Address::Tcp { .. } => format!("ws://{}{target}", self.host()),
            Address::Unix(socket) => format!("ws+unix:{}:{target}", socket.display()),
        }
    }

    /// The target with one more query parameter.
    pub fn target_with(&self, parameter: &str) -> String {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        format!("{}{joint}{parameter}", self.target)
    }
}

/// The notation of the `ws` package: the socket's path, a colon, the target.
fn unix(rest: &str) -> Result<ServerUrl, String> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (socket, target) = rest.split_once(":/").unwrap_or((rest, ""));
    if socket.is_empty() {
        return Err("names no socket; expected the path of a Unix-domain socket".to_owned());
    }
    Ok(ServerUrl {
        address: Address::Unix(socket.into()),
        target: format!("/{target}"),
    })
}

fn tcp(text: &str, scheme: &str) -> Result<ServerUrl, String> {
    let expected = format!("expected {scheme}://HOST:PORT/PATH");
    let uri: Uri = text
        .parse()
        .map_err(|error| format!("is no URL: {error}; {expected}"))?;
    match uri.scheme_str() {
        Some(known) if known == scheme => {}
        Some("wss" | "https") => {
            return Err(format!(
                "needs TLS, which this version does not speak; {expected}"
            ));
        }
        _ => return Err(format!("is no {scheme} URL; {expected}")),
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = uri
        .host()
        .unwrap_or("")
        .trim_matches(|c| c == '[' || c == ']');
    if host.is_empty() || authority.contains('@') {
        return Err(format!("names no host, or more than a host; {expected}"));
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    Ok(ServerUrl {
        address: Address::Tcp {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(80),
        },
        target: target.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn websocket(text: &str) -> ServerUrl {
        ServerUrl::parse(text, Purpose::WebSocket).unwrap()
    }

    #[test]
    fn hosts_ports_and_paths_are_found() {
        let url = websocket("ws://127.0.0.1:3001/ws?batch=1");
        assert_eq!(
            (url.host().as_str(), url.target.as_str()),
            ("127.0.0.1:3001", "/ws?batch=1")
        );
        assert_eq!(url.target_with("session=s"), "/ws?batch=1&session=s");
        let url = websocket("ws://[::1]:3001");
        assert_eq!(
            url.address,
            Address::Tcp {
                host: "::1".into(),
                port: 3001
            }
        );
        assert_eq!(
            (url.host().as_str(), url.target.as_str()),
            ("[::1]:3001", "/")
        );
        assert_eq!(url.with_target("/ws"), "ws://[::1]:3001/ws");
        assert_eq!(websocket("ws://example/").host(), "example:80");
        let url = websocket("ws+unix:///run/joblight.sock:/ws");
        assert_eq!(
            (url.address, url.target.as_str()),
            (Address::Unix("/run/joblight.sock".into()), "/ws")
        );
        let url = websocket("ws+unix:/run/joblight.sock");
        assert_eq!(url.with_target("/ws"), "ws+unix:/run/joblight.sock:/ws");
        let url = ServerUrl::parse("http+unix:/run/http.sock", Purpose::Http).unwrap();
        assert_eq!(
            (url.address, url.target.as_str()),
            (Address::Unix("/run/http.sock".into()), "/")
        );
    }

    #[test]
    fn what_means_no_server_is_told() {
        let reason = |text, purpose| ServerUrl::parse(text, purpose).unwrap_err().to_string();
        for text in [
            "",
            "localhost",
            "/ws",
            "http://a",
            "ws://",
            "ws://user@host/",
            "ws://a b/",
            "ws+unix:",
        ] {
            let told = reason(text, Purpose::WebSocket);
            assert!(told.contains("expected "), "{told}");
        }
        assert!(reason("wss://a/", Purpose::WebSocket).contains("TLS"));
        assert!(reason("https://a/", Purpose::Http).contains("TLS"));
    }
}
