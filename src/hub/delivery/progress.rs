//! A task's progress on its way to those who watch: each gets what it lacks, and who lacks the same shares the bytes.

use crate::hub::clients::client::{Member, Membership};
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::keys::ClientKey;
use crate::hub::keys::RoomKey;
use crate::hub::scope::Scope;
use crate::hub::tasks::state::Task;
use crate::wire::message::TaskEvent;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Sends a task's state to every watcher whose connection keeps up; tells how many took it.
pub fn fan_out(scope: &mut Scope<'_>, room: RoomKey, task: &Task, incremental: bool) -> usize {
    let mut publications: SmallVec<[(Form, Publication<'_>); 2]> = SmallVec::new();
    let mut delivered = 0;
    let readers = scope.directory.room(room).watchers();
    scope.out.expect_readers(readers);
    for place in 0..readers {
        let member = scope.directory.room(room).connected()[place];
        if scope.directory.client(member.client).backlogged {
            continue;
        }
        let form = Form::of(task, scope.directory.membership_mut(member), incremental);
        let known = publications.iter().position(|(known, _)| *known == form);
        let index = known.unwrap_or_else(|| {
            let payload = match form {
                Form::Snapshot => task.whole_at(true, scope.now),
                // The estimate is as old as this turn.
                Form::Delta { after } => task.delta(after),
            };
            publications.push((form, publication(scope, payload)));
            publications.len() - 1
        });
        delivered += usize::from(send(scope, task, member, &publications[index].1));
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
    let publication = publication(scope, payload);
    scope.out.expect_readers(1);
    match send(scope, task, member, &publication) {
        true => Told::Now,
        false => Told::Later,
    }
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
}

fn send(scope: &mut Scope<'_>, task: &Task, member: Member, publication: &Publication<'_>) -> bool {
    let sent = scope.fanout.deliver(
        scope.directory,
        member.client,
        publication,
        Lane::State,
        scope.out,
    );
    match sent {
        true => {
            let membership = scope.directory.membership_mut(member);
            (membership.seen, membership.introduced) = (task.version(), true);
        }
        false => scope.directory.client_mut(member.client).backlogged = true,
    }
    sent
}

fn publication<'a>(scope: &mut Scope<'_>, payload: String) -> Publication<'a> {
    let (kind, id) = (TaskEvent::Progress.as_str(), scope.fanout.next_id());
    Publication::new(kind, Cow::Owned(payload), scope.now.wall_ms, id, None)
}
