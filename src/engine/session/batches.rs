//! `batch`: the messages of a turn as one, for clients that ask for it (contract section 4).

use crate::engine::context::Context;
use crate::hub::ClientKey;
use crate::wire::message::{Dialect, Variant};

/// From now on the messages of a turn come as one to this client of the payload dialect.
pub fn enable(context: &mut Context<'_>, client: ClientKey) {
    let connection = context.hub.directory().client(client).connection;
    let Variant {
        dialect, encoding, ..
    } = context.variant(client);
    if dialect == Dialect::Payload
        && let Some(peer) = context.peers.peer_mut(connection)
    {
        let batch_size = context.settings.batch_size;
        peer.connection.outbox.enable_batches(encoding, batch_size);
        context.hub.handle_batches(client);
    }
}
