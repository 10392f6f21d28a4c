//! The hub's entry for reports and control requests: deduplication around, and dispatch to task, item or room.
//!
//! Owns nothing; it joins the broadcaster with the parts of the hub. Whether and how a task event counts is decided in
//! [`decision`](crate::hub::tasks::decision).

use crate::base::time::Now;
use crate::hub::delivery::fanout::RoomMessage;
use crate::hub::delivery::publication::Outlet;
use crate::hub::keys::TaskKey;
use crate::hub::parts::Hub;
use crate::hub::tasks::outcome::{ControlRefused, Outcome, Refused};
use crate::hub::tasks::size::Truncated;
use crate::hub::tasks::step::Removal;
use crate::hub::tasks::verdict::DropReason;
use crate::wire::message::{Control, Event, Report};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingested {
    Accepted(Accepted),
    /// Late, repeated or out of order; nothing has changed.
    Dropped(Dropped),
    /// A limit forbids it; nothing has changed.
    Refused(Refused),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// `None` for a room's message.
    pub task: Option<TaskKey>,
    pub truncated: Vec<Truncated>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Task(Box<str>),
    Room(Box<str>),
}

impl Subject {
    fn of(event: Event<'_>) -> Self {
        match event {
            Event::Task { task_id, .. } | Event::Item { task_id, .. } => Self::Task(task_id.into()),
            Event::Room { room, .. } => Self::Room(room),
        }
    }

    fn task(&self) -> Option<&str> {
        match self {
            Self::Task(name) => Some(name),
            Self::Room(_) => None,
        }
    }
}

/// What an event id is unique within, as a prefix and a name. Task ids and room names hold no line feed, so the prefix keeps a room
/// and a task of one name apart, and in two parts it costs no allocation.
fn id_scope<'a>(event: &'a Event<'_>) -> [&'a str; 2] {
    match event {
        Event::Task { task_id, .. } | Event::Item { task_id, .. } => ["", task_id],
        Event::Room { room, .. } => ["\n", room],
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The task, if it is known.
    pub task: Option<TaskKey>,
    pub subject: Subject,
    pub reason: DropReason,
}

impl Hub {
    /// Whether the report's id was accepted before. Unlike [`Hub::ingest`] it neither counts a drop nor expires ids, so that callers can
    /// look ahead.
    pub fn was_accepted(&self, report: &Report<'_>) -> bool {
        let event_ids = &self.broadcaster.event_ids;
        let key = |id| event_ids.key(id_scope(&report.event), id);
        report
            .id
            .as_deref()
            .is_some_and(|id| event_ids.knows(key(id)))
    }

    /// Applies a report. Its id is remembered only when it is accepted: one that was refused may be sent again under the same id.
    pub fn ingest(&mut self, now: Now, report: Report<'_>, out: &mut dyn Outlet) -> Ingested {
        let Some(id) = report.id else {
            return self.handle_event(now, report.event, false, out);
        };
        // Hashed once, while the event still holds its names.
        let key = self.broadcaster.event_ids.key(id_scope(&report.event), &id);
        if self.broadcaster.is_repeat(now, key, &mut self.fanout) {
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
            self.broadcaster.remember(now, key, &mut self.fanout);
        }
        ingested
    }

    /// Records a control request. `by`: the client's id, or `api`.
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

    /// Removes a task, also one whose row in the store could not be read; `false` when there is none of that id.
    pub fn forget(&mut self, now: Now, task: &str, why: Removal, out: &mut dyn Outlet) -> bool {
        let (broadcaster, mut scope) = self.scope(now, out);
        // A row may be unreadable and its id not, so an operator can still delete it.
        broadcaster.remove(&mut scope, task, why)
    }

    pub(in crate::hub) fn handle_event(
        &mut self,
        now: Now,
        event: Event<'_>,
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
                let event = (kind, patch);
                let outcome = broadcaster.handle_event(&mut scope, &task_id, event, has_id);
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
                // Created even without members: its log serves clients that subscribe with `since` later.
                let Ok(room) = self.directory.find_or_create(&room) else {
                    return Ingested::Refused(Refused::Limit("websocket.max_rooms"));
                };
                self.publish(
                    now,
                    RoomMessage {
                        room,
                        kind: &kind,
                        payload,
                        // A producer is no subscriber, so there is no sender to leave out.
                        except: None,
                        tells: None,
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
                subject: Subject::Task(id.into()),
                reason,
            }),
            Outcome::Refused(refused) => Ingested::Refused(refused),
        }
    }
}
