//! What producers report and viewers ask of a task's worker, on its way into the hub.

use crate::base::time::Now;
use crate::hub::delivery::fanout::RoomMessage;
use crate::hub::delivery::publication::Outlet;
use crate::hub::keys::TaskKey;
use crate::hub::parts::Hub;
use crate::hub::tasks::outcome::{ControlRefused, Outcome, Refused};
use crate::hub::tasks::removal::Removal;
use crate::hub::tasks::rules::DropReason;
use crate::hub::tasks::size::Truncated;
use crate::wire::message::{Control, Event, Report};

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    /// It counted.
    Accepted(Accepted),
    /// It was late, repeated or out of order.
    Dropped(Dropped),
    /// It changes nothing, because it may not.
    Refused(Refused),
}

/// A report that counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// The task, if it was about one.
    pub task: Option<TaskKey>,
    /// Its fields that were cut.
    pub truncated: Vec<Truncated>,
}

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The task of this id.
    Task(Box<str>),
    /// The room of this name.
    Room(Box<str>),
}

impl Subject {
    fn of(event: Event) -> Self {
        match event {
            Event::Task { task_id, .. } | Event::Item { task_id, .. } => Self::Task(task_id),
            Event::Room { room, .. } => Self::Room(room),
        }
    }

    /// The id of the task.
    fn task(&self) -> Option<&str> {
        match self {
            Self::Task(name) => Some(name),
            Self::Room(_) => None,
        }
    }
}

/// What event ids are told apart by, in two parts. No id of a task begins like that of a room: a room and a task of one
/// name are two.
fn id_scope(event: &Event) -> [&str; 2] {
    match event {
        Event::Task { task_id, .. } | Event::Item { task_id, .. } => ["", task_id],
        Event::Room { room, .. } => ["\n", room],
    }
}

/// A report that did not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The task that it was about, if that is known.
    pub task: Option<TaskKey>,
    /// What it was about.
    pub subject: Subject,
    /// Why.
    pub reason: DropReason,
}

impl Hub {
    /// Whether an event was accepted before, as far as its id tells.
    pub fn is_known(&self, report: &Report) -> bool {
        let repeats = &self.broadcaster.repeats;
        let key = |id| repeats.key(id_scope(&report.event), id);
        report
            .id
            .as_deref()
            .is_some_and(|id| repeats.knows(key(id)))
    }

    /// Takes what a producer reports.
    pub fn ingest(&mut self, now: Now, report: Report, out: &mut dyn Outlet) -> Ingested {
        let Some(id) = report.id else {
            return self.handle_event(now, report.event, false, out);
        };
        let key = self.broadcaster.repeats.key(id_scope(&report.event), &id);
        let journal = &mut self.fanout.journal;
        if self.broadcaster.is_repeat(now, key, journal) {
            let subject = Subject::of(report.event);
            return Ingested::Dropped(Dropped {
                task: subject
                    .task()
                    .and_then(|task| self.broadcaster.tasks().find(task)),
                subject,
                reason: DropReason::Repeat,
            });
        }
        let ingested = self.handle_event(now, report.event, true, out);
        if let Ingested::Accepted(_) = &ingested {
            let journal = &mut self.fanout.journal;
            self.broadcaster.repeats.remember(now, key, journal);
        }
        ingested
    }

    /// Records what a viewer asks of a task's worker.
    pub fn control(
        &mut self,
        now: Now,
        task: &str,
        control: Control,
        by: &str,
        out: &mut dyn Outlet,
    ) -> Result<(), ControlRefused> {
        let (broadcaster, mut scope) = self.scope(now, out);
        broadcaster.handle_control(&mut scope, task, control, by)
    }

    /// Forgets a task, also one whose row could not be read; `false` when there is none of that id.
    pub fn forget(&mut self, now: Now, task: &str, why: Removal, out: &mut dyn Outlet) -> bool {
        let (broadcaster, mut scope) = self.scope(now, out);
        match broadcaster.tasks().find(task) {
            Some(key) => broadcaster.forget(&mut scope, key, why).is_some(),
            None => broadcaster.forget_unread(&mut scope, task, why),
        }
    }

    pub(in crate::hub) fn handle_event(
        &mut self,
        now: Now,
        event: Event,
        has_id: bool,
        out: &mut dyn Outlet,
    ) -> Ingested {
        let (id, outcome) = match event {
            Event::Task {
                task_id,
                kind,
                patch,
            } => {
                let (broadcaster, mut scope) = self.scope(now, out);
                let outcome = broadcaster.handle_event(&mut scope, &task_id, kind, *patch, has_id);
                (task_id, outcome)
            }
            Event::Item {
                task_id,
                kind,
                payload,
            } => {
                let (broadcaster, mut scope) = self.scope(now, out);
                let outcome = broadcaster.handle_item(&mut scope, &task_id, kind.as_str(), payload);
                (task_id, outcome)
            }
            Event::Room {
                room,
                kind,
                payload,
            } => {
                let Ok(room) = self.directory.find_or_create(&room) else {
                    return Ingested::Refused(Refused::Limit("websocket.max_rooms"));
                };
                self.publish(
                    now,
                    RoomMessage {
                        room,
                        kind: &kind,
                        payload,
                        except: None,
                    },
                    out,
                );
                return Ingested::Accepted(Accepted::default());
            }
        };
        match outcome {
            Outcome::Accepted(key, truncated) => Ingested::Accepted(Accepted {
                task: Some(key),
                truncated,
            }),
            Outcome::Dropped(key, reason) => Ingested::Dropped(Dropped {
                task: key,
                subject: Subject::Task(id),
                reason,
            }),
            Outcome::Refused(refused) => Ingested::Refused(refused),
        }
    }
}
