//! Messages for one viewer alone: each arrives once, unless more of them waited than the configuration allows. That a task
//! is gone is told the same way, but gives way to the others.

use serde_json::Value;
use std::collections::BTreeMap;

/// One message.
#[derive(Debug)]
struct DirectMessage {
    mark: u64,
    /// The name that it had when it was heard.
    id: Option<String>,
    /// On which connection it was heard last.
    heard_on: Option<usize>,
    /// It may be lost: with an earlier process, or an earlier session.
    is_excused: bool,
}

/// A task that it watched has gone.
#[derive(Debug, Default)]
struct Removal {
    wall_ms: u64,
    id: Option<String>,
    heard_on: Option<usize>,
    is_excused: bool,
    /// Its connection has taken it: it waits nowhere.
    is_taken: bool,
}

/// All messages for one viewer, in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    letters: Vec<DirectMessage>,
    removals: Vec<Removal>,
    places: BTreeMap<u64, usize>,
}

impl Mail {
    /// A message is sent.
    pub(crate) fn post(&mut self, mark: u64) {
        self.places.insert(mark, self.letters.len());
        self.letters.push(DirectMessage {
            mark,
            id: None,
            heard_on: None,
            is_excused: false,
        });
    }

    /// It watches a task that goes: whether the connection that the server knows is its own, and has taken that.
    pub(crate) fn post_removal(&mut self, wall_ms: u64, is_own: bool, is_taken: bool) {
        self.removals.push(Removal {
            wall_ms,
            is_excused: !is_own,
            is_taken,
            ..Removal::default()
        });
    }

    /// It hears that a task is gone.
    pub(crate) fn hear_removal(&mut self, connection: usize, message: &Value) {
        let id = Some(message["id"].as_str().expect("an id").to_owned());
        let is_it = |known: &Removal| message["timestamp"] == known.wall_ms;
        let place = self.removals.iter().position(is_it);
        let place = place.unwrap_or_else(|| panic!("nothing was removed: {message}"));
        let removal = &mut self.removals[place];
        assert_ne!(removal.heard_on, Some(connection), "twice: {message}");
        assert!(removal.id.is_none() || removal.id == id, "{message}");
        (removal.id, removal.heard_on) = (id, Some(connection));
    }

    /// Its connection is gone: of tasks that go meanwhile nobody tells it, nor of those that it was being told of.
    pub(crate) fn excuse_removals(&mut self) {
        for removal in &mut self.removals {
            removal.is_excused = true;
        }
    }

    /// What has not been heard may be lost.
    pub(crate) fn excuse(&mut self) {
        self.excuse_removals();
        for letter in &mut self.letters {
            letter.is_excused = true;
        }
    }

    /// A message is heard.
    pub(crate) fn hear(&mut self, connection: usize, message: &Value) {
        let mark = message["payload"]["mark"].as_u64().expect("marked");
        let place = self
            .places
            .get(&mark)
            .unwrap_or_else(|| panic!("for somebody else: {message}"));
        let letter = &mut self.letters[*place];
        let id = message["id"].as_str().expect("an id").to_owned();
        assert_ne!(letter.heard_on, Some(connection), "twice: {message}");
        assert!(
            letter.id.as_ref().is_none_or(|known| *known == id),
            "under another id: {message}"
        );
        (letter.id, letter.heard_on) = (Some(id), Some(connection));
    }

    /// Everything has been said: is anything missing?
    pub(crate) fn check_complete(&self, limit: usize) {
        let count = self.letters.len();
        let have_room = count + self.removals.len() <= limit;
        for removal in &self.removals {
            let may_be_lost = removal.is_excused || !removal.is_taken && !have_room;
            assert!(
                removal.id.is_some() || may_be_lost,
                "not told that a task is gone: {removal:?}"
            );
        }
        let surely_kept = &self.letters[count.saturating_sub(limit)..];
        for letter in surely_kept {
            assert!(
                letter.id.is_some() || letter.is_excused,
                "letter {} is lost",
                letter.mark
            );
        }
    }
}
