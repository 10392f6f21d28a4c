//! News of workspaces for clients of the data dialect (contract section 6). A client whose connection takes no more of them is
//! not closed: what it lacks is conflated by workspace, and follows when it has drained.
//!
//! Of each workspace only the newest document is kept, which all who lack it share. Whoever lacks too many, or a new order, is
//! to be sent a whole list.

use crate::base::time::Now;
use crate::hub::clients::client::ClientKey;
use crate::hub::delivery::publication::{Lane, Outlet, Publication};
use crate::hub::facade::Hub;
use crate::hub::workspaces::documents::Change;
use crate::wire::message::Dialect;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whoever lacks news of more workspaces than this is sent a list.
const MAX_CHANGES: usize = 256;

const CREATED: &str = "workspace.created";
const UPDATED: &str = "workspace.updated";
const DELETED: &str = "workspace.deleted";

/// What a client lacks.
#[derive(Debug, Default)]
pub struct News {
    changes: BTreeMap<Arc<str>, Lacking>,
    /// How many workspaces were created since it lacks any.
    created: u64,
    /// It is to be sent all workspaces in their order.
    is_list: bool,
    /// That list is on its way.
    is_asked: bool,
}

/// What a client lacks of one workspace.
#[derive(Debug, Default)]
struct Lacking {
    /// Whether it has one of this id, which it may have to give up.
    is_known: bool,
    /// The payload that tells of the end of that one.
    deleted: Option<Arc<str>>,
    /// The newest document.
    newest: Option<Arc<str>>,
    /// Its place among those that were created.
    place: u64,
}

/// A message that is due to it.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    kind: &'static str,
    id: Arc<str>,
    payload: Arc<str>,
}

/// A change in a form that all who lack it share.
struct Shared {
    kind: &'static str,
    id: Arc<str>,
    payload: Arc<str>,
}

impl News {
    fn add(&mut self, change: &Shared) {
        if self.is_list {
            return;
        }
        let payload = Some(change.payload.clone());
        let id = change.id.clone();
        match change.kind {
            CREATED => {
                self.created += 1;
                let lacking = self.changes.entry(id).or_default();
                (lacking.newest, lacking.place) = (payload, self.created);
            }
            UPDATED => {
                let lacking = self.changes.entry(id);
                lacking.or_insert_with(Lacking::of_known).newest = payload;
            }
            DELETED => {
                let lacking = self.changes.entry(id.clone());
                let lacking = lacking.or_insert_with(Lacking::of_known);
                match lacking.is_known {
                    true => (lacking.deleted, lacking.newest) = (payload, None),
                    false => drop(self.changes.remove(&id)),
                }
            }
            _ => self.is_list = true,
        }
        self.is_list |= self.changes.len() > MAX_CHANGES;
        if self.is_list {
            self.changes.clear();
        }
    }

    /// What is due: those that are gone, those that are known, and those that are new in the order in which they were created.
    fn due(&self) -> Vec<Due> {
        let due = |kind, id: &Arc<str>, payload: &Arc<str>| Due {
            kind,
            id: id.clone(),
            payload: payload.clone(),
        };
        let (mut gone, mut known, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for (id, lacking) in &self.changes {
            if let Some(payload) = &lacking.deleted {
                gone.push(due(DELETED, id, payload));
            }
            let Some(payload) = &lacking.newest else {
                continue;
            };
            match lacking.is_known && lacking.deleted.is_none() {
                true => known.push(due(UPDATED, id, payload)),
                false => new.push((lacking.place, due(CREATED, id, payload))),
            }
        }
        new.sort_unstable_by_key(|(place, _)| *place);
        gone.append(&mut known);
        gone.extend(new.into_iter().map(|(_, due)| due));
        gone
    }

    fn handle_sent(&mut self, due: &Due) {
        if due.kind != DELETED {
            self.changes.remove(&due.id);
            return;
        }
        let lacking = self.changes.get_mut(&due.id);
        match lacking.filter(|lacking| lacking.newest.is_some()) {
            Some(lacking) => (lacking.is_known, lacking.deleted) = (false, None),
            None => drop(self.changes.remove(&due.id)),
        }
    }
}

impl Lacking {
    fn of_known() -> Self {
        Self {
            is_known: true,
            ..Self::default()
        }
    }
}

impl Hub {
    /// Tells every client of the data dialect of a change.
    pub fn publish_change(&mut self, now: Now, change: &Change, out: &mut dyn Outlet) {
        let (kind, id) = (change.kind, self.fanout.next_id());
        let payload = Cow::Borrowed(&*change.payload);
        let publication = Publication::new(kind, payload, now.wall_ms, id, None);
        out.expect_readers(self.directory.connected());
        let (mut delivered, mut lacking) = (0, Vec::new());
        for (key, client) in self.directory.clients() {
            if client.variant.dialect != Dialect::Data {
                continue;
            }
            // What comes later must not overtake what it lacks.
            let is_taken = !client.lacks_news()
                && self
                    .fanout
                    .deliver(&self.directory, key, &publication, Lane::Log, out);
            match is_taken {
                true => delivered += 1,
                false => lacking.push(key),
            }
        }
        self.fanout.handle_broadcast(now, now.at, delivered);
        if lacking.is_empty() {
            return;
        }
        let shared = Shared {
            kind,
            id: Arc::from(&*change.id),
            payload: Arc::from(&*change.payload),
        };
        for client in lacking {
            self.directory.client_mut(client).open_news().add(&shared);
        }
    }

    /// Sends a client the news that it lacks, as far as its connection takes them. `true`: it is to be sent a list, after which
    /// [`Hub::forget_news`] is to be called.
    pub fn send_news(&mut self, now: Now, client: ClientKey, out: &mut dyn Outlet) -> bool {
        let Some(news) = self.directory.client_mut(client).news_mut() else {
            return false;
        };
        if news.is_list {
            return !std::mem::replace(&mut news.is_asked, true);
        }
        out.expect_readers(1);
        for due in news.due() {
            if self.load().is_spent() {
                self.postpone(client);
                return false;
            }
            let before = self.load().turn();
            let payload = Cow::Borrowed(&*due.payload);
            let id = self.fanout.next_id();
            let publication = Publication::new(due.kind, payload, now.wall_ms, id, None);
            let lane = Lane::Replay;
            let fanout = &mut self.fanout;
            let is_taken = fanout.deliver(&self.directory, client, &publication, lane, out);
            self.load().visit(1);
            self.load().charge(before);
            if !is_taken {
                return false;
            }
            if let Some(news) = self.directory.client_mut(client).news_mut() {
                news.handle_sent(&due);
            }
        }
        self.forget_news(client);
        false
    }

    /// A client lacks no news any more: it is being sent all that there is.
    pub fn forget_news(&mut self, client: ClientKey) {
        let client = self.directory.client_mut(client);
        if client.lacks_news() {
            client.close_news();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: &'static str, id: &str, payload: &str) -> Shared {
        let (id, payload) = (id.into(), payload.into());
        Shared { kind, id, payload }
    }

    fn due(changes: &[(&'static str, &str, &str)]) -> Vec<String> {
        let mut news = News::default();
        for (kind, id, payload) in changes {
            news.add(&change(kind, id, payload));
        }
        let due = news.due().into_iter();
        due.map(|due| format!("{} {}", due.kind, due.payload))
            .collect()
    }

    #[test]
    fn the_newest_of_each_workspace_is_due() {
        assert_eq!(
            due(&[
                (UPDATED, "a", "a1"),
                (UPDATED, "b", "b1"),
                (UPDATED, "a", "a2")
            ]),
            ["workspace.updated a2", "workspace.updated b1"]
        );
        assert_eq!(
            due(&[(UPDATED, "a", "a1"), (DELETED, "a", "a-")]),
            ["workspace.deleted a-"]
        );
        assert_eq!(
            due(&[
                (CREATED, "b", "b1"),
                (CREATED, "a", "a1"),
                (UPDATED, "b", "b2")
            ]),
            ["workspace.created b2", "workspace.created a1"],
            "in the order in which they were created"
        );
    }

    #[test]
    fn what_came_and_went_is_not_told_and_what_came_again_is_new() {
        assert_eq!(due(&[(CREATED, "a", "a1"), (DELETED, "a", "a-")]), [""; 0]);
        assert_eq!(
            due(&[
                (DELETED, "a", "a-"),
                (CREATED, "b", "b1"),
                (CREATED, "a", "a2")
            ]),
            [
                "workspace.deleted a-",
                "workspace.created b1",
                "workspace.created a2"
            ]
        );
        assert_eq!(
            due(&[
                (DELETED, "a", "a-"),
                (CREATED, "a", "a2"),
                (DELETED, "a", "a--")
            ]),
            ["workspace.deleted a--"]
        );
    }

    #[test]
    fn what_is_sent_is_no_more_due_and_counts_as_known() {
        let mut news = News::default();
        for one in [
            (DELETED, "a", "a-"),
            (CREATED, "a", "a2"),
            (CREATED, "b", "b1"),
        ] {
            news.add(&change(one.0, one.1, one.2));
        }
        let first = news.due().remove(0);
        news.handle_sent(&first);
        let kinds: Vec<&str> = news.due().iter().map(|due| due.kind).collect();
        assert_eq!(kinds, [CREATED, CREATED]);
        let created = news.due().remove(0);
        news.handle_sent(&created);
        news.add(&change(UPDATED, "a", "a3"));
        let kinds: Vec<&str> = news.due().iter().map(|due| due.kind).collect();
        assert_eq!(kinds, [UPDATED, CREATED]);
    }

    #[test]
    fn too_many_changes_and_a_new_order_ask_for_a_list() {
        let mut news = News::default();
        for number in 0..=MAX_CHANGES {
            assert!(!news.is_list);
            news.add(&change(UPDATED, &number.to_string(), ""));
        }
        assert!(news.is_list && news.due().is_empty());
        let mut news = News::default();
        news.add(&change("workspace.reordered", "", ""));
        news.add(&change(UPDATED, "a", "a1"));
        assert!(news.is_list && news.due().is_empty());
    }
}
