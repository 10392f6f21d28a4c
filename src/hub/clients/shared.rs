//! What is shared of a client: its session, and the direct messages that it has not confirmed, which are also sent here. Everything else
//! that is known of it belongs to this process.

use crate::hub::change::{Change, ClientChange};
use crate::hub::clients::client::Unsaved;
use crate::hub::clients::direct::DirectMessage;
use crate::hub::delivery::fanout::Fanout;
use crate::hub::delivery::publication::Lane;
use crate::hub::durable::rows;
use crate::hub::keys::{ClientId, ClientKey};
use crate::hub::parts::Hub;
use crate::hub::scope::Scope;

impl Hub {
    /// Begins a client's session, or continues it after the client has come back. A client that is not here is away.
    pub(in crate::hub) fn apply_session(&mut self, client: ClientId, connected_at: u64) {
        record(&mut self.fanout, client, || ClientChange::Session {
            connected_at,
        });
        let (directory, received) = (&mut self.directory, self.fanout.serial());
        let known = directory.living_client(client);
        if let Some(key) = known.or_else(|| directory.restore(client, connected_at, received)) {
            let client = directory.client_mut(key);
            client.connected_at = connected_at;
            let had_session = std::mem::replace(&mut client.has_session, true);
            let unsaved = [Unsaved::ALL, Unsaved::SESSION][usize::from(had_session)];
            self.fanout.journal.mark_client(client, unsaved);
        }
    }

    /// Ends a client's session, if it has one. The client is still there.
    pub fn end_session(&mut self, client: ClientKey) {
        let client = self.directory.client_mut(client);
        if std::mem::take(&mut client.has_session) {
            record(&mut self.fanout, client.id, || ClientChange::SessionEnded);
            rows::delete_session(&mut self.fanout.journal, client);
        }
    }

    /// Drops the direct messages that a client has confirmed.
    pub(in crate::hub) fn apply_confirmation(&mut self, client: ClientKey, serial: u64) {
        let reader = self.directory.client_mut(client);
        let (id, has_session) = (reader.id, reader.has_session);
        let Some(direct) = reader.direct_mut() else {
            return;
        };
        let gone = direct.confirm(serial);
        reader.trim();
        if has_session && !gone.is_empty() {
            record(&mut self.fanout, id, || ClientChange::Confirmed { serial });
            rows::delete_direct(&mut self.fanout.journal, id, gone);
        }
    }
}

fn record(fanout: &mut Fanout, client: ClientId, what: impl FnOnce() -> ClientChange) {
    fanout.changes.record(|| Change::Client {
        client,
        what: what(),
    });
}

impl Scope<'_> {
    /// Sends a direct message; returns whether the client's connection took it. It waits in the client's direct queue until it is
    /// confirmed.
    pub fn send(&mut self, client: ClientKey, kind: &str, payload: &str) -> bool {
        let message = self.sequence_direct(kind, payload);
        let reader = self.directory.client(client);
        // Not offered to a lagging client: it would overtake what the client lacks.
        let is_taken = !reader.is_lagging && {
            let publication = message.envelope().into();
            self.fanout
                .offer(&publication, reader.connection, Lane::Log, self.out)
        };
        // A log entry after it must not overtake it.
        if !is_taken {
            self.directory.fall_behind(client, message.serial - 1);
        }
        self.apply_direct(client, message, is_taken);
        is_taken
    }

    /// Queues a message that a client's connection has refused, or was not offered because the client is lagging.
    pub fn owe(&mut self, client: ClientKey, kind: &str, payload: &str) {
        let message = self.sequence_direct(kind, payload);
        self.directory.fall_behind(client, message.serial - 1);
        self.apply_direct(client, message, false);
    }

    fn sequence_direct(&mut self, kind: &str, payload: &str) -> DirectMessage {
        DirectMessage {
            serial: self.fanout.next_serial(),
            kind: kind.into(),
            payload: payload.into(),
            timestamp: self.now.wall_ms,
            id: self.fanout.next_id(),
        }
    }

    /// Keeps a direct message as long as the client may lack it. `is_taken`: its connection took it. Without a session that is the end
    /// of it: should the connection break, the client cannot come back for it.
    pub fn apply_direct(&mut self, client: ClientKey, message: DirectMessage, is_taken: bool) {
        let serial = message.serial;
        let reader = self.directory.client_mut(client);
        let (id, has_session) = (reader.id, reader.has_session);
        if !has_session && is_taken {
            return;
        }
        if has_session {
            record(self.fanout, id, || ClientChange::Direct(message.clone()));
            // Before it enters the queue: if that drops it at once, the deletion must follow the row.
            rows::put_direct(&mut self.fanout.journal, id, &message);
        }
        let direct = reader.open_direct();
        if is_taken {
            direct.sent = serial;
        }
        let gone = direct.keep(self.settings.message_queue_size, message);
        if has_session {
            rows::delete_direct(&mut self.fanout.journal, id, gone);
        }
    }
}
