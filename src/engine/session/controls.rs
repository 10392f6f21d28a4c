//! Requests to a task's worker: cancel, pause, resume (contract sections 3 and 7).
//!
//! Owns who may ask, and how a request is acknowledged or refused. The worker hears of it with its next report.

use crate::engine::context::Context;
use crate::engine::refusal::Refusal;
use crate::hub::{ClientKey, ControlRefused, Hub, RequestRefused};
use crate::wire::message::envelope::push_string;
use crate::wire::message::malformed::shortened;
use crate::wire::message::name::TASK_ROOM_PREFIX;
use crate::wire::message::{Control, ErrorCode};

/// Whether a client is in the room of a task.
pub fn is_member(hub: &Hub, client: ClientKey, task: &str) -> bool {
    let directory = hub.directory();
    let room = directory.find(&format!("{TASK_ROOM_PREFIX}{task}"));
    room.is_some_and(|room| directory.membership(client, room).is_some())
}

/// Records a request of `by`; the payload that acknowledges it names whoever asked first.
pub fn request(
    context: &mut Context<'_>,
    task: &str,
    action: Control,
    by: &str,
) -> Result<String, Refusal> {
    let Context {
        hub,
        peers,
        now,
        settings,
        ..
    } = context;
    let recorded = hub.control(*now, task, action, by, &mut peers.delivery(settings));
    recorded.map_err(|refused| refusal(refused, task, action))?;
    let tasks = hub.broadcaster().tasks();
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

fn refusal(refused: ControlRefused, task: &str, action: Control) -> Refusal {
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
    Refusal::coded(code, reason)
}
