//! What has happened to a task, decided and not yet applied: the content of a task's [`Change`](crate::hub::change::Change).
//!
//! [`Step::apply`] is the only code that alters what a task is. It decides nothing, and takes the time at which the step was decided, so
//! that the same steps lead to the same task on any hub.

use crate::base::time::Now;
use crate::hub::tasks::lost;
use crate::hub::tasks::rules::{self, Announcement, Verdict};
use crate::hub::tasks::state::Task;
use crate::wire::message::{Control, Status, TaskEvent, TaskPatch};

#[derive(Debug, Clone)]
pub enum Step {
    /// An event that counts and fits.
    Event {
        kind: TaskEvent,
        verdict: Verdict,
        patch: Box<TaskPatch>,
        /// The task's `size_bound` from now on.
        size_bound: usize,
        /// The event revives the lost task in this status, and its own message says so.
        revives: Option<Status>,
    },
    /// An item: a sign of life that changes no field.
    Item,
    Requested {
        control: Control,
        /// Who asked: a client's id, or `api`.
        by: Box<str>,
    },
    /// The task was silent for too long.
    Stalled,
    /// Its worker was silent for so long that it is given up.
    Lost {
        /// The text of the task's `error`.
        message: String,
    },
    /// The worker of a lost task is back.
    Revived { status: Status },
}

/// Why a task was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// By request.
    Deleted,
    /// It was kept long enough, or gave way to another.
    Expired,
}

impl Removal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
        }
    }
}

impl Step {
    pub fn announcement(&self) -> Announcement {
        match self {
            Self::Event { verdict, .. } => verdict.announcement,
            Self::Lost { .. } => Announcement::Lifecycle(TaskEvent::Failed),
            Self::Revived { .. } => Announcement::Lifecycle(TaskEvent::Started),
            Self::Item | Self::Requested { .. } | Self::Stalled => Announcement::Progress,
        }
    }

    /// Whether the message that announces it says that the task is back.
    pub fn revives(&self) -> bool {
        match self {
            Self::Event { revives, .. } => revives.is_some(),
            Self::Revived { .. } => true,
            _ => false,
        }
    }

    /// Whether pending progress must go out before: a subscriber must not see `completed` before the progress that led there. What a lost
    /// task has pending goes with the message that it is back.
    pub fn follows_progress(&self) -> bool {
        !matches!(self, Self::Revived { .. }) && self.announcement() != Announcement::Progress
    }

    pub fn apply(self, task: &mut Task, at: Now) {
        let announcement = self.announcement();
        match self {
            Self::Event {
                kind,
                verdict,
                patch,
                size_bound,
                revives,
            } => {
                task.size_bound = size_bound;
                if let Some(status) = revives {
                    lost::revive(task, status, at);
                }
                rules::apply(task, kind, verdict, *patch, at);
            }
            // Items are never judged: they carry neither `attempt` nor `seq`, and may follow the end of their task.
            Self::Item if task.view.status.is_terminal() => {}
            Self::Item => {
                rules::wake(task, at);
                task.last_event = at.at;
                task.restarted_at = None;
            }
            Self::Requested { control, by } => rules::apply_request(task, control, by, at),
            Self::Stalled => {
                task.pending_since.get_or_insert(at.at);
                rules::set_stalled(task, true);
            }
            Self::Lost { message } => lost::lose(task, &message, at),
            Self::Revived { status } => lost::revive(task, status, at),
        }
        // A message with the whole state follows, so that nothing is pending any more.
        if announcement != Announcement::Progress {
            task.refresh_estimate(at);
            task.commit();
        }
    }
}
