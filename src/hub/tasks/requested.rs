//! A control request to a task's worker (contract section 4, *Control*). A task holds at most one, as a field that viewers see, from
//! [`apply_request`](crate::hub::tasks::step::apply_request) until an event answers it.

use crate::wire::message::Control;
use crate::wire::message::envelope::push_string;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    #[serde(rename = "action")]
    pub control: Control,
    /// Who asked: a client's id, or `api`.
    pub by: Box<str>,
    /// In milliseconds since 1970.
    pub at: u64,
}

/// A request and the task that it is about, as who asks and the worker are told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked<'a> {
    task_id: &'a str,
    action: Control,
    by: &'a str,
    requested_at: u64,
}

impl Requested {
    pub fn of<'a>(&'a self, task_id: &'a str) -> Asked<'a> {
        Asked {
            task_id,
            action: self.control,
            by: &self.by,
            requested_at: self.at,
        }
    }

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
