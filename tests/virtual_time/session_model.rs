//! What a client that comes back knows: where it is in each room, which letters it has, and what it was promised.

use super::visit::Visit;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What was published.
#[derive(Debug)]
pub(crate) struct Shadow {
    logs: BTreeMap<String, Vec<u64>>,
    marks: u64,
    limit: usize,
}

impl Shadow {
    /// Nothing yet; each log and each mailbox keeps so many.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            logs: BTreeMap::new(),
            marks: 0,
            limit,
        }
    }

    /// A message goes to a room's log; its mark.
    pub(crate) fn log(&mut self, room: &str) -> u64 {
        self.marks += 1;
        let log = self.logs.entry(room.to_owned()).or_default();
        log.push(self.marks);
        self.marks
    }

    fn len(&self, room: &str) -> u64 {
        self.logs.get(room).map_or(0, |log| log.len() as u64)
    }
}

/// A request that has not been answered.
#[derive(Debug)]
pub(crate) enum Wish {
    Enter { room: String, since: Option<u64> },
    Leave { room: String },
}

/// A room that it is in.
#[derive(Debug)]
pub(crate) struct View {
    epoch: String,
    /// The newest that it has, and everything before; `None`: it does not know where it entered.
    last: Option<u64>,
    /// What has surely arrived.
    confirmed: u64,
    /// The newest that came on this connection.
    here: u64,
    /// It was told of a loss when the log was there: the oldest entry of that log comes first.
    lost_at: Option<u64>,
    state: Map<String, Value>,
    has_snapshot: bool,
}

impl View {
    fn at(position: &str, last: Option<u64>) -> Self {
        let (epoch, _) = position.split_once(':').expect("epoch:offset");
        Self {
            epoch: epoch.to_owned(),
            last,
            confirmed: last.unwrap_or(0),
            here: last.unwrap_or(0),
            lost_at: None,
            state: Map::new(),
            has_snapshot: false,
        }
    }

    fn lossy(position: &str) -> Self {
        Self {
            lost_at: Some(offset_of(position)),
            ..Self::at(position, None)
        }
    }
}

/// A client over all its connections.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) visit: Visit,
    pub(crate) is_away: bool,
    pub(crate) is_stalled: bool,
    pub(crate) views: BTreeMap<String, View>,
    /// Where it left others.
    pub(crate) left: BTreeMap<String, (String, u64)>,
    pub(crate) wishes: BTreeMap<u64, Wish>,
    letters: u64,
    heard: BTreeSet<u64>,
    ids: BTreeSet<String>,
}

impl Client {
    pub(crate) fn new(visit: Visit) -> Self {
        Self {
            visit,
            is_away: false,
            is_stalled: false,
            views: BTreeMap::new(),
            left: BTreeMap::new(),
            wishes: BTreeMap::new(),
            letters: 0,
            heard: BTreeSet::new(),
            ids: BTreeSet::new(),
        }
    }

    /// A letter is written to it.
    pub(crate) fn next_letter(&mut self) -> u64 {
        self.letters += 1;
        self.letters
    }

    /// Whether it is in a room, or has asked to be.
    pub(crate) fn knows(&self, room: &str) -> bool {
        let mut wishes = self.wishes.values();
        self.views.contains_key(room)
            || wishes.any(|wish| matches!(wish, Wish::Enter { room: wished, .. } if wished == room))
    }

    /// It is here again; what came with the greeting.
    pub(crate) fn come_back(&mut self, mut visit: Visit) -> Vec<Value> {
        let first = std::mem::take(&mut visit.first);
        (self.visit, self.is_away, self.is_stalled) = (visit, false, false);
        self.wishes.clear();
        for view in self.views.values_mut() {
            (view.here, view.has_snapshot) = (0, false);
            view.state.clear();
        }
        assert_eq!(first[0]["type"], "subscription_ack");
        let rooms = &first[0]["payload"]["rooms"];
        let rooms: BTreeSet<&str> = rooms
            .as_array()
            .expect("rooms")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        self.take_rooms(&rooms, &first[0]["payload"]["positions"]);
        first
    }

    /// It may not have heard the answers to what it wished for on the old connection.
    fn take_rooms(&mut self, rooms: &BTreeSet<&str>, positions: &Value) {
        let gone: Vec<String> = self
            .views
            .keys()
            .filter(|room| !rooms.contains(room.as_str()))
            .cloned()
            .collect();
        for room in gone {
            self.forget(&room);
        }
        for room in rooms {
            let position = positions[room].as_str().expect("a position");
            let entered = || View::at(position, None);
            self.views.entry((*room).to_owned()).or_insert_with(entered);
        }
    }

    fn forget(&mut self, room: &str) {
        if let Some(view) = self.views.remove(room)
            && let Some(last) = view.last
        {
            self.left.insert(room.to_owned(), (view.epoch, last));
        }
    }

    /// What it has heard has surely arrived.
    pub(crate) fn handle_confirmed(&mut self) {
        for view in self.views.values_mut() {
            view.confirmed = view.last.unwrap_or(view.confirmed);
        }
        self.ids.clear();
    }

    pub(crate) fn hear(&mut self, shadow: &Shadow, message: &Value) {
        match message["type"].as_str().expect("a type") {
            "disconnected" => {}
            "subscription_ack" => self.handle_ack(message),
            "letter" => self.handle_letter(message),
            "task_progress" => self.handle_progress(message),
            _ => self.handle_entry(shadow, message),
        }
    }

    fn handle_ack(&mut self, message: &Value) {
        let payload = &message["payload"];
        let wish = message["replyTo"].as_u64();
        let wish = wish.map(|id| self.wishes.remove(&id).expect("a wish is answered once"));
        match wish {
            Some(Wish::Leave { room }) => self.forget(&room),
            Some(Wish::Enter { room, since }) => {
                assert_eq!(payload["denied"], json!([]));
                let position = payload["positions"][&room].as_str().expect("a position");
                let recovered = &payload["recovered"][&room];
                assert_eq!(recovered.is_boolean(), since.is_some(), "{message}");
                let view = match *recovered == false {
                    true => View::lossy(position),
                    false => View::at(position, Some(since.unwrap_or(offset_of(position)))),
                };
                self.views.insert(room, view);
            }
            None => {
                for (room, view) in &mut self.views {
                    assert!(payload["recovered"][room].is_boolean(), "{message}");
                    if payload["recovered"][room] == false {
                        let position = payload["positions"][room].as_str().expect("a position");
                        *view = View::lossy(position);
                    }
                }
            }
        }
    }

    fn handle_letter(&mut self, message: &Value) {
        let number = message["payload"].as_u64().expect("a number");
        let id = message["id"].as_str().expect("an id").to_owned();
        if self.heard.insert(number) {
            let newest = self.heard.last() == Some(&number);
            assert!(newest && self.ids.insert(id), "out of order: {message}");
        } else {
            assert!(self.ids.contains(&id), "it was confirmed: {message}");
        }
    }

    fn handle_entry(&mut self, shadow: &Shadow, message: &Value) {
        let room = message["room"].as_str().expect("an entry names its room");
        let offset = message["offset"].as_u64().expect("an offset");
        let expected = shadow.logs[room].get(offset as usize - 1);
        assert_eq!(
            message["payload"]["mark"].as_u64().as_ref(),
            expected,
            "{message}"
        );
        let view = self.views.get_mut(room);
        let view = view.unwrap_or_else(|| panic!("only rooms it is in: {message}"));
        assert!(offset > view.here, "twice on one connection: {message}");
        assert!(offset > view.confirmed, "it was confirmed: {message}");
        if let Some(end) = view.lost_at.take() {
            let oldest = end.saturating_sub(shadow.limit as u64) + 1;
            assert_eq!(offset, oldest, "what is there comes: {message}");
        }
        let last = view.last.unwrap_or(offset - 1);
        assert!(offset <= last + 1, "a gap after {last}: {message}");
        (view.here, view.last) = (offset, Some(last.max(offset)));
        let kind = message["type"].as_str().unwrap_or_default();
        if kind.starts_with("task_") {
            view.state = message["payload"].as_object().expect("an object").clone();
        }
    }

    fn handle_progress(&mut self, message: &Value) {
        let payload = message["payload"].as_object().expect("an object");
        let room = format!("task:{}", payload["taskId"].as_str().expect("a task"));
        let view = self.views.get_mut(&room).expect("only rooms it is in");
        let is_snapshot = payload.get("snapshot") == Some(&json!(true));
        assert!(is_snapshot || view.has_snapshot, "part of what? {message}");
        view.has_snapshot = true;
        if is_snapshot {
            view.state.clear();
        }
        view.state.extend(payload.clone());
    }

    /// All is calm: has it everything, or was it told?
    pub(crate) fn check_complete(&self, shadow: &Shadow) {
        assert!(self.wishes.is_empty(), "unanswered: {:?}", self.wishes);
        for (room, view) in &self.views {
            let has_begun = view.lost_at.is_none_or(|end| end == 0);
            assert!(has_begun, "nothing of what is there has come: {room}");
            let last = view.last.unwrap_or_else(|| shadow.len(room));
            assert_eq!(last, shadow.len(room), "entries of {room}");
        }
        let first = self.letters.saturating_sub(shadow.limit as u64) + 1;
        for letter in first..=self.letters {
            assert!(
                self.heard.contains(&letter),
                "letter {letter} of {}",
                self.letters
            );
        }
    }

    /// Does it know how a task stands?
    pub(crate) fn check_state(&self, task: &str, truth: &Value) {
        if let Some(view) = self.views.get(&format!("task:{task}")) {
            for field in ["status", "current", "progress", "message"] {
                let seen = view.state.get(field).unwrap_or(&Value::Null);
                assert_eq!(seen, &truth[field], "{field} of {task}");
            }
        }
    }
}

fn offset_of(position: &str) -> u64 {
    let (_, offset) = position.split_once(':').expect("epoch:offset");
    offset.parse().expect("a number")
}
