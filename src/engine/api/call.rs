//! A call: its row of the table, and what the request holds.

use super::row::Row;
use crate::wire::http::Head;
use std::borrow::Cow;

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
