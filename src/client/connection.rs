//! One WebSocket connection to a server, from its handshake to its end. It does not come back; its owner does.

use super::reconnect::Loss;
use super::stream::Stream;
use super::url::ServerUrl;
use crate::base::time::Span;
use crate::wire::websocket::CloseCode;
use http::Response;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tungstenite::{HandshakeError, Message, WebSocket};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there, or not in time.
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    /// The server answers, but not with a WebSocket.
    #[error("HTTP {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What its body says.
        detail: String,
        /// Its `Retry-After`.
        retry_after: Option<Span>,
    },
    /// Whoever answers does not speak WebSocket.
    #[error("{0}")]
    Protocol(String),
}

impl ConnectError {
    /// What this means for coming back.
    pub fn loss(&self) -> Loss {
        match self {
            Self::Refused {
                status,
                retry_after,
                ..
            } => Loss::Refused {
                status: *status,
                retry_after: *retry_after,
            },
            Self::Unreachable(_) | Self::Protocol(_) => Loss::Broken,
        }
    }
}

/// What came in.
#[derive(Debug)]
pub enum Received {
    /// A message.
    Text(String),
    /// A sign of life without a message.
    Sign,
    /// Nothing in time.
    Nothing,
    /// The end: how, and in whose words.
    Lost(Loss, String),
}

/// An open WebSocket.
#[derive(Debug)]
pub struct Connection {
    socket: WebSocket<Stream>,
    goodbye: Option<(CloseCode, String)>,
}

impl Connection {
    /// Connects and shakes hands, each step within `timeout`.
    pub fn open(url: &ServerUrl, target: &str, timeout: Duration) -> Result<Self, ConnectError> {
        let stream = Stream::connect(&url.address, timeout)?;
        let address = format!("ws://{}{target}", url.host());
        match tungstenite::client(address, stream) {
            Ok((socket, _)) => Ok(Self {
                socket,
                goodbye: None,
            }),
            Err(HandshakeError::Interrupted(_)) => Err(io::Error::from(ErrorKind::TimedOut).into()),
            Err(HandshakeError::Failure(error)) => Err(refusal(error)),
        }
    }

    /// Sends a text message. A connection that is gone says so with the next [`Connection::receive`].
    pub fn send(&mut self, text: String) {
        // Whether it left is known only by what comes back.
        let _ = self.socket.send(Message::text(text));
    }

    /// What comes in next, waited for no longer than `timeout`.
    pub fn receive(&mut self, timeout: Duration) -> Received {
        if let Err(error) = self.socket.get_ref().limit_reads(timeout) {
            return Received::Lost(Loss::Broken, error.to_string());
        }
        match self.socket.read() {
            Ok(Message::Text(text)) => Received::Text(text.as_str().to_owned()),
            Ok(Message::Close(frame)) => {
                let none = (CloseCode(1005), String::new());
                self.goodbye = Some(frame.map_or(none, |frame| {
                    (
                        CloseCode(frame.code.into()),
                        frame.reason.as_str().to_owned(),
                    )
                }));
                Received::Sign
            }
            Ok(_) => Received::Sign,
            Err(tungstenite::Error::Io(error)) if is_timeout(&error) => Received::Nothing,
            Err(error) => self.lost(&error),
        }
    }

    /// Says goodbye.
    pub fn close(mut self) {
        // The server may have gone first.
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }

    fn lost(&mut self, error: &tungstenite::Error) -> Received {
        match self.goodbye.take() {
            Some((code, reason)) => {
                let words = if reason.is_empty() {
                    format!("the server closed with {code}")
                } else {
                    format!("the server closed with {code}: {reason}")
                };
                Received::Lost(Loss::Closed(code), words)
            }
            None => Received::Lost(Loss::Broken, format!("the connection broke: {error}")),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

fn refusal(error: tungstenite::Error) -> ConnectError {
    match error {
        tungstenite::Error::Io(error) => ConnectError::Unreachable(error),
        tungstenite::Error::Http(answer) => refused(&answer),
        other => ConnectError::Protocol(other.to_string()),
    }
}

fn refused(answer: &Response<Option<Vec<u8>>>) -> ConnectError {
    let seconds = answer
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = answer.body().as_deref().unwrap_or_default();
    let status = answer.status();
    ConnectError::Refused {
        status: status.as_u16(),
        detail: super::http::detail(body)
            .unwrap_or_else(|| status.canonical_reason().unwrap_or("no WebSocket").into()),
        retry_after: seconds.map(Span::from_secs),
    }
}
