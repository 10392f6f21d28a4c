//! Why something asked for was not done: one value, said in three ways. A client gets an `error` message, the application an
//! error on its link, and a caller of the API a problem document.
//!
//! A refusal holds a code for programs, the field at fault, and the reason in words. It knows no connection: who is told, and
//! on what, is decided where it is rendered.

use crate::base::time::Span;
use crate::hub::{Full, TooLarge};
use crate::wire::http::{Problem, Response};
use crate::wire::locale::{Locale, Phrase, WorkspaceFault};
use crate::wire::message::envelope::push_string;
use crate::wire::message::{ErrorCode, Malformed};
use std::borrow::Cow;

/// Why something was not done. Boxed, because most of what could be refused is not.
#[derive(Debug, Clone)]
pub struct Refusal(Box<Details>);

#[derive(Debug, Clone)]
struct Details {
    code: &'static str,
    /// What the code means in HTTP, unless the call says otherwise.
    status: u16,
    field: Option<String>,
    reason: Reason,
    retry_after_s: Option<u64>,
    allow: Option<String>,
}

/// The reason in words.
#[derive(Debug, Clone)]
enum Reason {
    /// Some text, and the phrase that a client is told with it in the configured language.
    Text(String, for<'a> fn(&'a str) -> Phrase<'a>),
    /// What is wrong with a message about workspaces.
    Workspace(WorkspaceFault),
    /// Too many messages: how many a minute are allowed, and when the next is.
    TooMany { limit: u32, retry_after_s: u64 },
}

impl Reason {
    fn phrase(&self) -> Phrase<'_> {
        match self {
            Self::Text(text, phrase) => phrase(text),
            Self::Workspace(fault) => Phrase::WorkspaceFault(fault),
            Self::TooMany {
                limit,
                retry_after_s,
            } => Phrase::RateLimited {
                limit: *limit,
                retry_after_s: *retry_after_s,
            },
        }
    }
}

impl Refusal {
    /// `reason`: what is wrong and what would be right.
    pub fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self(Box::new(Details {
            code,
            status: status_of(code),
            field: None,
            reason: Reason::Text(reason.into(), phrase_of(code)),
            retry_after_s: None,
            allow: None,
        }))
    }

    /// A refusal that a client, or the application, can be told.
    pub fn coded(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self::new(code.as_str(), reason)
    }

    /// Nothing of that kind exists.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::coded(ErrorCode::NotFound, what)
    }

    /// Nobody here knows a message of that type.
    pub fn unknown_type(kind: impl Into<String>) -> Self {
        Self::coded(ErrorCode::UnknownType, kind)
    }

    /// The configuration sets a limit that would be exceeded.
    pub fn limit_exceeded(limit: impl Into<String>) -> Self {
        Self::coded(ErrorCode::LimitExceeded, limit)
    }

    /// There is no room for so much more, now.
    pub fn no_room(detail: impl Into<String>) -> Self {
        Self::limit_exceeded(detail).retry_after_s(60)
    }

    /// A client sends more messages a minute than `limit`.
    pub fn rate_limited(limit: u32, retry_after: Span) -> Self {
        let retry_after_s = retry_after.as_millis().div_ceil(1000);
        Self::coded(ErrorCode::RateLimited, "").because(Reason::TooMany {
            limit,
            retry_after_s,
        })
    }

    /// A message about workspaces changes nothing.
    pub fn workspace(fault: WorkspaceFault) -> Self {
        Self::coded(workspace_code(&fault), "").because(Reason::Workspace(fault))
    }

    fn because(mut self, reason: Reason) -> Self {
        self.0.reason = reason;
        self
    }

    /// Says it to a client in other words than those of the code.
    pub fn said(mut self, phrase: for<'a> fn(&'a str) -> Phrase<'a>) -> Self {
        if let Reason::Text(_, known) = &mut self.0.reason {
            *known = phrase;
        }
        self
    }

    /// Names the part of the request at fault.
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Answers a call with another status than the code's.
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = status;
        self
    }

    /// Says when it is worth trying again.
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Says which methods would have worked.
    pub fn allow(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// The word for programs.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The setting that forbids it, where [`Caller::may`](super::access::caller::Caller::may) has refused.
    pub fn setting(&self) -> &str {
        match &self.0.reason {
            Reason::Text(text, _) => text,
            _ => "",
        }
    }

    /// Whether a client is told of a message about workspaces, which has a form of its own in the data dialect.
    pub fn is_of_workspaces(&self) -> bool {
        matches!(self.0.reason, Reason::Workspace(_))
    }

    /// What a client or the application reads.
    pub fn message(&self, locale: Locale) -> String {
        locale.say(self.0.reason.phrase()).to_string()
    }

    /// The error that the application gets on its link; `request_id`: that of its message.
    pub fn backend_error(&self, locale: Locale, request_id: Option<&str>) -> String {
        let code = self.0.code;
        let mut out =
            format!("{{\"type\":\"error\",\"payload\":{{\"code\":\"{code}\",\"message\":");
        push_string(&mut out, &self.message(locale));
        out.push('}');
        if let Some(request_id) = request_id {
            out.push_str(",\"requestId\":");
            push_string(&mut out, request_id);
        }
        out.push('}');
        out
    }
}

/// The problem document that answers a call.
impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        let refusal = *refusal.0;
        let detail = match refusal.reason {
            Reason::Text(text, _) => text,
            reason => Locale::English.say(reason.phrase()).to_string(),
        };
        let mut problem = Problem::new(refusal.status, refusal.code, detail);
        problem.field = refusal.field.map(Into::into);
        problem.retry_after_s = refusal.retry_after_s;
        match refusal.allow {
            Some(methods) => Self::from(problem).header("Allow", methods),
            None => problem.into(),
        }
    }
}

/// A request that is refused by its syntax.
impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let mut refusal = Self::new(problem.code, problem.detail).with_status(problem.status);
        refusal.0.field = problem.field.map(Cow::into_owned);
        refusal
    }
}

impl From<&TooLarge> for Refusal {
    fn from(fault: &TooLarge) -> Self {
        Self::new("task_too_large", fault.to_string()).at(&*fault.field)
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        Self::limit_exceeded(full.key())
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        let code = match malformed.is_unreadable() {
            true => ErrorCode::InvalidJson,
            false => ErrorCode::InvalidMessage,
        };
        let reason = malformed.to_string();
        let field = match malformed {
            Malformed::Json(_) => "body".to_owned(),
            Malformed::Text { field, .. } if field.is_empty() => "body".to_owned(),
            Malformed::Text { field, .. } | Malformed::Field { field, .. } => field,
        };
        Self::coded(code, reason).at(field)
    }
}

/// What a code means in HTTP (RFC 9110 section 15).
fn status_of(code: &str) -> u16 {
    match code {
        "unauthorized" => 401,
        "not_allowed" => 403,
        "not_found" => 404,
        "method_not_allowed" => 405,
        "request_timeout" => 408,
        "conflict" => 409,
        "length_required" => 411,
        "task_too_large" | "too_large" => 413,
        "unsupported_media_type" => 415,
        "unknown_host" => 421,
        "upgrade_required" => 426,
        "rate_limited" => 429,
        "internal" => 500,
        "draining" | "limit_exceeded" | "storage_unavailable" => 503,
        _ => 400,
    }
}

/// How a client is told of a code. Words that only callers of the API meet are never said to a client.
fn phrase_of(code: &str) -> for<'a> fn(&'a str) -> Phrase<'a> {
    match code {
        "invalid_json" => |text| Phrase::InvalidJson(text),
        "unknown_type" => |text| Phrase::UnknownType(text),
        "not_allowed" => |text| Phrase::NotAllowed(text),
        "not_found" => |text| Phrase::NotFound(text),
        "unauthorized" => |text| Phrase::Unauthorized(text),
        "limit_exceeded" | "message_too_large" => |text| Phrase::LimitExceeded(text),
        "conflict" => |text| Phrase::Conflict(text),
        _ => |text| Phrase::InvalidMessage(text),
    }
}

fn workspace_code(fault: &WorkspaceFault) -> ErrorCode {
    match fault {
        WorkspaceFault::Unknown(_) => ErrorCode::NotFound,
        WorkspaceFault::TooMany { .. }
        | WorkspaceFault::TooLarge { .. }
        | WorkspaceFault::TooLargeTogether { .. }
        | WorkspaceFault::TooDeep { .. } => ErrorCode::LimitExceeded,
        _ => ErrorCode::InvalidMessage,
    }
}
