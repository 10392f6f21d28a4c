//! What an answer must know of its request: its version, whether it wants the body, and which page may read it.

use crate::engine::access::{self, Access};
use crate::wire::http::{Date, Framing, Head, Method, Response};

/// What an answer must know of its request.
#[derive(Debug)]
pub struct Reply {
    head_only: bool,
    keep_alive: bool,
    version_minor: u8,
    cors: Cors,
}

impl Reply {
    /// `is_local`: the request came over a Unix-domain socket.
    pub fn to(head: &Head, access: &Access, is_local: bool) -> Self {
        Self {
            head_only: head.method() == Method::HEAD,
            keep_alive: head.keep_alive(),
            version_minor: head.version_minor(),
            cors: Cors::of(head, access, is_local),
        }
    }

    /// Whether the request allows another behind it.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The bytes of an answer, after which the connection goes on or not.
    pub fn encode(self, answer: Response, keep_alive: bool, date: Date) -> Vec<u8> {
        self.cors.mark(answer).encode(Framing {
            head_only: self.head_only,
            keep_alive,
            version_minor: self.version_minor,
            date,
        })
    }
}

/// What a browser is told, so that it lets a page read an answer, or does not (WHATWG Fetch, CORS).
#[derive(Debug)]
pub enum Cors {
    /// No page asks.
    Unasked,
    /// The page of this origin may, or `*`: every page may.
    Allowed(Box<str>),
    /// It may not.
    Foreign,
}

impl Cors {
    /// Whether the page that asks, if one does, may read the answer.
    pub fn of(head: &Head, access: &Access, is_local: bool) -> Self {
        let Some(origin) = head.header("origin") else {
            return Self::Unasked;
        };
        match access.check(head, is_local) {
            Ok(()) => Self::Allowed(access.allowed_origin(origin).into()),
            Err(_) => Self::Foreign,
        }
    }

    /// Says so in the answer.
    pub fn mark(self, answer: Response) -> Response {
        const ALLOW: &str = "Access-Control-Allow-Origin";
        match self {
            Self::Unasked => answer,
            Self::Foreign => answer.header("Vary", "Origin"),
            Self::Allowed(origin) if &*origin == access::ANY => answer.header(ALLOW, access::ANY),
            Self::Allowed(origin) => answer
                .header("Vary", "Origin")
                .header(ALLOW, String::from(origin)),
        }
    }
}
