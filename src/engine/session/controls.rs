//! Requests to a task's worker: cancel, pause, resume (contract sections 3 and 7).
//!
//! Owns who may ask, and how a request is acknowledged or refused. The worker hears of it with its next report.

use crate::base::time::Now;
use crate::engine::access::permission::Permission;
use crate::engine::state::State;
use crate::hub::{ClientKey, ControlRefused, RequestRefused};
use crate::wire::locale::Phrase;
use crate::wire::message::envelope::push_string;
use crate::wire::message::malformed::shortened;
use crate::wire::message::{Control, ErrorCode};

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFault {
    /// The kind of fault.
    pub code: ErrorCode,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl ControlFault {
    /// How a viewer is told.
    pub fn phrase(&self) -> Phrase<'_> {
        match self.code {
            ErrorCode::NotFound => Phrase::NotFound(&self.reason),
            ErrorCode::Conflict => Phrase::Conflict(&self.reason),
            ErrorCode::InvalidMessage => Phrase::InvalidMessage(&self.reason),
            _ => Phrase::NotAllowed(&self.reason),
        }
    }
}

/// Whether a client may ask something of a task's worker.
pub fn is_allowed(state: &State, client: ClientKey, task: &str) -> bool {
    let directory = state.hub.directory();
    match state.settings.websocket.control {
        Permission::Nobody => false,
        Permission::Anybody => true,
        Permission::Members => directory
            .find(&format!("task:{task}"))
            .is_some_and(|room| directory.membership(client, room).is_some()),
    }
}

/// Records a request of `by`; the payload that acknowledges it names whoever asked first.
pub fn request(
    state: &mut State,
    now: Now,
    task: &str,
    action: Control,
    by: &str,
) -> Result<String, ControlFault> {
    let recorded = state.hub.control(now, task, action, by, &mut state.peers);
    recorded.map_err(|refused| fault(refused, task, action))?;
    let tasks = state.hub.broadcaster().tasks();
    let requested = tasks
        .find(task)
        .and_then(|key| tasks.task(key)?.view.requested.as_ref());
    let mut out = String::from("{\"taskId\":");
    push_string(&mut out, task);
    if let Some(requested) = requested {
        out.push(',');
        requested.push_members(&mut out);
    }
    out.push('}');
    Ok(out)
}

fn fault(refused: ControlRefused, task: &str, action: Control) -> ControlFault {
    let action = action.as_str();
    let (code, reason) = match refused {
        ControlRefused::UnknownTask => {
            let reason = format!("the task `{}`", shortened(task));
            (ErrorCode::NotFound, reason)
        }
        ControlRefused::ByTask(RequestRefused::Ended(status)) => {
            let reason = format!("`{action}` on a task that is {}", status.as_str());
            (ErrorCode::NotAllowed, reason)
        }
        ControlRefused::ByTask(RequestRefused::Pending(pending)) => {
            let reason = format!(
                "`{action}` while `{}` is pending on the task",
                pending.as_str()
            );
            (ErrorCode::Conflict, reason)
        }
        ControlRefused::ByTask(RequestRefused::NotHonoured(controls)) => {
            let honoured: Vec<&str> = controls.iter().map(Control::as_str).collect();
            let expected = match honoured[..] {
                [] => "none at all".to_owned(),
                _ => honoured.join(", "),
            };
            let reason = format!(
                "action: `{action}` is not honoured by the task's worker; expected {expected}"
            );
            (ErrorCode::InvalidMessage, reason)
        }
    };
    ControlFault { code, reason }
}
