//! One WebSocket connection, from its handshake to its end. Reconnecting is its owner's business.

use super::reconnect::Loss;
use super::stream;
use super::url::ServerUrl;
use crate::base::time::Span;
use crate::wire::websocket::CloseCode;
use http::Response;
use socket2::Socket;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tungstenite::{HandshakeError, Message, WebSocket};

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there, or not in time.
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    /// An HTTP response other than 101.
    #[error("HTTP {status}: {detail}")]
    Refused {
        status: u16,
        /// From the body.
        detail: String,
        retry_after: Option<Span>,
    },
    /// The peer does not speak WebSocket.
    #[error("{0}")]
    Protocol(String),
}

impl ConnectError {
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

#[derive(Debug)]
pub enum Received {
    Text(String),
    /// A sign of life, such as a ping.
    Sign,
    /// The time is up.
    Nothing,
    /// How the connection ended, and why in the peer's words.
    Lost(Loss, String),
}

#[derive(Debug)]
pub struct Connection {
    socket: WebSocket<Socket>,
    goodbye: Option<(CloseCode, String)>,
}

impl Connection {
    /// Connects and shakes hands, each step within `timeout`.
    pub fn open(url: &ServerUrl, target: &str, timeout: Duration) -> Result<Self, ConnectError> {
        let stream = stream::connect(&url.address, timeout)?;
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

    /// A lost connection shows in the next [`Connection::receive`].
    pub fn send(&mut self, text: String) {
        // Whether it arrived is known only from what comes back.
        let _ = self.socket.send(Message::text(text));
    }

    /// Waits for no longer than `timeout`.
    pub fn receive(&mut self, timeout: Duration) -> Received {
        if let Err(error) = stream::limit_reads(self.socket.get_ref(), timeout) {
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

    pub fn close(mut self) {
        // The server may have closed first.
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
