//! Messages for one viewer alone: each arrives once, unless more of them waited than the configuration allows.

use serde_json::Value;
use std::collections::BTreeMap;

/// One message.
#[derive(Debug)]
struct Letter {
    mark: u64,
    /// The name that it had when it was heard.
    id: Option<String>,
    /// On which connection it was heard last.
    heard_on: Option<usize>,
    /// It may be lost: with an earlier process, or an earlier session.
    is_excused: bool,
}

/// All messages for one viewer, in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    letters: Vec<Letter>,
    places: BTreeMap<u64, usize>,
}

impl Mail {
    /// A message is sent.
    pub(crate) fn post(&mut self, mark: u64) {
        self.places.insert(mark, self.letters.len());
        self.letters.push(Letter {
            mark,
            id: None,
            heard_on: None,
            is_excused: false,
        });
    }

    /// What has not been heard may be lost.
    pub(crate) fn excuse(&mut self) {
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
