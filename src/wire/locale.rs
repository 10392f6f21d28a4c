//! What joblight tells people, in the languages it speaks (contract section 2).
//!
//! Owns every sentence of error messages and log lines that is translated; machine words (codes, field names) never pass through
//! here, and what a code means stands beside it in `error_code`. The Chinese lines are those of the two documents joblight began
//! from, to the letter.

use super::error_code::ErrorCode;
use crate::base::choices::choices;
use std::fmt;

/// Writes what is said in the language that is spoken: each line has the English, the Chinese, and what fills their gaps.
macro_rules! say {
    ($what:expr, $locale:expr, $out:expr; $($case:pat => $english:literal, $chinese:literal $(, $gap:expr)*;)*) => {
        match $what {
            $($case => match $locale {
                Locale::English => write!($out, $english $(, $gap)*),
                Locale::SimplifiedChinese => write!($out, $chinese $(, $gap)*),
            },)*
        }
    };
}

choices! {
    /// The language that people read.
    Locale {
        /// English.
        English = "en",
        /// Simplified Chinese, as in the seeds.
        SimplifiedChinese = "zh-CN",
    }
}

impl Locale {
    fn meaning(self, code: ErrorCode) -> &'static str {
        let [english, chinese] = code.meaning();
        match self {
            Self::English => english,
            Self::SimplifiedChinese => chinese,
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
    /// What the code means, and why.
    Error(ErrorCode, &'a str),
    InvalidMessagePack(&'a str),
    RateLimited {
        /// Messages per minute.
        limit: u32,
        retry_after_s: u64,
    },
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
        use Phrase::*;
        let locale = self.locale;
        say! { self.phrase, locale, out;
            Error(code, reason) => "{}: {reason}", "{}: {reason}", locale.meaning(code);
            InvalidMessagePack(reason) => "invalid MessagePack: {reason}", "无效的MessagePack: {reason}";
            RateLimited { limit, retry_after_s } =>
                "too many messages: {limit} a minute are allowed; wait {retry_after_s} s",
                "消息过于频繁: 每分钟最多 {limit} 条; 请在 {retry_after_s} 秒后重试";
            NoApplication(kind) => "no application is connected that takes {kind}", "没有已连接的应用程序处理该消息: {kind}";
            NoAnswer(kind) => "the application did not answer {kind} in time", "应用程序未及时答复: {kind}";
            ApplicationGone(kind) => "the application went away before it answered {kind}", "应用程序在答复前已断开: {kind}";
            BackendConnected { address, total } =>
                "backend connected: {address} (backends: {total})", "应用后端连接: {address} (总连接: {total})";
            BackendDisconnected { address, total } =>
                "backend disconnected: {address} (backends: {total})", "应用后端断开: {address} (总连接: {total})";
            Lost { lost_after } => "no news for {}", "已有 {} 没有消息", length(lost_after);
            NotKept(reason) => "done, but not kept: {reason}", "已执行但未能保存: {reason}";
            WorkspaceFault(fault) => "{}", "{}", SaidFault(fault, locale);
            WebSocketStarted(port) => "WebSocket server started on port {port}", "WebSocket服务器已在端口 {port} 启动";
            WebSocketListening { url, path } => "WebSocket server listening: {url}{path}", "WebSocket 服务器启动: {url}";
            HttpStarted(url) => "🚀 HTTP server started on {url}", "🚀 HTTP server started on {url}";
            IngestStarted(path) => "Ingest socket open: {path}", "数据接收套接字已启动: {path}";
            Environment(name) => "Environment: {name}", "Environment: {name}";
            LogLevel(name) => "Log level: {name}", "Log level: {name}";
            ClientConnected { client, total } =>
                "client connected: {client} (connections: {total})", "客户端连接: {client} (总连接: {total})";
            ClientDisconnected { client, total } =>
                "client disconnected: {client} (connections: {total})", "客户端断开: {client} (总连接: {total})";
            DataClientConnected => "WebSocket client connected", "WebSocket 客户端连接";
            DataClientDisconnected => "WebSocket client disconnected", "WebSocket 客户端断开";
            ClientJoined { client, room } => "client {client} joined room {room}", "客户端 {client} 加入房间 {room}";
            ClientLeft { client, room } => "client {client} left room {room}", "客户端 {client} 离开房间 {room}";
            Broadcast(room) => "broadcast to room {room}", "广播消息到房间 {room}";
            Draining(count) => "shutting down: {count} connections to close", "正在关闭: 还有 {count} 个连接";
            Stopped => "stopped", "服务器已停止";
        }
    }
}

/// What may be wrong with a message about workspaces (contract section 6); what it quotes of the message is shortened already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkspaceFault {
    /// The fields are not an object.
    NoObject,
    /// The parser's reason.
    Unreadable(String),
    Missing(WorkspaceField),
    /// A field of the wrong type.
    Wrong {
        field: WorkspaceField,
        /// As JSON.
        found: String,
    },
    /// The id is in use.
    Taken(String),
    /// No workspace has this id.
    Unknown(String),
    /// `ids` names something other than a workspace.
    Stray(String),
    /// `ids` names a workspace twice.
    Repeated(String),
    /// `ids` omits a workspace.
    LeftOut(String),
    TooMany {
        /// `workspaces.max_workspaces`.
        limit: usize,
    },
    /// The workspace would be too large.
    TooLarge {
        /// Bytes.
        size: usize,
        /// `workspaces.max_size`.
        limit: usize,
    },
    /// All workspaces together would be too large.
    TooLargeTogether {
        /// Bytes.
        size: usize,
        /// `workspaces.max_total_size`.
        limit: usize,
    },
    TooDeep {
        limit: usize,
    },
}

/// A field that means something to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkspaceField {
    Id,
    Name,
    Ids,
}

impl WorkspaceField {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Ids => "ids",
        }
    }

    fn expected(self, locale: Locale) -> &'static str {
        match (locale, self) {
            (Locale::English, Self::Id) => {
                "the workspace's id, a string of 1 to 256 bytes without control characters"
            }
            (Locale::English, Self::Name) => "the workspace's name, a string that is not blank",
            (Locale::English, Self::Ids) => "a list of every workspace's id, each once",
            (Locale::SimplifiedChinese, Self::Id) => {
                "工作区 id, 即 1 到 256 字节且不含控制字符的字符串"
            }
            (Locale::SimplifiedChinese, Self::Name) => "工作区名称, 即非空白的字符串",
            (Locale::SimplifiedChinese, Self::Ids) => "全部工作区 id 的列表, 每个恰好一次",
        }
    }
}

/// What is wrong, and what would be right.
struct SaidFault<'a>(&'a WorkspaceFault, Locale);

impl fmt::Display for SaidFault<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use WorkspaceFault::*;
        let Self(fault, locale) = *self;
        let all = WorkspaceField::Ids.expected(locale);
        say! { fault, locale, out;
            NoObject => "invalid message: data: expected a JSON object", "无效的消息: data: 应为 JSON 对象";
            Unreadable(reason) => "invalid message: {reason}", "无效的消息: {reason}";
            Missing(field) =>
                "invalid message: {}: missing; expected {}", "无效的消息: {}: 缺失; 应为{}",
                field.as_str(), field.expected(locale);
            Wrong { field, found } =>
                "invalid message: {}: {found} will not do; expected {}", "无效的消息: {}: {found} 不可用; 应为{}",
                field.as_str(), field.expected(locale);
            Taken(id) =>
                "invalid message: id: the workspace `{id}` exists already; expected another id, or none",
                "无效的消息: id: 工作区 `{id}` 已存在; 请使用其他 id 或省略 id";
            Unknown(id) =>
                "not found: the workspace `{id}`; expected an id that workspace.list shows",
                "未找到: 工作区 `{id}`; 应为 workspace.list 列出的 id";
            Stray(id) =>
                "invalid message: ids: there is no workspace `{id}`; expected {all}",
                "无效的消息: ids: 工作区 `{id}` 不存在; 应为{all}";
            Repeated(id) =>
                "invalid message: ids: `{id}` stands there twice; expected {all}", "无效的消息: ids: `{id}` 重复出现; 应为{all}";
            LeftOut(id) =>
                "invalid message: ids: `{id}` is left out; expected {all}", "无效的消息: ids: 缺少 `{id}`; 应为{all}";
            TooMany { limit } =>
                "limit exceeded: there are {limit} workspaces, as many as workspaces.max_workspaces allows; delete one first",
                "超出限制: 已有 {limit} 个工作区, 达到 workspaces.max_workspaces; 请先删除一个";
            TooLarge { size, limit } =>
                "limit exceeded: the workspace would have {size} bytes; workspaces.max_size allows {limit}",
                "超出限制: 该工作区将有 {size} 字节; workspaces.max_size 最多允许 {limit}";
            TooLargeTogether { size, limit } =>
                "limit exceeded: all workspaces together would have {size} bytes; workspaces.max_total_size allows {limit}",
                "超出限制: 全部工作区将共有 {size} 字节; workspaces.max_total_size 最多允许 {limit}";
            TooDeep { limit } =>
                "limit exceeded: a field is nested too deep; expected at most {limit} levels of arrays and objects",
                "超出限制: 字段嵌套过深; 数组和对象最多嵌套 {limit} 层";
        }
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
        let say = |phrase| Locale::SimplifiedChinese.say(phrase).to_string();
        assert_eq!(
            say(Phrase::Error(ErrorCode::UnknownType, "ping")),
            "未知消息类型: ping"
        );
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
