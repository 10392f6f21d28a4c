//! A task whose worker is gone (contract section 5.3): failed after a long silence, provisionally, and revived by the next event or
//! item of the same attempt.
//!
//! Only what happens to the fields: when it happens is in [`aging`](crate::hub::tasks::aging), and the messages are sent by its callers.
//! `pending | running -> lost (shown as failed) -> the status before, or running`. While a task is lost, `lost` holds the status before.

use crate::base::time::Now;
use crate::hub::tasks::fields::TaskField;
use crate::hub::tasks::rules::{self, Attempt, Verdict};
use crate::hub::tasks::state::Task;
use crate::wire::message::envelope::push_string;
use crate::wire::message::{Status, TaskEvent, TaskPatch};
use serde_json::value::RawValue;

/// Fails a task as lost. A pending control request stays, for the worker that comes back.
pub fn lose(task: &mut Task, message: &str, now: Now) {
    rules::wake(task, now);
    task.lost = Some(task.view.status);
    task.announced = false;
    task.estimator.pause(now.at);
    let error = error(message);
    // The hub's own error is not refused by `max_task_size`, but later events must know that it is there.
    task.size_bound += error.get().len();
    task.view.error = Some(error);
    task.mark(TaskField::Error);
    task.set_estimate(None, None);
    move_to(task, Status::Failed, now);
}

/// Undoes [`lose`]: the task is in `status` again. The silence in between is a pause to the estimator.
pub fn revive(task: &mut Task, status: Status, now: Now) {
    task.lost = None;
    // The message that says so is a `task_started`.
    task.announced = status == Status::Running;
    task.view.error = None;
    task.mark(TaskField::Error);
    if status == Status::Running {
        task.estimator.resume(now.at);
    }
    move_to(task, status, now);
}

/// The status in which an event that counts revives a lost task; `None` when the task is not lost, or the event begins an attempt.
pub fn revival(
    task: &Task,
    kind: TaskEvent,
    verdict: Verdict,
    patch: &TaskPatch,
) -> Option<Status> {
    let before = task.lost?;
    if matches!(verdict.attempt, Attempt::Begins(_)) {
        return None;
    }
    match (kind, patch.status) {
        // An ending event revives to `running` too: pages see `started`, then the end, as for any other task.
        (TaskEvent::Progress, Some(Status::Pending)) => Some(before),
        _ => Some(Status::Running),
    }
}

fn move_to(task: &mut Task, status: Status, now: Now) {
    task.count_event(None);
    task.last_event = now.at;
    task.view.status = status;
    task.mark(TaskField::Status);
    task.refresh_indeterminate();
    task.view.updated_at = now.wall_ms;
    task.mark(TaskField::UpdatedAt);
}

fn error(message: &str) -> Box<RawValue> {
    let mut text = String::from("{\"code\":\"lost\",\"message\":");
    push_string(&mut text, message);
    text.push('}');
    RawValue::from_string(text).expect("an object of two strings is JSON")
}
