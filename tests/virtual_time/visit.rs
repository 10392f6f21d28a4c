//! A client that may come back, as the session tests see it: what it was greeted with, and what it has heard.

use super::world::{PeerId, World};
use serde_json::{Value, json};

/// One connection of a client.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) peer: PeerId,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) resumed: bool,
    /// What came with the greeting.
    pub(crate) first: Vec<Value>,
}

impl Visit {
    /// Connects on `path` and is greeted.
    pub(crate) fn on(world: &mut World, path: &str, headers: &str) -> Self {
        let peer = world.upgrade(path, headers);
        let mut first = world.messages(peer);
        let greeting = first.remove(0);
        assert_eq!(greeting["type"], "connected");
        let text = |name: &str| {
            greeting["payload"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            peer,
            id: text("clientId"),
            secret: text("session"),
            resumed: greeting["payload"]["resumed"] == true,
            first,
        }
    }

    /// A client that is new here, in these rooms.
    pub(crate) fn new(world: &mut World, rooms: &[&str]) -> Self {
        let visit = Self::on(world, "/ws", "");
        assert!(!visit.resumed);
        visit.enter(world, rooms);
        visit
    }

    /// Enters rooms and forgets what that brings.
    pub(crate) fn enter(&self, world: &mut World, rooms: &[&str]) {
        world.send(self.peer, &json!({"type": "subscribe", "rooms": rooms}));
        let ack = &world.messages(self.peer)[0];
        assert_eq!(ack["type"], "subscription_ack");
        assert_eq!(ack["payload"]["denied"], json!([]));
    }

    /// The same client on another connection.
    pub(crate) fn again(&self, world: &mut World) -> Self {
        Self::on(world, &format!("/ws?session={}", self.secret), "")
    }

    /// The same client on a connection that reads only so many bytes.
    pub(crate) fn again_reading(&self, world: &mut World, bytes: usize) -> PeerId {
        let services = joblight::internals::engine::Services::BOTH;
        let peer = world.connect(services, [127, 0, 0, 1]);
        world.stall(peer, bytes);
        world.ask_upgrade(peer, &format!("/ws?session={}", self.secret), "");
        peer
    }

    /// Which rooms could be made up for, by the acknowledgement that came with the greeting.
    pub(crate) fn recovered(&self) -> Value {
        assert_eq!(self.first[0]["type"], "subscription_ack");
        self.first[0]["payload"]["recovered"].clone()
    }

    /// What came after that acknowledgement.
    pub(crate) fn missed(&self) -> Vec<String> {
        brief(&self.first[1..])
    }

    /// What has been heard since.
    pub(crate) fn heard(&self, world: &mut World) -> Vec<String> {
        brief(&world.messages(self.peer))
    }

    /// A message for this client alone.
    pub(crate) fn write_to(&self, world: &mut World, payload: Value) -> u64 {
        let path = format!("/api/clients/{}/send", self.id);
        let answer = world.post(&path, json!({"type": "letter", "payload": payload}));
        answer["delivered"].as_u64().expect("a number")
    }
}

/// Publishes a message to a room.
pub(crate) fn publish(world: &mut World, room: &str, payload: impl Into<Value>) {
    let path = format!("/api/rooms/{room}/broadcast");
    world.post(&path, json!({"payload": payload.into()}));
}

/// Where a room is, after a message.
pub(crate) fn position_of(world: &mut World, room: &str) -> Value {
    let path = format!("/api/rooms/{room}/broadcast");
    world.post(&path, json!({"payload": 0}))["position"].clone()
}

/// Messages in short: `room payload`, `letter payload`, or the type.
pub(crate) fn brief(messages: &[Value]) -> Vec<String> {
    let one = |message: &Value| match message["type"].as_str().expect("a type") {
        "room_broadcast" => format!(
            "{} {}",
            message["room"].as_str().expect("a room"),
            message["payload"]
        ),
        "letter" => format!("letter {}", message["payload"]),
        kind => kind.to_owned(),
    };
    messages.iter().map(one).collect()
}

/// Time for the server to ask what has arrived, and for everybody to answer.
pub(crate) fn settle(world: &mut World) {
    world.run_for(200);
}
