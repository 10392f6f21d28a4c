//! What a client lacks, and when it is told of a loss: after it has come back, and after its connection has drained.

use crate::engine::context::Context;
use crate::engine::session::acknowledgement;
use crate::hub::ClientKey;

/// Sends a lagging client what it lacks. It is told first when something is lost, and, having come back, in any case.
pub fn recover(context: &mut Context<'_>, client: ClientKey, has_come_back: bool) {
    if !has_come_back && context.hub.load().is_spent() {
        return context.hub.postpone(client);
    }
    let denied = match has_come_back {
        true => context.hub.rejoin(client),
        false => Vec::new(),
    };
    let rooms = context.hub.directory().client(client).memberships().len();
    context.hub.load().visit(rooms);
    let recoveries = context.hub.plan_recovery(client);
    let is_lossy = recoveries.iter().any(|room| !room.recovered);
    if has_come_back || is_lossy {
        acknowledgement::acknowledge_recovery(context, client, denied, &recoveries);
    }
    if is_lossy {
        rewind_confirmed(context, client);
    }
    context.hub.recover(
        context.now,
        client,
        &recoveries,
        &mut context.peers.delivery(context.settings),
    );
}

/// A client is told of a loss, or is sent older messages: an answer to what it was asked before says nothing of that.
pub fn rewind_confirmed(context: &mut Context<'_>, client: ClientKey) {
    let connection = context.hub.directory().client(client).connection;
    context.peers.ask_anew(connection);
}
