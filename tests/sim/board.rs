//! The shadow of the workspaces: one order of changes for everybody, what each change must have done, which wishes have
//! no answer yet, and what a crash may take.

use super::wish::{List, Wish, id_of, parse_list};
use super::world::PeerId;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What a connection said is done, or will never be, this long after it was lost.
const FORGOTTEN_MS: u64 = 20_000;

/// What became of a wish, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Unknown,
    Obeyed,
    Refused,
}

/// A wish of this life.
#[derive(Debug)]
struct Said {
    wish: Wish,
    conn: PeerId,
    /// How many changes were known when it was said.
    since: usize,
    outcome: Outcome,
    /// When its connection was lost.
    lost_at: Option<u64>,
}

/// A refusal, to be understood when all changes are known that it may rest on.
#[derive(Debug)]
struct Refusal {
    wish: Wish,
    code: String,
    since: usize,
    until: usize,
}

/// All workspaces in one life of the server.
#[derive(Debug, Default)]
pub(crate) struct Board {
    limit: usize,
    /// The news, in the order in which they were out.
    news: Vec<Value>,
    /// The workspaces before the first and after each of them.
    lists: Vec<List>,
    /// How many messages the observer had heard with each.
    heard: Vec<usize>,
    said: BTreeMap<u64, Said>,
    refusals: Vec<Refusal>,
    /// Lists that show changes whose news are not out, and the place before them.
    early: Vec<(usize, List)>,
}

impl Board {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            lists: vec![List::new()],
            ..Self::default()
        }
    }

    /// How many news are out.
    pub(crate) fn len(&self) -> usize {
        self.news.len()
    }

    /// The workspaces as they are known to be.
    pub(crate) fn list(&self) -> &List {
        self.lists.last().expect("one more than news")
    }

    /// Which code a wish must be refused with if nothing comes between.
    pub(crate) fn fault(&self, wish: &Wish) -> Option<&'static str> {
        wish.fault(self.list(), self.limit)
    }

    /// A client says a wish.
    pub(crate) fn say(&mut self, conn: PeerId, wish: Wish) {
        let said = Said {
            conn,
            since: self.len(),
            outcome: Outcome::Unknown,
            lost_at: None,
            wish,
        };
        self.said.insert(said.wish.number, said);
    }

    /// A connection is lost, and by chance what was said on it.
    pub(crate) fn lose(&mut self, conn: PeerId, now_ms: u64) {
        let lost = self.said.values_mut().filter(|said| said.conn == conn);
        lost.for_each(|said| said.lost_at = Some(now_ms));
    }

    /// The observer hears news; they are its message of that number.
    pub(crate) fn publish(&mut self, message: &Value, number: usize) {
        let payload = &message["data"];
        let token = match message["type"].as_str() {
            Some("workspace.deleted") => format!("deleted {}", payload["id"]),
            Some("workspace.reordered") => format!("reordered {}", payload["ids"]),
            Some("workspace.created" | "workspace.updated") => {
                format!("marked {}", payload["mark"])
            }
            _ => panic!("no news of workspaces: {message}"),
        };
        let wish = self.open(&token).map(|said| {
            said.outcome = Outcome::Obeyed;
            said.wish.clone()
        });
        let wish = wish.unwrap_or_else(|| panic!("nobody has wished it: {message}"));
        assert_eq!(message["type"], wish.effect(), "{wish:?}");
        let fault = self.fault(&wish);
        assert_eq!(fault, None, "{message} among {:?}", self.list());
        let list = wish.obey(self.list(), payload);
        if payload.get("mark").is_some() {
            let told = payload.as_object().expect("an object");
            assert!(list.contains(told), "{told:?} is not among {list:?}");
        }
        self.news.push(message.clone());
        self.lists.push(list);
        self.heard.push(number);
    }

    /// The first wish of that token that has no answer.
    fn open(&mut self, token: &str) -> Option<&mut Said> {
        let mut said = self.said.values_mut();
        said.find(|said| said.outcome == Outcome::Unknown && said.wish.token() == token)
    }

    /// A wish is refused.
    pub(crate) fn refuse(&mut self, number: u64, code: &str, now_ms: u64) {
        let until = self.len() + self.pending(now_ms).count();
        let said = self.said.get_mut(&number).expect("it was wished");
        assert_ne!(said.outcome, Outcome::Refused, "twice: {said:?}");
        let outcome = std::mem::replace(&mut said.outcome, Outcome::Refused);
        let (wish, since) = (said.wish.clone(), said.since);
        if outcome == Outcome::Obeyed {
            let other = self.open(&wish.token());
            other
                .unwrap_or_else(|| panic!("done and refused: {wish:?}"))
                .outcome = Outcome::Obeyed;
        }
        self.refusals.push(Refusal {
            wish,
            code: code.to_owned(),
            since,
            until,
        });
    }

    /// Wishes that may have been obeyed, or may yet be, without any news of it.
    fn pending(&self, now_ms: u64) -> impl Iterator<Item = &Said> {
        let open = |said: &&Said| said.outcome == Outcome::Unknown;
        self.said.values().filter(open).filter(move |said| {
            said.lost_at
                .is_none_or(|lost_at| now_ms < lost_at + FORGOTTEN_MS)
        })
    }

    /// Everything is quiet: every wish has its answer, and every refusal its reason.
    pub(crate) fn check_answers(&mut self, now_ms: u64) {
        let lost = |other: &Said| other.lost_at.is_some() && other.outcome == Outcome::Obeyed;
        for said in self.pending(now_ms) {
            // News that name no wish may have been taken for those of one that was lost.
            let token = said.wish.token();
            let mut others = self.said.values().filter(|other| lost(other));
            let is_answered = others.any(|other| other.wish.token() == token);
            assert!(is_answered, "no answer: {said:?}");
        }
        for (place, list) in std::mem::take(&mut self.early) {
            assert!(
                self.lists[place..].contains(&list),
                "it never was: {list:?}"
            );
        }
        for refusal in std::mem::take(&mut self.refusals) {
            let until = refusal.until.min(self.len());
            let mut lists = self.lists[refusal.since..=until].iter();
            let faults = |list| refusal.wish.fault(list, self.limit) == Some(&*refusal.code);
            assert!(lists.any(faults), "for no reason: {refusal:?}");
        }
    }

    /// A client hears news: the places where it may be before them, if anything is known, and those after.
    pub(crate) fn places_after(&self, before: &[usize], message: &Value) -> Vec<usize> {
        let is_next = |place: &&usize| self.news.get(**place) == Some(message);
        before
            .iter()
            .filter(is_next)
            .map(|place| place + 1)
            .collect()
    }

    /// A client hears a list: the places among these where it may be.
    pub(crate) fn places_of(&mut self, among: &[usize], payload: &Value) -> Vec<usize> {
        let list = parse_list(payload);
        // SRC-BUG: a list that waits for the store shows changes whose news follow it.
        let may_be = |place: &&usize| self.lists[**place..].contains(&list);
        let places: Vec<usize> = among.iter().filter(may_be).copied().collect();
        if places.is_empty() {
            self.early.push((among[0], list));
            return among.to_vec();
        }
        places
    }

    /// The process has begun another life with these workspaces; `kept` of the observer's messages were sure to be.
    pub(crate) fn survive(&mut self, payload: &Value, kept: usize, now_ms: u64) {
        let list = parse_list(payload);
        let acknowledged = self.heard.iter().filter(|number| **number <= kept).count();
        let is_known = self.lists[acknowledged..].contains(&list);
        if !is_known {
            self.check_newer(&list, now_ms);
        }
        *self = Self {
            lists: vec![list],
            ..Self::new(self.limit)
        };
    }

    /// Whether these workspaces can have come of the known ones by wishes that there was no news of.
    fn check_newer(&self, list: &List, now_ms: u64) {
        let pending: Vec<&Wish> = self.pending(now_ms).map(|said| &said.wish).collect();
        let known = self.list();
        let is_pending = |token: &str| pending.iter().any(|wish| wish.token() == token);
        let without_place = |document: &Map<String, Value>| {
            let mut document = document.clone();
            document.remove("order");
            document
        };
        for document in list {
            let is_new = is_pending(&format!("marked {}", document["mark"]));
            let mut same = known.iter().map(without_place);
            assert!(
                is_new || same.any(|known| known == without_place(document)),
                "{document:?} after a crash; {known:?} was known, {pending:?} pending"
            );
        }
        for document in known {
            let is_there = list.iter().any(|other| id_of(other) == id_of(document));
            assert!(
                is_there || is_pending(&format!("deleted {}", document["id"])),
                "{document:?} is lost in a crash; {pending:?} pending"
            );
        }
        let ids = |list: &List, other: &List| -> Vec<String> {
            let ids = list.iter().map(id_of);
            ids.filter(|id| other.iter().any(|document| id_of(document) == *id))
                .map(str::to_owned)
                .collect()
        };
        let is_moved = pending.iter().any(|wish| wish.kind != "update");
        assert!(
            is_moved || ids(list, known) == ids(known, list),
            "{known:?} is {list:?} after a crash"
        );
    }
}
