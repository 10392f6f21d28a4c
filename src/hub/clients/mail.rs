//! Creates direct messages, and keeps them in the client's queue and in the store until they are confirmed.

use crate::base::time::Now;
use crate::hub::clients::direct::DirectMessage;
use crate::hub::delivery::fanout::Fanout;
use crate::hub::durable::rows;
use crate::hub::keys::ClientKey;
use crate::hub::rooms::directory::Directory;

/// Creates a direct message with its serial and id.
pub fn message(fanout: &mut Fanout, now: Now, kind: &str, payload: &str) -> DirectMessage {
    DirectMessage {
        serial: fanout.next_serial(),
        kind: kind.into(),
        payload: payload.into(),
        timestamp: now.wall_ms,
        id: fanout.next_id(),
    }
}

/// Keeps a direct message as long as the client may lack it. `is_taken`: its connection took it. Without a session that is the end of
/// it: should the connection break, the client cannot come back for it.
pub fn post(
    directory: &mut Directory,
    fanout: &mut Fanout,
    client: ClientKey,
    message: DirectMessage,
    is_taken: bool,
) {
    let (limit, serial) = (fanout.log_limit(), message.serial);
    let reader = directory.client_mut(client);
    let (id, has_session) = (reader.id, reader.has_session);
    if !has_session && is_taken {
        return;
    }
    let journal = &mut fanout.journal;
    if has_session {
        // Before it enters the queue: if that drops it at once, the deletion must follow the row.
        rows::put_direct(journal, id, &message);
    }
    let direct = reader.open_direct();
    if is_taken {
        direct.sent = serial;
    }
    let gone = direct.keep(limit, message);
    if has_session {
        rows::delete_direct(journal, id, gone);
    }
}
