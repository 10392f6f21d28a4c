//! The hub's entry for reports and control requests: deduplication around, and dispatch to task, item or room.
//!
//! Owns nothing; it joins the broadcaster with the parts of the hub. Whether and how a task event counts is decided in
//! [`decision`](crate::hub::tasks::decision).

use crate::base::time::Now;
use crate::hub::delivery::fanout::RoomMessage;
use crate::hub::delivery::publication::Outlet;
use crate::hub::parts::Hub;
use crate::hub::tasks::outcome::{Accepted, ControlRefused, Dropped, Ingested, Refused, Subject};
use crate::hub::tasks::step::Removal;
use crate::hub::tasks::verdict::DropReason;
use crate::wire::message::{Control, Event, Report};

/// What an event id is unique within, as a prefix and a name. Task ids and room names hold no line feed, so the prefix keeps a room
/// and a task of one name apart, and in two parts it costs no allocation.
fn id_scope<'a>(event: &'a Event<'_>) -> [&'a str; 2] {
    match event {
        Event::Task { task_id, .. } | Event::Item { task_id, .. } => ["", task_id],
        Event::Room { room, .. } => ["\n", room],
    }
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
            return Ingested::Dropped(self.repeat(report.event));
        }
        let ingested = self.handle_event(now, report.event, true, out);
        if let Ingested::Accepted(_) = &ingested {
            self.broadcaster.remember(now, key, &mut self.fanout);
        }
        ingested
    }

    fn repeat(&self, event: Event<'_>) -> Dropped {
        let (task, subject) = match event {
            Event::Task { task_id, .. } | Event::Item { task_id, .. } => (
                self.broadcaster.tasks().find(&task_id),
                Subject::Task(task_id.into()),
            ),
            Event::Room { room, .. } => (None, Subject::Room(room)),
        };
        let reason = DropReason::Repeat;
        Dropped {
            task,
            subject,
            reason,
        }
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
        let (broadcaster, mut scope) = self.scope(now, out);
        match event {
            Event::Task {
                task_id,
                kind,
                patch,
            } => broadcaster.handle_event(&mut scope, &task_id, (kind, patch), has_id),
            Event::Item {
                task_id,
                kind,
                payload,
            } => broadcaster.handle_item(&mut scope, &task_id, kind.as_str(), payload),
            Event::Room {
                room,
                kind,
                payload,
            } => {
                // Created even without members: its log serves clients that subscribe with `since` later.
                let Ok(room) = self.directory.find_or_create(&room) else {
                    return Ingested::Refused(Refused::Limit("websocket.max_rooms"));
                };
                // A producer is no subscriber, so there is no sender to leave out.
                self.publish(now, RoomMessage::new(room, &kind, payload), out);
                Ingested::Accepted(Accepted::default())
            }
        }
    }
}
