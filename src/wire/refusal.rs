//! Why something asked for was not done: one value, said in three ways. A client gets an `error` message, the application an
//! error on its link, and a caller of the API a problem document.
//!
//! A refusal holds a code for programs, the field at fault, and the reason in words. It knows no connection: who is told, and
//! on what, is decided where it is rendered.

use super::locale::{Locale, Phrase, WorkspaceFault};
use crate::base::time::Span;
use std::borrow::Cow;

pub use super::error_code::ErrorCode;

/// Why something was not done. Boxed, because most of what could be refused is not.
#[derive(Debug, Clone)]
pub struct Refusal(pub(super) Box<Details>);

#[derive(Debug, Clone)]
pub(super) struct Details {
    pub(super) code: ErrorCode,
    /// The code's, unless the call says otherwise.
    pub(super) status: u16,
    pub(super) field: Option<Cow<'static, str>>,
    reason: Reason,
    pub(super) retry_after_s: Option<u64>,
    pub(super) allow: Option<Cow<'static, str>>,
}

/// The reason in words.
#[derive(Debug, Clone)]
enum Reason {
    /// What is wrong and what would be right. It follows what the code means.
    Text(Cow<'static, str>),
    /// Some text in a sentence of its own.
    Phrase(Cow<'static, str>, for<'a> fn(&'a str) -> Phrase<'a>),
    /// What is wrong with a message about workspaces.
    Workspace(WorkspaceFault),
    /// Too many messages: how many a minute are allowed, and when the next is.
    TooMany { limit: u32, retry_after_s: u64 },
}

impl Refusal {
    /// `reason`: what is wrong and what would be right.
    pub fn new(code: ErrorCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::because(code, Reason::Text(reason.into()))
    }

    fn because(code: ErrorCode, reason: Reason) -> Self {
        Self(Box::new(Details {
            code,
            status: code.status(),
            field: None,
            reason,
            retry_after_s: None,
            allow: None,
        }))
    }

    /// Not HTTP as it is understood here.
    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, reason)
    }

    /// Nothing of that kind exists.
    pub fn not_found(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::NotFound, what)
    }

    /// The configuration sets a limit that would be exceeded.
    pub fn limit_exceeded(limit: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::LimitExceeded, limit)
    }

    /// There is no room for so much more, now.
    pub fn no_room(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::limit_exceeded(detail).retry_after_s(60)
    }

    /// A client sends more messages a minute than `limit`.
    pub fn rate_limited(limit: u32, retry_after: Span) -> Self {
        let retry_after_s = retry_after.as_millis().div_ceil(1000);
        let reason = Reason::TooMany {
            limit,
            retry_after_s,
        };
        Self::because(ErrorCode::RateLimited, reason)
    }

    /// A message about workspaces changes nothing.
    pub fn workspace(fault: WorkspaceFault) -> Self {
        Self::because(workspace_code(&fault), Reason::Workspace(fault))
    }

    /// Says it in a sentence of its own instead of behind what the code means.
    pub fn said(mut self, phrase: for<'a> fn(&'a str) -> Phrase<'a>) -> Self {
        if let Reason::Text(text) = self.0.reason {
            self.0.reason = Reason::Phrase(text, phrase);
        }
        self
    }

    /// Says what was refused, with the reason in brackets.
    pub fn about(mut self, what: &str) -> Self {
        if let Reason::Text(text) = &mut self.0.reason {
            *text = format!("{what} ({text})").into();
        }
        self
    }

    /// Names the part of the request at fault.
    pub fn at(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Answers a call with another status than the code's.
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = status;
        self
    }

    /// Says when it is worth trying again (RFC 9110 section 10.2.3).
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Says which methods would have worked, as in `GET, HEAD` (RFC 9110 section 10.2.1).
    pub fn allow(mut self, methods: impl Into<Cow<'static, str>>) -> Self {
        self.0.allow = Some(methods.into());
        self
    }

    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Whether a client is told of a message about workspaces, which has a form of its own in the data dialect.
    pub fn is_of_workspaces(&self) -> bool {
        matches!(self.0.reason, Reason::Workspace(_))
    }

    /// What a client or the application reads.
    pub fn message(&self, locale: Locale) -> String {
        locale.say(self.phrase()).to_string()
    }

    /// What a caller of the API reads. In English the reason alone: `code` stands beside it.
    pub fn detail(&self, locale: Locale) -> String {
        match (&self.0.reason, locale) {
            (Reason::Text(text), Locale::English) => text.clone().into_owned(),
            _ => self.message(locale),
        }
    }

    fn phrase(&self) -> Phrase<'_> {
        match &self.0.reason {
            Reason::Text(text) => Phrase::Error(self.0.code, text),
            Reason::Phrase(text, phrase) => phrase(text),
            Reason::Workspace(fault) => Phrase::WorkspaceFault(fault),
            Reason::TooMany {
                limit,
                retry_after_s,
            } => Phrase::RateLimited {
                limit: *limit,
                retry_after_s: *retry_after_s,
            },
        }
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
