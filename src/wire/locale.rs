//! What joblight tells people, in the languages it speaks (contract section 2).
//!
//! Owns every sentence of error messages and log lines that is translated; machine words (codes, field names) never
//! pass through here. The Chinese lines are those of the two documents joblight began from, to the letter.

mod workspaces;

pub use workspaces::{WorkspaceFault, WorkspaceField};

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Locale {
    /// `en`.
    #[default]
    English,
    /// `zh-CN`.
    Chinese,
}

impl Locale {
    pub fn from_tag(tag: &str) -> Option<Self> {
        match tag {
            "en" => Some(Self::English),
            "zh-CN" => Some(Self::Chinese),
            _ => None,
        }
    }

    pub fn say<'a>(self, phrase: Phrase<'a>) -> Said<'a> {
        Said {
            locale: self,
            phrase,
        }
    }
}

/// Something to be said, free of any language. A text inside names the thing or gives the reason.
#[derive(Debug, Clone, Copy)]
pub enum Phrase<'a> {
    InvalidJson(&'a str),
    InvalidMessagePack(&'a str),
    UnknownType(&'a str),
    InvalidMessage(&'a str),
    NotAllowed(&'a str),
    /// A token does not prove an identity.
    Unauthorized(&'a str),
    RateLimited {
        /// Messages per minute.
        limit: u32,
        retry_after_s: u64,
    },
    LimitExceeded(&'a str),
    /// Something in progress excludes the request.
    Conflict(&'a str),
    NotFound(&'a str),
    /// A message of this type is for the application, and none is connected.
    NoApplication(&'a str),
    /// The application did not answer a message of this type in time.
    NoAnswer(&'a str),
    /// The application left before it answered a message of this type.
    ApplicationGone(&'a str),
    BackendConnected {
        address: &'a str,
        total: usize,
    },
    BackendDisconnected {
        address: &'a str,
        total: usize,
    },
    /// A task whose worker is silent for longer than the limit.
    Lost {
        /// Milliseconds.
        lost_after: u64,
    },
    /// The store did not keep a change.
    NotKept(&'a str),
    WorkspaceFault(&'a WorkspaceFault),
    /// The port or path.
    WebSocketStarted(&'a str),
    WebSocketListening {
        /// Without a path.
        url: &'a str,
        /// Of the payload dialect.
        path: &'a str,
    },
    /// The address.
    HttpStarted(&'a str),
    /// The path.
    IngestStarted(&'a str),
    /// `NODE_ENV` or `environment`.
    Environment(&'a str),
    LogLevel(&'a str),
    /// In the payload dialect.
    ClientConnected {
        client: &'a str,
        total: usize,
    },
    /// In the payload dialect.
    ClientDisconnected {
        client: &'a str,
        total: usize,
    },
    DataClientConnected,
    DataClientDisconnected,
    ClientJoined {
        client: &'a str,
        room: &'a str,
    },
    ClientLeft {
        client: &'a str,
        room: &'a str,
    },
    /// A message went out to this room.
    Broadcast(&'a str),
    /// Shutting down, with so many connections left to drain.
    Draining(usize),
    Stopped,
}

/// A phrase in a language, ready to be formatted.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    locale: Locale,
    phrase: Phrase<'a>,
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.locale {
            Locale::English => english(self.phrase, out),
            Locale::Chinese => chinese(self.phrase, out),
        }
    }
}

fn english(phrase: Phrase<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    use Phrase::*;
    match phrase {
        InvalidJson(reason) => write!(out, "invalid JSON: {reason}"),
        InvalidMessagePack(reason) => write!(out, "invalid MessagePack: {reason}"),
        UnknownType(kind) => write!(out, "unknown message type: {kind}"),
        InvalidMessage(reason) => write!(out, "invalid message: {reason}"),
        NotAllowed(what) => write!(out, "not allowed: {what}"),
        Unauthorized(reason) => write!(out, "unauthorized: {reason}"),
        RateLimited {
            limit,
            retry_after_s,
        } => {
            write!(
                out,
                "too many messages: {limit} a minute are allowed; wait {retry_after_s} s"
            )
        }
        LimitExceeded(which) => write!(out, "limit exceeded: {which}"),
        Conflict(what) => write!(out, "conflict: {what}"),
        NotFound(what) => write!(out, "not found: {what}"),
        NoApplication(kind) => write!(out, "no application is connected that takes {kind}"),
        NoAnswer(kind) => write!(out, "the application did not answer {kind} in time"),
        ApplicationGone(kind) => {
            write!(out, "the application went away before it answered {kind}")
        }
        BackendConnected { address, total } => {
            write!(out, "backend connected: {address} (backends: {total})")
        }
        BackendDisconnected { address, total } => {
            write!(out, "backend disconnected: {address} (backends: {total})")
        }
        Lost { lost_after } => write!(out, "no news for {}", length(lost_after)),
        NotKept(reason) => write!(out, "done, but not kept: {reason}"),
        WorkspaceFault(fault) => workspaces::english(fault, out),
        WebSocketStarted(port) => write!(out, "WebSocket server started on port {port}"),
        WebSocketListening { url, path } => write!(out, "WebSocket server listening: {url}{path}"),
        HttpStarted(url) => write!(out, "🚀 HTTP server started on {url}"),
        IngestStarted(path) => write!(out, "Ingest socket open: {path}"),
        Environment(name) => write!(out, "Environment: {name}"),
        LogLevel(name) => write!(out, "Log level: {name}"),
        ClientConnected { client, total } => {
            write!(out, "client connected: {client} (connections: {total})")
        }
        ClientDisconnected { client, total } => {
            write!(out, "client disconnected: {client} (connections: {total})")
        }
        DataClientConnected => out.write_str("WebSocket client connected"),
        DataClientDisconnected => out.write_str("WebSocket client disconnected"),
        ClientJoined { client, room } => write!(out, "client {client} joined room {room}"),
        ClientLeft { client, room } => write!(out, "client {client} left room {room}"),
        Broadcast(room) => write!(out, "broadcast to room {room}"),
        Draining(count) => write!(out, "shutting down: {count} connections to close"),
        Stopped => out.write_str("stopped"),
    }
}

fn chinese(phrase: Phrase<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    use Phrase::*;
    match phrase {
        InvalidJson(reason) => write!(out, "无效的JSON: {reason}"),
        InvalidMessagePack(reason) => write!(out, "无效的MessagePack: {reason}"),
        UnknownType(kind) => write!(out, "未知消息类型: {kind}"),
        InvalidMessage(reason) => write!(out, "无效的消息: {reason}"),
        NotAllowed(what) => write!(out, "不允许: {what}"),
        Unauthorized(reason) => write!(out, "未授权: {reason}"),
        RateLimited {
            limit,
            retry_after_s,
        } => {
            write!(
                out,
                "消息过于频繁: 每分钟最多 {limit} 条; 请在 {retry_after_s} 秒后重试"
            )
        }
        LimitExceeded(which) => write!(out, "超出限制: {which}"),
        Conflict(what) => write!(out, "冲突: {what}"),
        NotFound(what) => write!(out, "未找到: {what}"),
        NoApplication(kind) => write!(out, "没有已连接的应用程序处理该消息: {kind}"),
        NoAnswer(kind) => write!(out, "应用程序未及时答复: {kind}"),
        ApplicationGone(kind) => write!(out, "应用程序在答复前已断开: {kind}"),
        BackendConnected { address, total } => {
            write!(out, "应用后端连接: {address} (总连接: {total})")
        }
        BackendDisconnected { address, total } => {
            write!(out, "应用后端断开: {address} (总连接: {total})")
        }
        Lost { lost_after } => write!(out, "已有 {} 没有消息", length(lost_after)),
        NotKept(reason) => write!(out, "已执行但未能保存: {reason}"),
        WorkspaceFault(fault) => workspaces::chinese(fault, out),
        WebSocketStarted(port) => write!(out, "WebSocket服务器已在端口 {port} 启动"),
        WebSocketListening { url, .. } => write!(out, "WebSocket 服务器启动: {url}"),
        HttpStarted(url) => write!(out, "🚀 HTTP server started on {url}"),
        IngestStarted(path) => write!(out, "数据接收套接字已启动: {path}"),
        Environment(name) => write!(out, "Environment: {name}"),
        LogLevel(name) => write!(out, "Log level: {name}"),
        ClientConnected { client, total } => write!(out, "客户端连接: {client} (总连接: {total})"),
        ClientDisconnected { client, total } => {
            write!(out, "客户端断开: {client} (总连接: {total})")
        }
        DataClientConnected => out.write_str("WebSocket 客户端连接"),
        DataClientDisconnected => out.write_str("WebSocket 客户端断开"),
        ClientJoined { client, room } => write!(out, "客户端 {client} 加入房间 {room}"),
        ClientLeft { client, room } => write!(out, "客户端 {client} 离开房间 {room}"),
        Broadcast(room) => write!(out, "广播消息到房间 {room}"),
        Draining(count) => write!(out, "正在关闭: 还有 {count} 个连接"),
        Stopped => out.write_str("服务器已停止"),
    }
}

/// In the largest unit that leaves no fraction.
fn length(millis: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let unit = UNITS.iter().find(|(size, _)| millis.is_multiple_of(*size));
    let (size, name) = unit.copied().unwrap_or((1, "ms"));
    format!("{} {name}", millis / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_lines_are_the_seeds_lines() {
        let say = |phrase| Locale::Chinese.say(phrase).to_string();
        assert_eq!(say(Phrase::UnknownType("ping")), "未知消息类型: ping");
        assert_eq!(
            say(Phrase::WebSocketStarted("3001")),
            "WebSocket服务器已在端口 3001 启动"
        );
        assert_eq!(
            say(Phrase::WebSocketListening {
                url: "ws://localhost:3001",
                path: "/ws"
            }),
            "WebSocket 服务器启动: ws://localhost:3001"
        );
        assert_eq!(
            say(Phrase::HttpStarted("http://localhost:3000")),
            "🚀 HTTP server started on http://localhost:3000"
        );
        assert_eq!(
            say(Phrase::ClientConnected {
                client: "client_abc123",
                total: 1
            }),
            "客户端连接: client_abc123 (总连接: 1)"
        );
        assert_eq!(
            say(Phrase::ClientDisconnected {
                client: "client_abc123",
                total: 0
            }),
            "客户端断开: client_abc123 (总连接: 0)"
        );
        assert_eq!(
            say(Phrase::ClientJoined {
                client: "client_abc123",
                room: "task:task-456"
            }),
            "客户端 client_abc123 加入房间 task:task-456"
        );
        assert_eq!(
            say(Phrase::Broadcast("task:task-456")),
            "广播消息到房间 task:task-456"
        );
        assert_eq!(say(Phrase::DataClientConnected), "WebSocket 客户端连接");
        assert_eq!(say(Phrase::DataClientDisconnected), "WebSocket 客户端断开");
    }
}
