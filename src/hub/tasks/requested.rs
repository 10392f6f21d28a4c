//! A viewer's request to a task's worker (contract section 4, *Control*), until the worker answers it.

use crate::wire::message::Control;
use crate::wire::message::envelope::push_string;

/// What somebody asks of a task's worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// The action that is asked for.
    pub control: Control,
    /// Who asked: a client's id, or `api`.
    pub by: Box<str>,
    /// When it was asked, in milliseconds since 1970.
    pub at: u64,
}

impl Requested {
    /// Appends `action`, `by` and `requestedAt`, as viewers, workers and acknowledgements name them.
    pub fn push_members(&self, out: &mut String) {
        out.push_str("\"action\":");
        push_string(out, self.control.as_str());
        out.push_str(",\"by\":");
        push_string(out, &self.by);
        out.push_str(",\"requestedAt\":");
        out.push_str(itoa::Buffer::new().format(self.at));
    }
}
