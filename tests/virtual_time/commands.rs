//! What comes from the process itself and not from a peer: the commands of a program that embeds the server, and what the
//! shell knows of its sockets.

use super::world::{PeerId, World};
use joblight::internals::wire::Report;
use serde_json::Value;

impl World {
    /// Publishes to a room and waits for no answer.
    pub(crate) fn publish(&mut self, room: &str, payload: impl ToString) {
        let (now, payload) = (self.now(), payload.to_string());
        self.turn(|world| {
            world.engine.command(now, |context| {
                let sent = context.send_to_room(room, "room_broadcast", payload);
                sent.expect("sent");
            });
        });
    }

    /// Writes to one client and waits for no answer.
    pub(crate) fn write_to(&mut self, client: &str, payload: impl ToString) {
        let (now, payload) = (self.now(), payload.to_string());
        self.turn(|world| {
            world.engine.command(now, |context| {
                context.send(client, "letter", &payload).expect("sent");
            });
        });
    }

    /// Takes an event within a turn and waits for no answer.
    pub(crate) fn take_event(&mut self, event: &Value) {
        let event = event.to_string();
        let report = Report::parse(&event).expect("a report");
        let now = self.now();
        let taken = self.engine.command(now, |context| context.report(report));
        taken.expect("taken");
    }

    /// What each command is refused with that changes something, or asks for what is there.
    pub(crate) fn refusals(&mut self) -> Vec<String> {
        let now = self.now();
        let report = Report::parse(r#"{"type":"task_started","payload":{"taskId":"t"}}"#).unwrap();
        let refusals = self.engine.command(now, |context| {
            [
                context.report(report).err(),
                context.send_to_room("r", "note", "1".to_owned()).err(),
                context.broadcast_to_all("note", "1").err(),
                context.send("client_ab", "note", "1").err(),
                context.subscribe("client_ab", "r").err(),
                context.unsubscribe("client_ab", "r").err(),
                context.client_infos().err(),
                context.room_clients("r").err(),
                context.find_client("client_ab").err(),
            ]
        });
        let texts = refusals.into_iter();
        texts
            .map(|refusal| refusal.expect("refused").to_string())
            .collect()
    }

    /// The process stood still for a while.
    pub(crate) fn forgive(&mut self) {
        let now = self.now();
        self.engine.forgive_pause(now);
    }

    /// These peers have sent more than was read of them.
    pub(crate) fn spare(&mut self, peers: &[PeerId]) {
        let connections: Vec<_> = peers.iter().map(|peer| self.connection(*peer)).collect();
        self.engine.spare(connections.into_iter());
    }

    /// There are too many connections: whether one of them made room.
    pub(crate) fn make_room(&mut self) -> bool {
        let now = self.now();
        self.engine.make_room(now).is_some()
    }

    /// Beyond so many connections no viewer is let in.
    pub(crate) fn limit_viewers(&mut self, max: usize) {
        self.engine.settings_mut().max_viewers = max;
    }
}
