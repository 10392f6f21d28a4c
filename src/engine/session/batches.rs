//! `batch`: the messages of a turn as one, for clients that ask for it (contract section 4).

use crate::engine::context::Context;
use crate::hub::ClientKey;
use crate::wire::message::Dialect;

/// From now on the messages of a turn come as one to this client of the payload dialect.
pub fn enable(context: &mut Context<'_>, client: ClientKey) {
    let connection = context.hub.directory().client(client).connection;
    let peer = context.peers.peer_mut(connection);
    if let Some(peer) = peer.filter(|peer| peer.variant.dialect == Dialect::Payload) {
        let batch_size = context.settings.batch_size;
        let outbox = &mut peer.connection.outbox;
        outbox.enable_batches(peer.variant.encoding, batch_size);
        // A batch is put together for it alone: what goes into one is shared in its plain form.
        peer.variant.window = None;
    }
}
