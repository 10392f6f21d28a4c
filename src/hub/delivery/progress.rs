//! A task's progress on its way to those who watch: each gets what it lacks, and who lacks the same shares the bytes.

use crate::hub::clients::client::{Member, Membership};
use crate::hub::delivery::audience::Audience;
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::keys::ClientKey;
use crate::hub::keys::RoomKey;
use crate::hub::scope::Scope;
use crate::hub::tasks::state::Task;
use crate::wire::message::TaskEvent;

/// Sends a task's state to every watcher whose connection keeps up; how many took it.
pub fn fan_out(scope: &mut Scope<'_>, room: RoomKey, task: &Task, incremental: bool) -> usize {
    let mut audience = std::mem::take(&mut scope.fanout.audience);
    let mut form = None;
    let mut others: Vec<(Form, Member)> = Vec::new();
    for place in 0..scope.directory.room(room).watchers() {
        let member = scope.directory.room(room).connected()[place];
        let reader = scope.directory.client_mut(member.client);
        if reader.backlogged {
            continue;
        }
        let membership = &mut reader.rooms[member.slot as usize];
        let needed = Form::of(task, membership, incremental);
        if *form.get_or_insert(needed) == needed {
            // Nearly all take it, and what is marked of those that do not is taken back.
            (membership.seen, membership.introduced) = (task.version(), true);
            audience.push(member.client, reader.connection);
        } else {
            others.push((needed, member));
        }
    }
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
    let payload = match form {
        Form::Snapshot => task.whole_at(true, scope.now),
        // The estimate is as old as this turn.
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

/// How a client stands to a task's newest state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It knows it.
    Before,
    /// It was sent it.
    Now,
    /// Its connection is too far behind.
    Later,
}

/// Sends one client a task's newest state, unless it has seen it.
pub fn send_newest(
    scope: &mut Scope<'_>,
    task: &Task,
    client: ClientKey,
    room: RoomKey,
    incremental: bool,
) -> Told {
    let Some(member) = scope.directory.member(client, room) else {
        return Told::Before;
    };
    let membership = scope.directory.membership_mut(member);
    if membership.seen == task.version() {
        return Told::Before;
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
        return Told::Later;
    }
    let membership = scope.directory.membership_mut(member);
    (membership.seen, membership.introduced) = (task.version(), true);
    Told::Now
}

/// How a viewer is told of a task: those who need the same form share its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The whole state.
    Snapshot,
    /// What has changed after a version.
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

    /// What a viewer that needs this form has seen, and whether deltas may follow that.
    fn before(self) -> (u32, bool) {
        match self {
            Self::Snapshot => (0, false),
            Self::Delta { after } => (after, true),
        }
    }
}
