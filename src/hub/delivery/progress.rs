//! Sends a task's newest state to its viewers: each gets the delta or snapshot that it lacks, and those that lack the same share its
//! bytes.
//!
//! Owns no state: what a viewer has seen is the `seen` and `introduced` of its membership. That replaces a queue: however many updates
//! a slow viewer misses, it lacks one state. A delta costs no memory per viewer either, because the task remembers the version in which
//! each field changed last. Invariant: `seen` is the
//! version that the connection took, or that the log owes it with a lifecycle message; a refusal of progress takes it back.

use crate::hub::clients::client::{Member, Membership};
use crate::hub::delivery::audience::Audience;
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::keys::ClientKey;
use crate::hub::keys::RoomKey;
use crate::hub::scope::Scope;
use crate::hub::tasks::state::Task;
use crate::wire::message::TaskEvent;

/// Sends a task's state to every connected member whose connection keeps up; returns how many took it.
pub fn fan_out(scope: &mut Scope<'_>, room: RoomKey, task: &Task, incremental: bool) -> usize {
    let mut audience = std::mem::take(&mut scope.fanout.audience);
    let mut form = None;
    // Allocates only if viewers need different forms.
    let mut others: Vec<(Form, Member)> = Vec::new();
    // By index, because marking a member borrows the directory.
    for place in 0..scope.directory.room(room).connected_count() {
        let member = scope.directory.room(room).connected()[place];
        let reader = scope.directory.client_mut(member.client);
        if reader.backlogged {
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
        delivered += publish(scope, task, room, current, &mut audience);
        audience.clear();
        form = others.first().map(|(form, _)| *form);
        others.retain(|(needed, member)| {
            let is_next = form == Some(*needed);
            if is_next {
                let membership = scope.directory.membership_mut(*member);
                (membership.seen, membership.introduced) = (task.version(), true);
                audience.push(
                    member.client,
                    scope.directory.client(member.client).connection,
                );
            }
            !is_next
        });
    }
    scope.fanout.put_back(audience);
    delivered
}

fn publish(
    scope: &mut Scope<'_>,
    task: &Task,
    room: RoomKey,
    form: Form,
    audience: &mut Audience<ClientKey>,
) -> usize {
    // Encoded once per form, however many viewers need it.
    let payload = match form {
        Form::Snapshot => task.whole_at(true, scope.now),
        // No need to bring the estimate up to date: it was computed in this turn.
        Form::Delta { after } => task.delta(after),
    };
    let id = scope.fanout.next_id();
    let publication = Publication::new(TaskEvent::Progress.as_str(), &payload, scope.now, &id);
    let delivered = scope
        .fanout
        .offer_all(&publication, audience, Lane::State, scope.out);
    for client in audience.refused() {
        scope.directory.client_mut(client).backlogged = true;
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

pub fn send_newest(
    scope: &mut Scope<'_>,
    task: &Task,
    client: ClientKey,
    room: RoomKey,
    incremental: bool,
) -> SendOutcome {
    let Some(member) = scope.directory.member(client, room) else {
        return SendOutcome::Before;
    };
    let membership = scope.directory.membership_mut(member);
    // A turn's flush may have reached it already.
    if membership.seen == task.version() {
        return SendOutcome::Before;
    }
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
        scope.directory.client_mut(client).backlogged = true;
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
