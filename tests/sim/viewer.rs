//! The shadow of one viewer: which rooms it is in, where it is in each, and what each message may say.

use super::fold::Fold;
use super::history::Question;
use super::mail::Mail;
use super::truth::{Place, Truth};
use super::world::{EPOCH_MS, PeerId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A room that it is in, as far as it has heard.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) epoch: String,
    /// The last entry that it knows; `None`: it was told of none since it does not know when it came in.
    pub(crate) offset: Option<u64>,
    /// The log was there when it was to begin with the oldest entry that there is.
    begins: Option<u64>,
    /// The last loss that it was told of, as long as it may be told again.
    loss: Option<Loss>,
    /// When it was answered that named a place, in virtual milliseconds.
    named_at: Option<u64>,
    /// It named one, and the answer was lost with a connection.
    is_unanswered: bool,
    /// A crash may have taken that it named one.
    may_be_forgotten: bool,
    /// The last entry that it heard on this connection.
    heard: Option<u64>,
    pub(crate) fold: Fold,
}

/// A loss that it was told of.
#[derive(Debug, Clone, Copy)]
struct Loss {
    /// In which life of the server.
    life: u32,
    conn: Option<PeerId>,
    /// The server knows that it has heard, for as long as that life lasts: the store may learn it later.
    is_confirmed: bool,
}

impl Loss {
    fn may_be_told_again(self, life: u32) -> bool {
        !self.is_confirmed || self.life != life
    }

    /// It is told that nothing is missing: on the same connection that says nothing of what it has heard.
    fn confirm(self, life: u32, conn: Option<PeerId>) -> Option<Self> {
        let is_confirmed = self.is_confirmed || self.conn != conn;
        (self.life == life).then_some(Self {
            is_confirmed,
            ..self
        })
    }
}

impl Watch {
    fn at(place: &Place, offset: Option<u64>) -> Self {
        Self {
            epoch: place.epoch.clone(),
            offset,
            begins: None,
            loss: None,
            named_at: None,
            is_unanswered: false,
            may_be_forgotten: false,
            heard: None,
            fold: Fold::default(),
        }
    }

    /// It is sent all that the log has.
    fn from_oldest(place: &Place) -> Self {
        Self {
            begins: Some(place.offset),
            ..Self::at(place, None)
        }
    }

    fn lossy(place: &Place, life: u32, conn: Option<PeerId>) -> Self {
        Self {
            loss: Some(Loss {
                life,
                conn,
                is_confirmed: false,
            }),
            ..Self::from_oldest(place)
        }
    }

    /// Whether it has heard something of what there was when it was to begin with that.
    pub(crate) fn has_begun(&self) -> bool {
        self.begins.is_none_or(|end| end == 0)
    }

    pub(crate) fn place(&self) -> Option<Place> {
        Some(Place {
            epoch: self.epoch.clone(),
            offset: self.offset?,
        })
    }
}

/// A request that has not been answered.
#[derive(Debug)]
struct Asked {
    /// Where it wants to go on; `None`: from the start.
    since: BTreeMap<String, Option<Place>>,
}

/// One viewer.
#[derive(Debug, Default)]
pub(crate) struct Viewer {
    pub(crate) conn: Option<PeerId>,
    /// When it tries again.
    pub(crate) retry_at: u64,
    /// When its connection was lost.
    pub(crate) lost_at: u64,
    /// In which life of the server it last was greeted.
    pub(crate) life: u32,
    pub(crate) client_id: Option<String>,
    pub(crate) session: Option<String>,
    /// Whether it wants its session back with this connection.
    pub(crate) resumes: bool,
    pub(crate) is_greeted: bool,
    /// Whether everything that it lacked must be there when it comes back.
    pub(crate) must_resume: bool,
    /// The rooms that it means to be in.
    pub(crate) wanted: BTreeSet<String>,
    pub(crate) watches: BTreeMap<String, Watch>,
    /// Where it was in rooms that it is not in.
    pub(crate) left: BTreeMap<String, Place>,
    pub(crate) mail: Mail,
    asked: BTreeMap<String, Asked>,
    questions: BTreeMap<String, Question>,
    requests: u64,
    /// Text messages that it has heard in this life.
    pub(crate) messages_heard: u64,
    pub(crate) messages_said: u64,
}

/// What the configuration promises viewers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) incremental: bool,
    pub(crate) log_limit: u64,
}

impl Viewer {
    /// Its connection is gone.
    pub(crate) fn lose(&mut self, now_ms: u64, retry_at: u64) {
        self.conn = None;
        self.mail.excuse_removals();
        for asked in std::mem::take(&mut self.asked).into_values() {
            for room in asked.since.keys() {
                let watch = self.watches.get_mut(room);
                watch
                    .into_iter()
                    .for_each(|watch| watch.is_unanswered = true);
            }
        }
        self.questions.clear();
        self.is_greeted = false;
        (self.lost_at, self.retry_at) = (now_ms, retry_at);
    }

    /// Another life of the server has begun: what was not kept may be gone.
    /// Sessions are as they were at `kept_ms`, or later.
    pub(crate) fn outlive(&mut self, kept_ms: u64) {
        self.mail.excuse();
        for watch in self.watches.values_mut() {
            watch.fold = Fold::default();
            let named_at = watch.named_at.take();
            watch.may_be_forgotten |= named_at.is_some_and(|at| at >= kept_ms);
        }
    }

    /// Asks to be in rooms, going on from where it left them; where it has not been, from the start.
    pub(crate) fn enter(&mut self, rooms: &[String], resumes: bool) -> Value {
        let known = rooms.iter().filter(|_| resumes);
        let since: BTreeMap<String, Option<Place>> = known
            .map(|room| (room.clone(), self.left.get(room).cloned()))
            .collect();
        self.wanted.extend(rooms.iter().cloned());
        let place = |place: &Option<Place>| place.as_ref().map_or("start".to_owned(), Place::text);
        let text: BTreeMap<&String, String> = since
            .iter()
            .map(|(room, since)| (room, place(since)))
            .collect();
        let message = json!({"type": "subscribe", "rooms": rooms, "since": text});
        self.ask(message, since)
    }

    /// Asks to be out of a room.
    pub(crate) fn leave(&mut self, room: &str) -> Value {
        self.wanted.remove(room);
        self.ask(json!({"type": "leave_room", "room": room}), BTreeMap::new())
    }

    fn ask(&mut self, mut message: Value, since: BTreeMap<String, Option<Place>>) -> Value {
        self.requests += 1;
        let id = format!("r{}", self.requests);
        message["id"] = json!(id);
        self.asked.insert(id, Asked { since });
        message
    }

    /// Whether it waits for an answer.
    pub(crate) fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Asks what a room's log says.
    pub(crate) fn ask_history(&mut self, message: &mut Value, question: Question) {
        self.requests += 1;
        let id = format!("h{}", self.requests);
        message["id"] = json!(id);
        self.questions.insert(id, question);
    }

    /// Whether it waits for a page of a log.
    pub(crate) fn is_curious(&self) -> bool {
        !self.questions.is_empty()
    }

    /// It hears a message.
    pub(crate) fn hear(&mut self, truth: &Truth, rules: Rules, message: &Value) {
        self.messages_heard += 1;
        match message["type"].as_str().expect("a type") {
            "connected" => self.handle_greeting(&message["payload"]),
            "subscription_ack" => self.handle_ack(truth, rules, message),
            "task_progress" => self.handle_progress(rules, message),
            "task_removed" => self.handle_removed(message),
            "note" => self.mail.hear(self.conn.expect("connected"), message),
            "history" => self.handle_history(truth, rules, message),
            "error" => self.handle_error(truth, message),
            "control_ack" | "disconnected" | "pong" => {}
            kind => self.handle_entry(truth, rules, kind, message),
        }
    }

    fn handle_greeting(&mut self, payload: &Value) {
        let text = |name: &str| payload[name].as_str().map(str::to_owned);
        let resumed = payload["resumed"] == true;
        assert!(!resumed || self.resumes, "resumed what it did not ask for");
        assert!(resumed || !self.must_resume, "its session is lost");
        self.is_greeted = true;
        if resumed {
            assert_eq!(self.client_id, text("clientId"), "another name");
        } else {
            self.mail.excuse();
            for (room, watch) in std::mem::take(&mut self.watches) {
                self.left.extend(watch.place().map(|place| (room, place)));
            }
        }
        (self.client_id, self.session) = (text("clientId"), text("session"));
        for watch in self.watches.values_mut() {
            watch.heard = None;
            watch.fold.begin_anew();
        }
    }

    fn handle_ack(&mut self, truth: &Truth, rules: Rules, message: &Value) {
        let payload = &message["payload"];
        assert_eq!(payload["denied"], json!([]));
        let asked = message["replyTo"].as_str().map(|id| {
            let asked = self.asked.remove(id);
            asked.unwrap_or_else(|| panic!("answered twice: {message}"))
        });
        let said_at = message["timestamp"].as_u64();
        let positions = payload["positions"].as_object().expect("an object");
        for (room, watch) in std::mem::take(&mut self.watches) {
            match positions.contains_key(&room) {
                true => drop(self.watches.insert(room, watch)),
                false => self.left.extend(watch.place().map(|place| (room, place))),
            }
        }
        for (room, position) in positions {
            let place = Place::parse(position.as_str().expect("text"));
            let recovered = payload["recovered"].get(room).map(|flag| *flag == true);
            let since = asked.as_ref().and_then(|asked| asked.since.get(room));
            // Whoever names a place comes in there, whether it was in the room before or not.
            let watch = match (self.watches.remove(room), since) {
                (Some(watch), None) => self.go_on(truth, rules, room, watch, &place, recovered),
                (before, since) => {
                    let has_asked = asked.is_some();
                    let new = self.come_in(truth, rules, room, since, &place, recovered, has_asked);
                    let loss = before.and_then(|before| before.loss);
                    Watch {
                        loss: new.loss.or(loss),
                        named_at: since.and(said_at).map(|wall_ms| wall_ms - EPOCH_MS),
                        ..new
                    }
                }
            };
            self.watches.insert(room.clone(), watch);
        }
        // What follows may be of tasks that have been forgotten since.
        for (room, watch) in &mut self.watches {
            watch.fold.allow_restarts(truth.emptied(room));
        }
    }

    /// It was in the room before.
    fn go_on(
        &self,
        truth: &Truth,
        rules: Rules,
        room: &str,
        mut watch: Watch,
        place: &Place,
        recovered: Option<bool>,
    ) -> Watch {
        // What it named is forgotten with it: it gets what it would have got without.
        if watch.may_be_forgotten {
            return match recovered {
                Some(false) => self.lossy(place),
                _ => Watch::at(place, None),
            };
        }
        match recovered {
            None => assert_eq!(watch.epoch, place.epoch, "{room}: another epoch, untold"),
            Some(true) => {
                watch.is_unanswered = false;
                let known = watch.place();
                let common = known.and_then(|known| truth.common(room, &known, &place.epoch));
                watch.offset = common.filter(|_| watch.offset.is_some());
                if watch.epoch != place.epoch {
                    // A crash may have taken what it was to begin with.
                    (watch.epoch, watch.begins) = (place.epoch.clone(), None);
                }
                watch.loss = watch
                    .loss
                    .and_then(|loss| loss.confirm(self.life, self.conn));
            }
            Some(false) => {
                assert!(
                    place.offset > rules.log_limit
                        || watch.is_unanswered
                        || watch
                            .loss
                            .is_some_and(|loss| loss.may_be_told_again(self.life))
                        || truth.was_emptied(room),
                    "{room}: all {} entries are there",
                    place.offset
                );
                let named_at = watch.named_at;
                watch = Watch {
                    named_at,
                    ..self.lossy(place)
                };
            }
        }
        watch
    }

    /// It comes into the room, or has come in without knowing it.
    #[allow(clippy::too_many_arguments)]
    fn come_in(
        &self,
        truth: &Truth,
        rules: Rules,
        room: &str,
        since: Option<&Option<Place>>,
        place: &Place,
        recovered: Option<bool>,
        has_asked: bool,
    ) -> Watch {
        let Some(since) = since else {
            if recovered == Some(false) {
                return self.lossy(place);
            }
            // An answer that was lost with a connection said where it came in.
            let is_new = has_asked && recovered.is_none();
            return Watch::at(place, is_new.then_some(place.offset));
        };
        let Some(since) = since else {
            let is_whole = place.offset <= rules.log_limit;
            assert!(
                recovered == Some(is_whole) || truth.was_emptied(room),
                "{room}: {recovered:?} of {}",
                place.offset
            );
            return match recovered {
                Some(false) => self.lossy(place),
                _ => Watch::from_oldest(place),
            };
        };
        let common = truth.common(room, since, &place.epoch);
        let is_there = common == Some(since.offset) && since.offset > 0;
        match recovered {
            Some(true) => {
                let is_empty = since.offset == 0 && common == Some(0);
                assert!(
                    is_there || is_empty,
                    "{room}: nothing after {} can be known",
                    since.text()
                );
                Watch::at(place, Some(since.offset))
            }
            Some(false) => {
                let missed = place.offset.saturating_sub(since.offset);
                let is_kept = is_there && truth.is_kept(room, since, &place.epoch);
                assert!(
                    !is_kept || missed > rules.log_limit || truth.was_emptied(room),
                    "{room}: lost after {}",
                    since.text()
                );
                self.lossy(place)
            }
            None => panic!("{room}: it is not said whether all is there"),
        }
    }

    fn lossy(&self, place: &Place) -> Watch {
        Watch::lossy(place, self.life, self.conn)
    }

    fn handle_history(&mut self, truth: &Truth, rules: Rules, message: &Value) {
        let id = message["replyTo"].as_str().expect("it names the question");
        let question = self.questions.remove(id).expect("it was asked");
        question.check_answer(truth, rules.log_limit, &message["payload"]);
    }

    fn handle_error(&mut self, truth: &Truth, message: &Value) {
        let id = message["replyTo"].as_str();
        if let Some(question) = id.and_then(|id| self.questions.remove(id)) {
            assert!(question.may_fail(truth), "{question:?}: {message}");
        }
    }

    fn handle_entry(&mut self, truth: &Truth, rules: Rules, kind: &str, message: &Value) {
        let room = message["room"]
            .as_str()
            .unwrap_or_else(|| panic!("unknown: {message}"));
        let watch = self.watches.get_mut(room);
        let watch = watch.unwrap_or_else(|| panic!("it is not in the room: {message}"));
        let offset = message["offset"].as_u64().expect("an offset");
        let place = Place {
            epoch: watch.epoch.clone(),
            offset,
        };
        let mark = message["payload"]["mark"].as_u64();
        let said = truth.mark(room, &place);
        assert_eq!(mark, said, "what was said at {}: {message}", place.text());
        if let Some(heard) = watch.heard {
            assert_eq!(
                offset,
                heard + 1,
                "a gap, or twice, or out of order: {message}"
            );
        }
        watch.heard = Some(offset);
        if let Some(end) = watch.begins.take() {
            let oldest = end.saturating_sub(rules.log_limit) + 1;
            let is_emptied = truth.was_emptied(room);
            assert!(offset == oldest || is_emptied, "not the oldest: {message}");
        }
        if let Some(known) = watch.offset {
            assert!(offset <= known + 1, "a gap after {known}: {message}");
            if offset <= known {
                return;
            }
        }
        watch.offset = Some(offset);
        if kind.starts_with("task_") {
            watch.fold.turn(kind, message);
        }
    }

    fn handle_removed(&mut self, message: &Value) {
        let payload = &message["payload"];
        assert_eq!(payload["reason"], "deleted", "{message}");
        assert_eq!(message.get("offset"), None, "it is not logged: {message}");
        self.mail
            .hear_removal(self.conn.expect("connected"), message);
        let task = payload["taskId"].as_str().expect("a task");
        // Mail may come after the viewer has left the room.
        if let Some(watch) = self.watches.get_mut(&format!("task:{task}")) {
            watch.fold.forget();
        }
    }

    fn handle_progress(&mut self, rules: Rules, message: &Value) {
        let task = message["payload"]["taskId"].as_str().expect("a task");
        let watch = self.watches.get_mut(&format!("task:{task}"));
        let watch = watch.unwrap_or_else(|| panic!("it is not in the room: {message}"));
        watch.fold.progress(message, rules.incremental);
    }
}
