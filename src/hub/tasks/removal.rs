//! Telling subscribers that their task was removed, in order with the messages before it (contract section 4).
//!
//! The message is not logged, because the log goes with the task. A client that lags, or whose connection refuses it, gets it as a
//! direct message, which follows the log entries that the client lacks. Clients that are away are not told. Removing the task itself
//! is [`Broadcaster::forget`](crate::hub::tasks::broadcaster::Broadcaster::forget)'s.

use crate::hub::clients::shared;
use crate::hub::delivery::publication::{Lane, Publication};
use crate::hub::keys::ClientKey;
use crate::hub::keys::RoomKey;
use crate::hub::scope::Scope;
use crate::hub::tasks::step::Removal;
use crate::wire::message::TASK_REMOVED;
use crate::wire::message::envelope::push_string;
use smallvec::SmallVec;

/// Publishes `task_removed` to the connected members of the task's room.
pub fn announce(scope: &mut Scope<'_>, room: RoomKey, task: &str, why: Removal) {
    let readers = scope.directory.room(room).connected_count();
    // Before the payload and a message id are made: most expired tasks have no watcher.
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
        // A lagging reader has log entries to come, which this message must not overtake.
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
        // One message per client, each with a serial of its own: it is confirmed and resent like any direct message.
        let message = shared::sequence(scope.fanout, scope.now, TASK_REMOVED, &payload);
        scope.directory.fall_behind(client, message.serial - 1);
        shared::apply_direct(scope.directory, scope.fanout, client, message, false);
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
