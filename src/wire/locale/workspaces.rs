//! What may be wrong with a message about workspaces (contract section 6), and how it is said: what was wrong, and what
//! would be right.

use std::fmt::{self, Formatter};

/// What it quotes of the message is shortened already.
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

    fn english(self) -> &'static str {
        match self {
            Self::Id => "the workspace's id, a string of 1 to 256 bytes without control characters",
            Self::Name => "the workspace's name, a string that is not blank",
            Self::Ids => "a list of every workspace's id, each once",
        }
    }

    fn chinese(self) -> &'static str {
        match self {
            Self::Id => "工作区 id, 即 1 到 256 字节且不含控制字符的字符串",
            Self::Name => "工作区名称, 即非空白的字符串",
            Self::Ids => "全部工作区 id 的列表, 每个恰好一次",
        }
    }
}

pub(super) fn english(fault: &WorkspaceFault, out: &mut Formatter<'_>) -> fmt::Result {
    use WorkspaceFault::*;
    let all = WorkspaceField::Ids.english();
    match fault {
        NoObject => out.write_str("invalid message: data: expected a JSON object"),
        Unreadable(reason) => write!(out, "invalid message: {reason}"),
        Missing(field) => {
            let (name, right) = (field.as_str(), field.english());
            write!(out, "invalid message: {name}: missing; expected {right}")
        }
        Wrong { field, found } => {
            let (name, right) = (field.as_str(), field.english());
            write!(
                out,
                "invalid message: {name}: {found} will not do; expected {right}"
            )
        }
        Taken(id) => write!(
            out,
            "invalid message: id: the workspace `{id}` exists already; expected another id, or none"
        ),
        Unknown(id) => write!(
            out,
            "not found: the workspace `{id}`; expected an id that workspace.list shows"
        ),
        Stray(id) => write!(
            out,
            "invalid message: ids: there is no workspace `{id}`; expected {all}"
        ),
        Repeated(id) => write!(
            out,
            "invalid message: ids: `{id}` stands there twice; expected {all}"
        ),
        LeftOut(id) => write!(
            out,
            "invalid message: ids: `{id}` is left out; expected {all}"
        ),
        TooMany { limit } => write!(
            out,
            "limit exceeded: there are {limit} workspaces, as many as workspaces.max_workspaces allows; delete one first"
        ),
        TooLarge { size, limit } => write!(
            out,
            "limit exceeded: the workspace would have {size} bytes; workspaces.max_size allows {limit}"
        ),
        TooLargeTogether { size, limit } => write!(
            out,
            "limit exceeded: all workspaces together would have {size} bytes; workspaces.max_total_size allows {limit}"
        ),
        TooDeep { limit } => write!(
            out,
            "limit exceeded: a field is nested too deep; expected at most {limit} levels of arrays and objects"
        ),
    }
}

pub(super) fn chinese(fault: &WorkspaceFault, out: &mut Formatter<'_>) -> fmt::Result {
    use WorkspaceFault::*;
    let all = WorkspaceField::Ids.chinese();
    match fault {
        NoObject => out.write_str("无效的消息: data: 应为 JSON 对象"),
        Unreadable(reason) => write!(out, "无效的消息: {reason}"),
        Missing(field) => {
            let (name, right) = (field.as_str(), field.chinese());
            write!(out, "无效的消息: {name}: 缺失; 应为{right}")
        }
        Wrong { field, found } => {
            let (name, right) = (field.as_str(), field.chinese());
            write!(out, "无效的消息: {name}: {found} 不可用; 应为{right}")
        }
        Taken(id) => write!(
            out,
            "无效的消息: id: 工作区 `{id}` 已存在; 请使用其他 id 或省略 id"
        ),
        Unknown(id) => write!(out, "未找到: 工作区 `{id}`; 应为 workspace.list 列出的 id"),
        Stray(id) => write!(out, "无效的消息: ids: 工作区 `{id}` 不存在; 应为{all}"),
        Repeated(id) => write!(out, "无效的消息: ids: `{id}` 重复出现; 应为{all}"),
        LeftOut(id) => write!(out, "无效的消息: ids: 缺少 `{id}`; 应为{all}"),
        TooMany { limit } => write!(
            out,
            "超出限制: 已有 {limit} 个工作区, 达到 workspaces.max_workspaces; 请先删除一个"
        ),
        TooLarge { size, limit } => write!(
            out,
            "超出限制: 该工作区将有 {size} 字节; workspaces.max_size 最多允许 {limit}"
        ),
        TooLargeTogether { size, limit } => write!(
            out,
            "超出限制: 全部工作区将共有 {size} 字节; workspaces.max_total_size 最多允许 {limit}"
        ),
        TooDeep { limit } => write!(out, "超出限制: 字段嵌套过深; 数组和对象最多嵌套 {limit} 层"),
    }
}
