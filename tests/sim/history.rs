//! What a room's log says to whoever reads it page by page, against its shadow.

use super::run::Run;
use super::truth::{Place, Truth};
use serde_json::{Value, json};

/// A question about a room's log, and where the log was when it was asked.
#[derive(Debug)]
pub(crate) struct Question {
    room: String,
    limit: usize,
    /// After which offsets the answer may begin, and whether that is where the asker was.
    starts: Vec<(u64, bool)>,
    asked_at: Place,
}

/// A page of a log.
struct Page {
    offsets: Vec<u64>,
    position: Place,
    is_complete: bool,
}

impl Page {
    /// Reads an answer; every message in it is what was said there.
    fn read(truth: &Truth, room: &str, payload: &Value) -> Self {
        assert_eq!(payload["room"], room);
        let position = Place::parse(payload["position"].as_str().expect("text"));
        let messages = payload["messages"].as_array().expect("an array");
        let mut offsets = Vec::new();
        for message in messages {
            let offset = message["offset"].as_u64().expect("an offset");
            let epoch = position.epoch.clone();
            let said = truth.mark(room, &Place { epoch, offset });
            assert_eq!(message["payload"]["mark"].as_u64(), said, "{message}");
            assert_eq!(message["room"], room, "{message}");
            let before = offsets.last().copied();
            assert!(before.is_none_or(|last| offset == last + 1), "{payload}");
            offsets.push(offset);
        }
        if let Some(last) = offsets.last() {
            assert_eq!(*last, position.offset, "{payload}");
        }
        Self {
            offsets,
            position,
            is_complete: payload["complete"].as_bool().expect("a flag"),
        }
    }
}

impl Question {
    /// Whether there may be no answer.
    pub(crate) fn may_fail(&self, truth: &Truth) -> bool {
        // A room where nothing was ever said goes with its last member, and comes back as another.
        truth.was_emptied(&self.room) || self.asked_at.offset == 0
    }

    /// The answer comes while the log may have grown.
    pub(crate) fn check_answer(&self, truth: &Truth, log_limit: u64, payload: &Value) {
        let page = Page::read(truth, &self.room, payload);
        if self.may_fail(truth) {
            return;
        }
        assert!(page.offsets.len() <= self.limit, "{self:?}: {payload}");
        assert_eq!(page.position.epoch, self.asked_at.epoch, "{payload}");
        let Some(first) = page.offsets.first().copied() else {
            let is_at_end = |(from, _): &(u64, bool)| *from >= self.asked_at.offset;
            return assert!(self.starts.iter().any(is_at_end), "{self:?}: {payload}");
        };
        let last = truth.last(&self.room);
        let [oldest, oldest_now] = [self.asked_at.offset, last].map(|last| oldest(last, log_limit));
        let is_it = |(from, is_his): &(u64, bool)| {
            let begins = (oldest.max(from + 1)..=oldest_now.max(from + 1)).contains(&first);
            begins && page.is_complete == (*is_his && first == from + 1)
        };
        assert!(self.starts.iter().any(is_it), "{self:?}: {payload}");
        if page.offsets.len() < self.limit {
            assert!(page.position.offset >= self.asked_at.offset, "{payload}");
        }
    }
}

/// The oldest offset that a log of that length keeps.
fn oldest(last: u64, log_limit: u64) -> u64 {
    last.saturating_sub(log_limit) + 1
}

impl Run {
    /// A place in a room that some viewer knows; `None`: before everything.
    fn any_place(&mut self, room: &str) -> Option<Place> {
        let index = self.any_viewer();
        let viewer = &self.viewers[index];
        let watched = viewer.watches.get(room).and_then(|watch| watch.place());
        let known = watched.or_else(|| viewer.left.get(room).cloned());
        known.filter(|_| !self.dice.one_in(3))
    }

    /// A viewer asks for a page of a log.
    pub(crate) fn ask_history(&mut self) {
        let index = self.any_viewer();
        let room = self.dice.pick(&self.world.own.plan.rooms);
        let since = self.any_place(&room);
        let limit = self.dice.pick(&[2, 7, 1_000]);
        let Some(asked_at) = self.truth.place(&room) else {
            return;
        };
        let viewer = &mut self.viewers[index];
        if viewer.conn.is_none() || !viewer.is_greeted {
            return;
        }
        let question = Question {
            limit,
            starts: self.truth.starts(&room, since.as_ref(), &asked_at),
            asked_at,
            room,
        };
        let mut message = json!({"type": "history", "room": question.room});
        if let Some(since) = since {
            message["since"] = json!(since.text());
        }
        if limit < 1_000 {
            message["limit"] = json!(limit);
        }
        viewer.ask_history(&mut message, question);
        self.send(index, &message);
    }

    /// Somebody reads a log to its end, by HTTP: nothing is missing, and nothing comes twice.
    pub(crate) fn read_history(&mut self) {
        let room = self.dice.pick(&self.world.own.plan.rooms);
        let mut since = self.any_place(&room);
        let limit = self.dice.pick(&[2, 7, 1_000]);
        let Some(place) = self.truth.place(&room) else {
            return;
        };
        if self.truth.was_emptied(&room) || place.offset == 0 {
            return;
        }
        loop {
            let query = since
                .as_ref()
                .map(|since| format!("&since={}", since.text()));
            let query = format!("limit={limit}{}", query.unwrap_or_default());
            let answer = self.document(&format!("/api/rooms/{room}/history?{query}"));
            let Some(answer) = answer else {
                return assert_eq!(place.offset, 0, "{room} is gone");
            };
            let page = Page::read(&self.truth, &room, &answer);
            let oldest = oldest(place.offset, self.world.own.plan.log_limit as u64);
            let starts = self.truth.starts(&room, since.as_ref(), &place);
            let is_it = |(from, is_his): &(u64, bool)| {
                let all = oldest.max(from + 1)..=place.offset;
                let is_complete = *is_his && from + 1 >= oldest;
                page.offsets == all.take(limit).collect::<Vec<_>>()
                    && page.is_complete == is_complete
            };
            assert!(
                starts.iter().any(is_it),
                "{starts:?} of {place:?}: {answer}"
            );
            assert_eq!(page.position.epoch, place.epoch, "{answer}");
            if page.offsets.is_empty() {
                return assert_eq!(page.position, place, "{answer}");
            }
            since = Some(page.position);
        }
    }
}
