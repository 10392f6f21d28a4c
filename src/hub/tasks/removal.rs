//! Tasks that go: whoever watches one is told, in its place among the other messages (contract section 4).
//!
//! The message is not logged, because the log goes with the task. A connection that takes no more gets it as mail, which
//! follows what it lacks of the logs; clients that are away are not told.

use crate::hub::clients::mail;
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::keys::ClientKey;
use crate::hub::keys::RoomKey;
use crate::hub::scope::Scope;
use crate::wire::message::TASK_REMOVED;
use crate::wire::message::envelope::push_string;
use smallvec::SmallVec;

/// Why a task goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Somebody asked for it.
    Deleted,
    /// It has been kept long enough, or makes room for another.
    Expired,
}

impl Removal {
    fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Expired => "expired",
        }
    }
}

/// Tells the watchers of a task's room that the task is gone.
pub fn announce(scope: &mut Scope<'_>, room: RoomKey, task: &str, why: Removal) {
    let readers = scope.directory.room(room).watchers();
    if readers == 0 {
        return;
    }
    let payload = payload(task, why);
    let id = scope.fanout.next_id();
    let publication = Publication::new(TASK_REMOVED, &payload, scope.now, &id);
    let mut audience = std::mem::take(&mut scope.fanout.audience);
    let mut lagging: SmallVec<[ClientKey; 8]> = SmallVec::new();
    for member in scope.directory.room(room).connected() {
        let reader = scope.directory.client(member.client);
        match reader.is_lagging {
            true => lagging.push(member.client),
            false => audience.push(member.client, reader.connection),
        }
    }
    let delivered = scope
        .fanout
        .offer_all(&publication, &mut audience, Lane::Log, scope.out);
    lagging.extend(audience.refused());
    scope.fanout.put_back(audience);
    scope
        .fanout
        .handle_broadcast(scope.now, scope.now.at, delivered);
    for client in lagging {
        let letter = mail::letter(scope.fanout, scope.now, TASK_REMOVED, &payload);
        scope.directory.fall_behind(client, letter.serial - 1);
        mail::post(scope.directory, scope.fanout, client, letter, false);
    }
}

fn payload(task: &str, why: Removal) -> String {
    let mut out = String::from("{\"taskId\":");
    push_string(&mut out, task);
    out.push_str(",\"reason\":\"");
    out.push_str(why.as_str());
    out.push_str("\"}");
    out
}
