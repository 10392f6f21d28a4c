//! A row of the table and a call that it answers; checks and refusals that several calls share.

use crate::engine::access::caller::Action;
use crate::engine::answer::Outcome;
use crate::engine::context::Context;
use crate::wire::http::{Head, Method};
use crate::wire::message::incoming::parse;
use crate::wire::message::number::Whole;
use crate::wire::message::{Malformed, TaskEvent};
use crate::wire::refusal::{ErrorCode, Refusal};
use std::borrow::Cow;
use std::str::FromStr;

pub type CallFn = fn(&mut Context<'_>, &Call<'_>) -> Outcome;

/// A call of contract section 7.
pub struct Row {
    /// The method; `GET` answers `HEAD` as well.
    pub method: Method,
    /// The path, segment by segment; those in braces are names.
    pub path: &'static [&'static str],
    /// What the caller must be allowed to do.
    pub right: Action,
    pub body: Body,
    /// Whether it shows or changes what a store keeps, or is about clients, who are nobody before that is read.
    pub needs_store: bool,
    pub answer: CallFn,
    #[expect(
        dead_code,
        reason = "for the description of the API, which nobody serves yet"
    )]
    pub about: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// A body has no meaning.
    Ignored,
    /// A body is read if there is one.
    Optional,
    /// The call makes no sense without a body.
    Required,
    /// The call makes no sense without a body, whose lines, if it has lines, are handled as they come.
    Lines,
}

impl Row {
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
    pub row: &'static Row,
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

const JSON_TYPES: [&str; 4] = [
    "application/json",
    "text/json",
    "application/x-www-form-urlencoded",
    "text/plain",
];

/// Refuses bodies that are no JSON. Without a type a body counts as JSON, and so does what curl sends unasked.
pub fn expect_json(head: &Head) -> Result<(), Refusal> {
    head.content_type().map_or(Ok(()), expect_json_type)
}

/// Refuses media types that are no JSON. `essence`: the type without its parameters.
pub fn expect_json_type(essence: &str) -> Result<(), Refusal> {
    let is = |known: &&str| essence.eq_ignore_ascii_case(known);
    if JSON_TYPES.iter().any(is) || essence.to_ascii_lowercase().ends_with("+json") {
        return Ok(());
    }
    let detail = format!("`{essence}` is not understood here; expected application/json");
    Err(Refusal::new(ErrorCode::UnsupportedMediaType, detail).at("content-type"))
}

/// `limit` of a query, if it is there.
pub fn parse_limit(head: &Head) -> Result<Option<usize>, Refusal> {
    let wrong = || invalid("limit", "expected a whole number");
    let limit = head.query("limit");
    limit.map(|text| whole(&text).ok_or_else(wrong)).transpose()
}

/// A whole number as JSON may spell it.
pub fn whole<T: FromStr + TryFrom<u64>>(text: &str) -> Option<T> {
    text.parse().ok().or_else(|| {
        let Whole(number) = parse::<Whole>(text).ok()?;
        number.try_into().ok()
    })
}

pub fn invalid(field: &str, reason: &str) -> Refusal {
    Malformed::field(field, reason).into()
}
