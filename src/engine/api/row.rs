//! A row of the table, and a call that it answers: which requests mean it, who may make it, what is read, and the function that answers.

use crate::engine::access::caller::Action;
use crate::engine::answer::Answer;
use crate::engine::context::Context;
use crate::engine::refusal::Refusal;
use crate::wire::http::{Head, Method, Response};
use crate::wire::message::TaskEvent;
use std::borrow::Cow;

/// The function behind a row.
pub type CallFn = fn(&mut Context<'_>, &Call<'_>) -> Result<Answer<Response>, Refusal>;

/// A call of contract section 7.
pub struct Row {
    /// The method; `GET` answers `HEAD` as well.
    pub method: Method,
    /// The path, segment by segment; those in braces are names.
    pub path: &'static [&'static str],
    /// What the caller must be allowed to do.
    pub right: Action,
    /// What is done with a body.
    pub body: Body,
    /// Whether it shows or changes what a store keeps, or is about clients, who are nobody before that is read.
    pub needs_store: bool,
    /// What answers.
    pub answer: CallFn,
    /// What it does, for people.
    #[expect(
        dead_code,
        reason = "for the description of the API, which nobody serves yet"
    )]
    pub about: &'static str,
}

/// What is done with the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// It has no meaning.
    Ignored,
    /// It is read if there is one.
    Optional,
    /// The call makes no sense without it.
    Required,
    /// The same, and lines of JSON are handled as they come.
    Lines,
}

impl Row {
    /// Whether a path is this row's.
    pub fn matches(&self, segments: &[Cow<'_, str>]) -> bool {
        let pairs = || self.path.iter().zip(segments);
        self.path.len() == segments.len() && pairs().all(|(own, found)| is_match(own, found))
    }

    /// Whether a request of this method means it.
    pub fn takes(&self, method: Method) -> bool {
        self.method == method || self.method == Method::GET && method == Method::HEAD
    }

    /// Where in the path `{name}` stands.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.path.iter().position(|own| bare(own) == Some(name))
    }
}

fn is_match(own: &str, found: &str) -> bool {
    match bare(own) {
        None => own == found,
        // What is no event is no path, so that it is told so.
        Some("event") => TaskEvent::from_verb(found).is_some(),
        Some(_) => true,
    }
}

/// A segment without its braces, if it has any.
fn bare(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// What a function of the table is given.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Its row.
    pub row: &'static Row,
    /// The head of the request.
    pub head: &'a Head,
    /// The segments of its path, decoded.
    pub segments: &'a [Cow<'a, str>],
    /// The body, which is empty where the row reads none.
    pub body: &'a [u8],
}

impl<'a> Call<'a> {
    /// What stands in the path at `{name}`.
    pub fn name(&self, name: &str) -> &'a str {
        let place = self.row.place(name);
        debug_assert!(place.is_some(), "the row's path has no {name}");
        place.map_or("", |place| &self.segments[place])
    }
}
