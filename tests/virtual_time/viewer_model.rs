//! One viewer's view of the contract: every message is checked as it comes, and folded into the states that it stands for.

use super::event::is_end;
use super::model::Shadow;
use super::world::World;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A room that the viewer asked to be in.
#[derive(Debug, Clone)]
pub(crate) struct Entering {
    pub(crate) room: String,
    /// The length of the room's log at that moment.
    len: usize,
    /// Where it wants to go on.
    since: Option<Left>,
    /// It asks for the start.
    from_start: bool,
    /// Whether the room's task was known, so that its state is due at once.
    has_task: bool,
    /// That task was forgotten on demand since.
    was_forgotten: bool,
}

/// Where the viewer was when it left a room.
#[derive(Debug, Clone)]
pub(crate) struct Left {
    /// As it is sent to the server.
    pub(crate) position: String,
    index: usize,
    offset: u64,
}

#[derive(Debug)]
enum Awaited {
    Entered(Vec<Entering>),
    Left { room: String, len: usize },
}

/// A room that it is in, as far as it has heard.
#[derive(Debug)]
struct Watch {
    epoch: String,
    offset: u64,
    /// Which entry comes next.
    next: usize,
    /// The log was there when it was to begin with the oldest entry that there is.
    begins: Option<u64>,
    /// It was told of a loss, so the task's whole state is due once more.
    is_due_anew: bool,
    /// Once that many entries have come, the task's snapshot must follow.
    welcome_at: Option<usize>,
    fold: Fold,
}

/// What the messages about a task add up to.
#[derive(Debug, Default)]
struct Fold {
    state: Option<Map<String, Value>>,
    has_snapshot: bool,
    ended: bool,
    /// The task was forgotten on demand while it was watched: others may follow under its name.
    may_restart: bool,
    last_progress: Option<u64>,
    /// A progress message that came early, which only a lifecycle message of the same moment excuses.
    early: Option<u64>,
}

/// What the configuration promises viewers.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Rules {
    /// The shortest time between two progress messages of a task, in milliseconds.
    pub(crate) interval: u64,
    /// How many entries each log keeps.
    pub(crate) log_limit: usize,
    /// Progress after the first is told by what has changed.
    pub(crate) incremental: bool,
}

/// One viewer.
#[derive(Debug, Default)]
pub(crate) struct ViewerModel {
    /// The rooms that the server has it in, now.
    pub(crate) rooms: BTreeSet<String>,
    /// Where it left others.
    pub(crate) left: BTreeMap<String, Left>,
    /// Whether it has ever been slow, so that it may be behind, and closed for it.
    pub(crate) was_slow: bool,
    rules: Rules,
    watches: BTreeMap<String, Watch>,
    awaited: VecDeque<Awaited>,
    /// How often it has to hear yet that a room's task is gone.
    removals: BTreeMap<String, u32>,
    is_leaving: bool,
}

impl ViewerModel {
    /// A viewer in no room.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// It asks to be in rooms: the message. Where it has never been it wants everything, if it does not begin anew.
    pub(crate) fn enter(&mut self, shadow: &Shadow, rooms: &[String], resumes: bool) -> Value {
        let since = |room: &String| match self.left.get(room) {
            Some(left) => (room.clone(), json!(left.position)),
            None => (room.clone(), json!("start")),
        };
        let since: Map<String, Value> = rooms.iter().filter(|_| resumes).map(since).collect();
        let entering = rooms.iter().map(|room| Entering {
            from_start: resumes && !self.left.contains_key(room),
            room: room.clone(),
            len: shadow.log_len(room),
            since: self.left.get(room).filter(|_| resumes).cloned(),
            has_task: shadow.knows_task_of(room),
            was_forgotten: false,
        });
        self.awaited.push_back(Awaited::Entered(entering.collect()));
        self.rooms.extend(rooms.iter().cloned());
        json!({"type": "subscribe", "id": "enter", "rooms": rooms, "since": since})
    }

    /// It asks to be out of a room.
    pub(crate) fn leave(&mut self, shadow: &Shadow, room: &str) {
        self.rooms.remove(room);
        self.awaited.push_back(Awaited::Left {
            room: room.to_owned(),
            len: shadow.log_len(room),
        });
    }

    /// A task was forgotten on demand.
    pub(crate) fn forget(&mut self, room: &str) {
        if self.rooms.contains(room) {
            *self.removals.entry(room.to_owned()).or_default() += 1;
        }
        // Mail of whoever reads slowly may have to make room for more.
        if let Some(watch) = self.watches.get_mut(room).filter(|_| self.was_slow) {
            watch.fold.may_restart = true;
        }
        for awaited in &mut self.awaited {
            if let Awaited::Entered(entering) = awaited {
                let same = entering.iter_mut().filter(|entering| entering.room == room);
                same.for_each(|entering| entering.was_forgotten = true);
            }
        }
    }

    /// It hears a message.
    pub(crate) fn hear(&mut self, shadow: &Shadow, message: &Value) {
        assert!(!self.is_leaving, "after the goodbye: {message}");
        match message["type"].as_str().expect("a type") {
            "connected" | "control_ack" | "pong" | "error" => {}
            "disconnected" => self.is_leaving = true,
            "subscription_ack" if message["replyTo"].is_null() => {
                self.handle_loss(&message["payload"]);
            }
            "subscription_ack" => self.handle_ack(shadow, &message["payload"]),
            "task_progress" => self.handle_progress(shadow, message),
            "task_removed" => self.handle_removed(message),
            kind => self.handle_entry(shadow, kind, message),
        }
    }

    fn handle_removed(&mut self, message: &Value) {
        assert_eq!(message["payload"]["reason"], "deleted", "{message}");
        assert_eq!(message.get("offset"), None, "it is not logged: {message}");
        let task = message["payload"]["taskId"].as_str().expect("a task");
        let room = format!("task:{task}");
        let due = self.removals.get_mut(&room).filter(|due| **due > 0);
        *due.unwrap_or_else(|| panic!("it is not gone: {message}")) -= 1;
        if let Some(watch) = self.watches.get_mut(&room) {
            watch.fold.may_restart = true;
        }
    }

    /// Everything has been said: is anything missing?
    pub(crate) fn check_complete(&self, shadow: &Shadow) {
        assert!(self.awaited.is_empty(), "unanswered: {:?}", self.awaited);
        for (room, watch) in &self.watches {
            let has_begun = watch.begins.is_none_or(|end| end == 0);
            assert!(has_begun || shadow.emptied.contains(room), "{room}");
            assert_eq!(watch.next, shadow.log_len(room), "entries of {room}");
            assert_eq!(watch.welcome_at, None, "the snapshot of {room}");
            assert_eq!(watch.fold.early, None, "progress of {room} too often");
        }
        let is_told = self.removals.values().all(|due| *due == 0);
        assert!(is_told || self.was_slow, "not told: {:?}", self.removals);
        let heard: BTreeSet<String> = self.watches.keys().cloned().collect();
        assert_eq!(heard, self.rooms);
    }

    /// The state of a task as the messages tell it.
    pub(crate) fn state(&self, room: &str) -> Option<&Map<String, Value>> {
        self.watches.get(room)?.fold.state.as_ref()
    }

    fn handle_ack(&mut self, shadow: &Shadow, payload: &Value) {
        assert_eq!(payload["denied"], serde_json::json!([]));
        match self.awaited.pop_front().expect("one answer to a request") {
            Awaited::Left { room, len } => {
                let watch = self.watches.remove(&room).expect("it was in it");
                assert_eq!(watch.next, len, "entries of {room} before it was left");
                let left = Left {
                    position: format!("{}:{}", watch.epoch, watch.offset),
                    index: watch.next,
                    offset: watch.offset,
                };
                self.left.insert(room, left);
            }
            Awaited::Entered(entering) => {
                for entering in entering {
                    self.handle_entered(shadow, &entering, payload);
                }
            }
        }
    }

    /// It was too slow: of some rooms the logs no longer have what it lacks.
    fn handle_loss(&mut self, payload: &Value) {
        assert!(self.was_slow, "told of a loss unasked: {payload}");
        for (room, watch) in &mut self.watches {
            if payload["recovered"][room] != false {
                continue;
            }
            let position = payload["positions"][room].as_str().expect("a position");
            let (epoch, end) = position.split_once(':').expect("epoch:offset");
            assert_eq!(epoch, watch.epoch, "{payload}");
            let end: u64 = end.parse().expect("a number");
            watch.next += (end - watch.offset) as usize;
            (watch.offset, watch.begins) = (end, Some(end));
            (watch.welcome_at, watch.fold) = (None, Fold::default());
            watch.is_due_anew = true;
        }
    }

    fn handle_entered(&mut self, shadow: &Shadow, entering: &Entering, payload: &Value) {
        let Entering {
            room,
            len,
            since,
            from_start,
            ..
        } = entering;
        let position = payload["positions"][room].as_str().expect("a position");
        let (epoch, offset) = position.split_once(':').expect("epoch:offset");
        let recovered = payload["recovered"].get(room);
        let is_asked = since.is_some() || *from_start;
        assert_eq!(recovered.is_some(), is_asked, "{payload}");
        let recovered = recovered == Some(&Value::Bool(true));
        if let Some(since) = since {
            self.check_recovery(shadow, entering, since, recovered);
        }
        let end: u64 = offset.parse().expect("a number");
        if *from_start && !shadow.emptied.contains(room) {
            let is_whole = end <= self.rules.log_limit as u64;
            assert_eq!(recovered, is_whole, "{end} entries of {room}");
        }
        let since = since.as_ref().filter(|_| recovered);
        let watch = Watch {
            epoch: epoch.to_owned(),
            offset: since.map_or(end, |since| since.offset),
            next: since.map_or(*len, |since| since.index),
            is_due_anew: false,
            begins: (is_asked && since.is_none()).then_some(end),
            welcome_at: entering.has_task.then_some(*len),
            fold: Fold {
                may_restart: entering.was_forgotten,
                ..Fold::default()
            },
        };
        self.watches.insert(room.clone(), watch);
    }

    fn check_recovery(&self, shadow: &Shadow, entering: &Entering, since: &Left, recovered: bool) {
        let missed = entering.len - since.index;
        if missed > self.rules.log_limit {
            assert!(!recovered, "{missed} entries cannot have been kept");
        } else if since.index > 0 && !shadow.emptied.contains(&entering.room) {
            assert!(recovered, "{missed} entries are lost: {entering:?}");
        }
    }

    fn handle_entry(&mut self, shadow: &Shadow, kind: &str, message: &Value) {
        let room = message["room"].as_str().expect("an entry names its room");
        let watch = self.watches.get_mut(room).expect("only rooms it is in");
        if let Some(end) = watch.begins.take() {
            let offset = message["offset"].as_u64().expect("an offset");
            let oldest = end.saturating_sub(self.rules.log_limit as u64) + 1;
            let is_emptied = shadow.emptied.contains(room);
            assert!(offset == oldest || is_emptied, "not the oldest: {message}");
            watch.next = watch.next + offset as usize - end as usize - 1;
            watch.offset = offset - 1;
        }
        let expected = shadow.entry(room, watch.next);
        let expected = expected.unwrap_or_else(|| panic!("nothing was published: {message}"));
        assert_eq!(
            (kind, message["payload"]["mark"].as_u64()),
            (expected.kind.as_str(), Some(expected.mark)),
            "entry {} of {room}: {message}",
            watch.next
        );
        if let Some(len) = watch.welcome_at {
            // What was said while a slow reader was being made up for comes with the rest.
            let is_missed = watch.next < len || self.was_slow;
            assert!(is_missed, "live before the snapshot: {message}");
            // Such an entry carries the whole state: a snapshot behind it would say the same.
            if watch.next >= len && kind.starts_with("task_") {
                watch.welcome_at = None;
            }
        }
        watch.offset += 1;
        watch.next += 1;
        assert_eq!(message["offset"], watch.offset, "{message}");
        if kind.starts_with("task_") {
            watch.fold.turn(kind, message);
        }
    }

    fn handle_progress(&mut self, shadow: &Shadow, message: &Value) {
        let task = message["payload"]["taskId"].as_str().expect("a task");
        let room = format!("task:{task}");
        let watch = self.watches.get_mut(&room).expect("only rooms it is in");
        let has_begun = watch.begins.is_none_or(|end| end == 0);
        assert!(
            has_begun || shadow.emptied.contains(&room),
            "the state before what is there: {message}"
        );
        let is_due = std::mem::take(&mut watch.is_due_anew);
        let is_made_up = |len| watch.next == len || watch.next > len && self.was_slow;
        let is_welcome = is_due || watch.welcome_at.is_some_and(is_made_up);
        assert!(
            is_welcome || watch.welcome_at.is_none(),
            "progress before what was missed: {message}"
        );
        watch.welcome_at = None;
        let mut rules = self.rules;
        if self.was_slow {
            rules.interval = 0;
        }
        watch.fold.progress(message, is_welcome, rules);
    }
}

impl Fold {
    /// A lifecycle message carries the whole state.
    fn turn(&mut self, kind: &str, message: &Value) {
        if let Some(early) = self.early.take() {
            assert_eq!(
                World::moment(message),
                early,
                "progress came too early before {message}"
            );
        }
        let mut state = message["payload"].as_object().expect("an object").clone();
        if self.may_restart {
            self.state = None;
        }
        self.check_rise(&mut state, message);
        self.ended = is_end(kind);
        self.state = Some(state);
    }

    fn progress(&mut self, message: &Value, is_welcome: bool, rules: Rules) {
        let payload = message["payload"].as_object().expect("an object");
        let is_snapshot = payload.get("snapshot") == Some(&Value::Bool(true));
        let restarts = self.may_restart && is_snapshot;
        assert!(
            is_snapshot != (self.has_snapshot && rules.incremental) || restarts,
            "the first has the whole: {message}"
        );
        if restarts {
            (self.state, self.last_progress, self.ended) = (None, None, false);
        }
        self.has_snapshot = true;
        self.check_pace(World::moment(message), is_welcome, rules.interval, message);
        let mut state = match &self.state {
            Some(state) if !is_snapshot && rules.incremental => state.clone(),
            _ => Map::new(),
        };
        let attempt = attempt_of(payload).or(self.state.as_ref().and_then(attempt_of));
        let begins = attempt > self.state.as_ref().and_then(attempt_of);
        assert!(
            !self.ended || is_welcome || begins,
            "after the end: {message}"
        );
        state.extend(payload.clone());
        state.retain(|name, value| !value.is_null() && name != "snapshot");
        self.check_rise(&mut state, message);
        self.ended = is_end(&format!(
            "task_{}",
            state["status"].as_str().expect("a status")
        ));
        self.state = Some(state);
    }

    /// Within an attempt progress never falls.
    fn check_rise(&mut self, state: &mut Map<String, Value>, message: &Value) {
        let Some(before) = &self.state else { return };
        let (old, new) = (attempt_of(before), attempt_of(state));
        assert!(new >= old || self.may_restart, "an old attempt: {message}");
        let progress = |state: &Map<String, Value>| state["progress"].as_f64();
        assert!(
            new > old || self.may_restart || progress(state) >= progress(before),
            "from {before:?} to {message}"
        );
    }

    fn check_pace(&mut self, moment: u64, is_welcome: bool, interval: u64, message: &Value) {
        assert_eq!(self.early, None, "too often: {message}");
        let is_early = self
            .last_progress
            .is_some_and(|last| moment < last + interval);
        if is_early && !is_welcome && !self.may_restart {
            self.early = Some(moment);
        }
        self.last_progress = (!is_welcome).then_some(moment);
    }
}

fn attempt_of(state: &Map<String, Value>) -> Option<u64> {
    state.get("attempt").map_or(Some(0), Value::as_u64)
}
