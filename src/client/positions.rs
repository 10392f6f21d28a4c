//! A viewer's position in the log of each of its rooms, and which messages it has had before.
//!
//! Messages carry an offset and no epoch. Within an epoch, a message that is not beyond the last offset is a repeat.
//! When a room continues in another epoch (the server has crashed, and had not kept all that it said), old offsets may
//! come again with other messages: there, repeats are identified by their `id`.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet, VecDeque};

/// Ids remembered per room.
const MAX_IDS: usize = 1024;

#[derive(Debug, Default)]
pub struct Positions {
    rooms: BTreeMap<String, WatchedRoom>,
}

#[derive(Debug, Default)]
struct WatchedRoom {
    /// The last known position; `None` until the server has acknowledged the subscription.
    position: Option<Position>,
    /// The epoch of the next message, when it differs from the last position's.
    next_epoch: Option<String>,
    heard: Ids,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    epoch: String,
    offset: u64,
}

/// The latest message ids of a room.
#[derive(Debug, Default)]
struct Ids {
    order: VecDeque<String>,
    known: HashSet<String>,
}

impl Positions {
    pub fn insert(&mut self, room: &str) {
        self.rooms.entry(room.to_owned()).or_default();
    }

    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    pub fn rooms(&self) -> Vec<&str> {
        self.rooms.keys().map(String::as_str).collect()
    }

    /// The last known position of each room, in the form of `subscribe`.
    pub fn since(&self) -> Map<String, Value> {
        let known = self.rooms.iter().filter_map(|(name, room)| {
            let Position { epoch, offset } = room.position.as_ref()?;
            Some((name.clone(), Value::from(format!("{epoch}:{offset}"))))
        });
        known.collect()
    }

    /// Records the payload of a `subscription_ack`. Its positions run ahead of messages still to come, so they count
    /// only for a room that is new to us. After a loss the whole log follows, from its oldest entry.
    pub fn handle_acknowledgement(&mut self, payload: &Value) {
        for (name, room) in &mut self.rooms {
            let position = payload["positions"][name.as_str()].as_str();
            let Some(position) = position.and_then(parse_position) else {
                continue;
            };
            match &room.position {
                Some(_) if payload["recovered"][name.as_str()] == false => {
                    room.position = Some(Position {
                        offset: 0,
                        ..position
                    });
                    room.next_epoch = None;
                }
                Some(known) => {
                    room.next_epoch = (known.epoch != position.epoch).then_some(position.epoch);
                }
                None => room.position = Some(position),
            }
        }
    }

    /// Whether a message is new. What the server does not know to have arrived comes again after a reconnect.
    pub fn handle_message(&mut self, message: &Value) -> bool {
        let name = message["room"].as_str();
        let room = name.and_then(|name| self.rooms.get_mut(name));
        match (room, message["offset"].as_u64()) {
            (Some(room), Some(offset)) => room.handle_entry(offset, message["id"].as_str()),
            _ => true,
        }
    }
}

impl WatchedRoom {
    fn handle_entry(&mut self, offset: u64, id: Option<&str>) -> bool {
        let is_known = id.is_some_and(|id| !self.heard.insert(id));
        let Some(position) = &mut self.position else {
            return !is_known;
        };
        if let Some(epoch) = self.next_epoch.take() {
            *position = Position { epoch, offset };
            return !is_known;
        }
        let is_beyond = offset > position.offset;
        position.offset = position.offset.max(offset);
        is_beyond && !is_known
    }
}

impl Ids {
    /// `false` when the id is known.
    fn insert(&mut self, id: &str) -> bool {
        if !self.known.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > MAX_IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        debug_assert_eq!(self.order.len(), self.known.len());
        true
    }
}

fn parse_position(text: &str) -> Option<Position> {
    let (epoch, offset) = text.rsplit_once(':')?;
    Some(Position {
        epoch: epoch.to_owned(),
        offset: offset.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn positions() -> Positions {
        let mut positions = Positions::default();
        positions.insert("r");
        positions
    }

    fn acknowledge(positions: &mut Positions, position: &str, recovered: Value) {
        positions
            .handle_acknowledgement(&json!({"positions": {"r": position}, "recovered": recovered}));
    }

    fn hear(positions: &mut Positions, offset: u64, id: &str) -> bool {
        positions.handle_message(&json!({"room": "r", "offset": offset, "id": id, "payload": 1}))
    }

    #[test]
    fn within_an_epoch_an_offset_tells_a_repeat() {
        let mut positions = positions();
        acknowledge(&mut positions, "a:3", json!({}));
        assert!(!hear(&mut positions, 3, "old"), "it was before our time");
        assert!(hear(&mut positions, 4, "x"));
        acknowledge(&mut positions, "a:6", json!({"r": true}));
        assert!(!hear(&mut positions, 4, "x"));
        assert!(hear(&mut positions, 5, "y") && hear(&mut positions, 6, "z"));
        assert_eq!(positions.since()["r"], "a:6");
    }

    #[test]
    fn in_another_epoch_an_id_does() {
        let mut positions = positions();
        acknowledge(&mut positions, "a:0", json!({}));
        for (offset, id) in [(1, "kept"), (2, "kept too"), (3, "lost"), (4, "lost too")] {
            assert!(hear(&mut positions, offset, id));
        }
        acknowledge(&mut positions, "b:3", json!({"r": true}));
        assert_eq!(
            positions.since()["r"],
            "a:4",
            "nothing was heard of the other"
        );
        assert!(!hear(&mut positions, 2, "kept too"));
        assert_eq!(positions.since()["r"], "b:2");
        assert!(hear(&mut positions, 3, "new") && hear(&mut positions, 4, "newer"));
        assert!(!hear(&mut positions, 4, "newer"));
    }

    #[test]
    fn after_a_loss_all_that_is_there_counts_but_what_was_heard() {
        let mut positions = positions();
        acknowledge(&mut positions, "a:1", json!({}));
        acknowledge(&mut positions, "a:9", json!({"other": true}));
        assert!(hear(&mut positions, 2, "x"), "it was still to come");
        acknowledge(&mut positions, "b:5", json!({"r": false}));
        assert_eq!(positions.since()["r"], "b:0", "nothing of it has come yet");
        assert!(!hear(&mut positions, 3, "x") && hear(&mut positions, 4, "y"));
        assert!(hear(&mut positions, 5, "z") && !hear(&mut positions, 5, "z"));
        assert_eq!(positions.since()["r"], "b:5");
    }

    #[test]
    fn memory_is_bounded() {
        let mut positions = positions();
        acknowledge(&mut positions, "a:0", json!({}));
        for offset in 1..=5000 {
            assert!(hear(&mut positions, offset, &offset.to_string()));
        }
        let heard = &positions.rooms["r"].heard;
        assert_eq!((heard.order.len(), heard.known.len()), (MAX_IDS, MAX_IDS));
    }

    #[test]
    fn messages_without_an_offset_are_news() {
        let mut positions = positions();
        for message in [
            json!({"room": "other", "offset": 1}),
            json!({"room": "r", "id": "x"}),
            json!([]),
        ] {
            assert!(positions.handle_message(&message), "{message}");
        }
    }
}
