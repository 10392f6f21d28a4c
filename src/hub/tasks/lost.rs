//! A task whose worker is gone: given up after a long silence, provisionally, and revived by its next word (contract
//! section 5.3). How the fields turn; when that happens stands in [`crate::hub::tasks::aging`].

use crate::base::time::Now;
use crate::hub::tasks::fields::TaskField;
use crate::hub::tasks::rules::{self, Attempt, Verdict};
use crate::hub::tasks::state::Task;
use crate::wire::message::envelope::push_string;
use crate::wire::message::{Status, TaskEvent, TaskPatch};
use serde_json::value::RawValue;

/// Gives a task up: it has failed, until it is heard of again. What viewers requested stays, for the worker that comes back.
pub fn lose(task: &mut Task, message: &str, now: Now) {
    rules::wake(task, now);
    task.lost = Some(task.view.status);
    task.announced = false;
    task.estimator.pause(now.at);
    let error = error(message);
    task.size_bound += error.get().len();
    task.view.error = Some(error);
    task.mark(TaskField::Error);
    task.set_estimate(None, None);
    turn_to(task, Status::Failed, now);
}

/// Takes back that a task was given up: it is in `status` again.
pub fn revive(task: &mut Task, status: Status, now: Now) {
    task.lost = None;
    task.announced = status == Status::Running;
    task.view.error = None;
    task.mark(TaskField::Error);
    if status == Status::Running {
        task.estimator.resume(now.at);
    }
    turn_to(task, status, now);
}

/// What an event that counts makes of a lost task before it counts; `None`: the task is not lost, or begins anew.
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
        (TaskEvent::Progress, Some(Status::Pending)) => Some(before),
        _ => Some(Status::Running),
    }
}

fn turn_to(task: &mut Task, status: Status, now: Now) {
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
