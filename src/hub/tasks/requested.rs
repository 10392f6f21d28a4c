//! A control request to a task's worker (contract section 4, *Control*). A task holds at most one, as a field that viewers see, from
//! [`apply_request`](crate::hub::tasks::step::apply_request) until an event answers it.

use crate::wire::message::Control;
use crate::wire::message::envelope::push_string;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    pub control: Control,
    /// Who asked: a client's id, or `api`.
    pub by: Box<str>,
    /// In milliseconds since 1970.
    pub at: u64,
}

impl Requested {
    /// Appends `"action":…,"by":…,"requestedAt":…` without braces: the acknowledgement puts other members beside them.
    pub fn push_members(&self, out: &mut String) {
        out.push_str("\"action\":");
        push_string(out, self.control.as_str());
        out.push_str(",\"by\":");
        push_string(out, &self.by);
        out.push_str(",\"requestedAt\":");
        out.push_str(itoa::Buffer::new().format(self.at));
    }
}
