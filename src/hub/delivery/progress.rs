//! Sends a task's newest state to its viewers: each gets the delta or snapshot that it lacks, and those that lack the same share its
//! bytes. When progress goes out is planned with the task ([`Broadcaster::plan_flush`]).
//!
//! Owns no state: what a viewer has seen is the `seen` and `introduced` of its membership. That replaces a queue: however many updates
//! a slow viewer misses, it lacks one state. A delta costs no memory per viewer either, because the task remembers the version in which
//! each field changed last. Invariant: `seen` is the
//! version that the connection took, or that the log owes it with a lifecycle message; a refusal of progress takes it back.

use crate::hub::clients::client::{Member, Membership};
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::delivery::replay;
use crate::hub::keys::ClientKey;
use crate::hub::keys::RoomKey;
use crate::hub::keys::TaskKey;
use crate::hub::scope::Scope;
use crate::hub::tasks::broadcaster::{Broadcaster, set_flush};
use crate::hub::tasks::state::{Flush, Pending, Task};
use crate::wire::message::TaskEvent;
use smallvec::SmallVec;

impl Broadcaster {
    /// Flushes the tasks marked in this turn. Called once at its end, so that many events of one task make one message.
    pub fn settle(&mut self, scope: &mut Scope<'_>) {
        let mut marked = std::mem::take(&mut self.marked);
        for key in marked.drain(..) {
            self.flush(scope, key);
        }
        debug_assert!(self.marked.is_empty(), "a flush marks no task");
        self.marked = marked;
    }

    /// Sends a client that has just joined a task's room a snapshot, if there is a task.
    pub fn send_snapshot(&mut self, scope: &mut Scope<'_>, client: ClientKey, room: RoomKey) {
        if let Some(key) = self.task_of(scope.directory, room) {
            self.refresh_for_snapshot(scope, key, room);
            self.send_state(scope, client, room);
        }
    }

    fn refresh_for_snapshot(&mut self, scope: &mut Scope<'_>, key: TaskKey, room: RoomKey) {
        let alone = scope.directory.room(room).members().len() == 1;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        // The client that joins gets the estimate of now; other subscribers keep theirs until the next movement. Changes are committed
        // only when there are no others: a commit would take what is pending for them as sent.
        task.refresh_estimate(scope.now);
        if alone {
            task.commit();
        }
    }

    /// Sends a client the newest state of a room's task, unless it has seen it. Charged to the turn's budget for single readers.
    fn send_state(
        &mut self,
        scope: &mut Scope<'_>,
        client: ClientKey,
        room: RoomKey,
    ) -> SendOutcome {
        let Some(key) = self.task_of(scope.directory, room) else {
            return SendOutcome::Before;
        };
        self.watch_end(key, scope.moment());
        let Some(task) = self.tasks.task(key) else {
            return SendOutcome::Before;
        };
        let before = scope.fanout.load.turn();
        let told = send_newest(scope, task, client, room);
        scope.fanout.load.visit(1);
        scope.fanout.load.charge(before);
        told
    }

    /// Sends a client whose connection has drained the newest state of each of its tasks that has changed meanwhile. When it is refused
    /// again, or the turn's budget is spent, the next call goes on with the room where this one stopped: beginning again each time
    /// would starve the last rooms of a client with many.
    pub fn catch_up(&mut self, scope: &mut Scope<'_>, client: ClientKey) {
        if scope.fanout.load.is_spent() {
            return replay::postpone(scope.directory, scope.fanout, client);
        }
        // Collected, because sending borrows the directory mutably.
        let rooms: SmallVec<[RoomKey; 8]> = scope.directory.client(client).rooms().collect();
        let begin = scope.directory.client(client).caught_up() % rooms.len().max(1);
        for (step, room) in rooms[begin..].iter().chain(&rooms[..begin]).enumerate() {
            let told = self.send_state(scope, client, *room);
            // Rooms without news cost next to nothing, so only a message that was sent ends the walk early.
            let is_spent = told == SendOutcome::Now && scope.fanout.load.is_spent();
            if is_spent {
                replay::postpone(scope.directory, scope.fanout, client);
            }
            if is_spent || told == SendOutcome::Later {
                let reader = scope.directory.client_mut(client);
                return reader.set_caught_up((begin + step) % rooms.len());
            }
        }
        let reader = scope.directory.client_mut(client);
        reader.set_caught_up(0);
        reader.trim();
    }

    /// A flush timer has fired. It may be stale, and the pace may have slowed since it was armed, so the flush is planned again.
    pub fn handle_flush_due(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        if matches!(task.flush, Flush::Armed(at) if at <= scope.now.at) {
            set_flush(&mut self.planned, task, Flush::Idle);
            self.plan_flush(scope, key);
        }
    }

    /// Sends a task's pending progress to every connected member that keeps up.
    pub(in crate::hub) fn flush(&mut self, scope: &mut Scope<'_>, key: TaskKey) {
        let threshold = scope.settings.broadcaster.min_change_threshold;
        let Some(task) = self.tasks.task_mut(key) else {
            return;
        };
        set_flush(&mut self.planned, task, Flush::Idle);
        if task.pending(threshold) == Pending::Nothing {
            return;
        }
        let room = self.room_of_task(scope.directory, key);
        // In a room without members the changes stay marked: they cost nothing, and the first member gets a snapshot that commits
        // them.
        let room = room.filter(|room| !scope.directory.room(*room).members().is_empty());
        let (Some(room), Some(task)) = (room, self.tasks.task_mut(key)) else {
            return;
        };
        let arrived = task.pending_since.unwrap_or(scope.now.at);
        task.refresh_estimate(scope.now);
        task.commit();
        task.last_flush = Some(scope.now.at);
        scope.log_broadcast(room);
        let delivered = fan_out(scope, room, task);
        scope.fanout.handle_broadcast(scope.now, arrived, delivered);
        self.watch_end(key, scope.moment());
    }
}

/// Sends a task's state to every connected member whose connection keeps up; returns how many took it.
fn fan_out(scope: &mut Scope<'_>, room: RoomKey, task: &Task) -> usize {
    let incremental = scope.settings.broadcaster.enable_incremental_updates;
    let audience = scope.fanout.audience.begin();
    let mut form = None;
    // Allocates only if viewers need different forms.
    let mut others: Vec<(Form, Member)> = Vec::new();
    // By index, because marking a member borrows the directory.
    for place in 0..scope.directory.room(room).connected_count() {
        let member = scope.directory.room(room).connected()[place];
        let reader = scope.directory.client_mut(member.client);
        if reader.defers_progress {
            continue;
        }
        let membership = &mut reader.rooms[member.slot as usize];
        let needed = Form::of(task, membership, incremental);
        if *form.get_or_insert(needed) == needed {
            // Marked before it is offered, to visit each member once: nearly all take it, and refusals are taken back.
            (membership.seen, membership.introduced) = (task.version(), true);
            audience.push(member.client, reader.connection);
        } else {
            others.push((needed, member));
        }
    }
    // Usually there is one form. The others are grouped by what their viewers have seen, one publication each.
    let mut delivered = 0;
    while let Some(current) = form {
        delivered += publish(scope, task, room, current);
        let audience = scope.fanout.audience.begin();
        form = others.first().map(|(form, _)| *form);
        others.retain(|(needed, member)| {
            let is_next = form == Some(*needed);
            if is_next {
                let reader = scope.directory.client_mut(member.client);
                let membership = &mut reader.rooms[member.slot as usize];
                (membership.seen, membership.introduced) = (task.version(), true);
                audience.push(member.client, reader.connection);
            }
            !is_next
        });
    }
    delivered
}

fn publish(scope: &mut Scope<'_>, task: &Task, room: RoomKey, form: Form) -> usize {
    // Encoded once per form, however many viewers need it.
    let payload = match form {
        Form::Snapshot => task.whole_at(true, scope.now),
        // No need to bring the estimate up to date: it was computed in this turn.
        Form::Delta { after } => task.delta(after),
    };
    let id = scope.fanout.next_id();
    let publication = Publication::new(TaskEvent::Progress.as_str(), &payload, scope.now, &id);
    let delivered = scope.fanout.offer_all(&publication, Lane::State, scope.out);
    for client in scope.fanout.audience.refused() {
        scope.directory.client_mut(client).defers_progress = true;
        if let Some(member) = scope.directory.member(client, room) {
            let membership = scope.directory.membership_mut(member);
            (membership.seen, membership.introduced) = form.before();
        }
    }
    delivered
}

/// Whether a client has a task's newest state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendOutcome {
    /// It had it already.
    Before,
    /// It has been sent it.
    Now,
    /// Its connection refused it.
    Later,
}

fn send_newest(
    scope: &mut Scope<'_>,
    task: &Task,
    client: ClientKey,
    room: RoomKey,
) -> SendOutcome {
    let Some(member) = scope.directory.member(client, room) else {
        return SendOutcome::Before;
    };
    let membership = scope.directory.membership_mut(member);
    // A turn's flush may have reached it already.
    if membership.seen == task.version() {
        return SendOutcome::Before;
    }
    let incremental = scope.settings.broadcaster.enable_incremental_updates;
    let form = Form::of(task, membership, incremental);
    let payload = match form {
        Form::Snapshot => task.whole_at(true, scope.now),
        Form::Delta { after } => task.delta_at(after, scope.now),
    };
    let id = scope.fanout.next_id();
    let reader = scope.directory.client(client).connection;
    let publication = Publication::new(TaskEvent::Progress.as_str(), &payload, scope.now, &id);
    if !scope
        .fanout
        .offer(&publication, reader, Lane::State, scope.out)
    {
        scope.directory.client_mut(client).defers_progress = true;
        return SendOutcome::Later;
    }
    let membership = scope.directory.membership_mut(member);
    (membership.seen, membership.introduced) = (task.version(), true);
    SendOutcome::Now
}

/// The form in which a viewer needs a task's state; viewers with equal forms share a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// All fields.
    Snapshot,
    /// The fields that changed after a version.
    Delta { after: u32 },
}

impl Form {
    fn of(task: &Task, membership: &Membership, incremental: bool) -> Self {
        match membership.introduced && incremental && task.has_delta(membership.seen) {
            true => Self::Delta {
                after: membership.seen,
            },
            false => Self::Snapshot,
        }
    }

    /// The marks of a viewer that needs this form, to restore them after a refusal. One that refused a snapshot gets the next state as
    /// a snapshot too, even if a delta would do by then.
    fn before(self) -> (u32, bool) {
        match self {
            Self::Snapshot => (0, false),
            Self::Delta { after } => (after, true),
        }
    }
}
