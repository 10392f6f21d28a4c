//! Messages for one client alone: written, and kept in its mailbox until they have surely arrived.

use super::client::ClientKey;
use super::directory::Directory;
use super::fanout::Fanout;
use super::mailbox::Letter;
use super::saved;
use crate::base::time::Now;

/// A message with its place among all that must not be lost.
pub fn letter(fanout: &mut Fanout, now: Now, kind: &str, payload: &str) -> Letter {
    Letter {
        serial: fanout.next_serial(),
        kind: kind.into(),
        payload: payload.into(),
        timestamp: now.wall_ms,
        id: fanout.next_id(),
    }
}

/// Keeps a message that a client's connection has or has not taken, for as long as the client may lack it.
pub fn post(
    directory: &mut Directory,
    fanout: &mut Fanout,
    client: ClientKey,
    letter: Letter,
    is_taken: bool,
) {
    let (limit, serial) = (fanout.log_limit(), letter.serial);
    let reader = directory.client_mut(client);
    let (id, has_session) = (reader.id, reader.has_session);
    if !has_session && is_taken {
        return;
    }
    let journal = &mut fanout.journal;
    if has_session {
        saved::put_letter(journal, id, &letter);
    }
    let mailbox = reader.open_mailbox();
    if is_taken {
        mailbox.sent = serial;
    }
    let gone = mailbox.keep(limit, letter);
    if has_session {
        saved::delete_letters(journal, id, gone);
    }
}
