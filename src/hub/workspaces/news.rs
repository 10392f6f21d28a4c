//! What a client of the data dialect lacks of the workspaces (contract section 6). A client whose connection refuses a change is not
//! closed: its changes are conflated by workspace and sent when it has drained.
//!
//! Owns one client's changes. Of each workspace only the newest document is kept, in an `Arc` that all clients share which lack it.
//! States: a map of changes, and, when there are too many of them or the order changed, `is_list`, in which the map is empty
//! and the client is to be sent all workspaces. Invariant: what is due leads from the client's documents to the newest ones, wherever
//! the sending stops.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Most workspaces with changes; beyond it a list costs less.
const MAX_CHANGES: usize = 256;

const CREATED: &str = "workspace.created";
const UPDATED: &str = "workspace.updated";
const DELETED: &str = "workspace.deleted";

/// The changes that a client lacks.
#[derive(Debug, Default)]
pub struct News {
    changes: BTreeMap<Arc<str>, Lacking>,
    /// Workspaces created while it lacked any; gives each its place.
    created: u64,
    /// Whether it is to be sent all workspaces in their order instead.
    pub(super) is_list: bool,
    /// Whether that list has been asked for.
    pub(super) is_asked: bool,
}

/// The changes of one workspace that a client lacks.
#[derive(Debug, Default)]
struct Lacking {
    /// Whether the client has a document of this id.
    is_known: bool,
    /// The payload of that document's deletion.
    deleted: Option<Arc<str>>,
    /// The newest document.
    newest: Option<Arc<str>>,
    /// Its rank among the created ones, which are sent in that order.
    place: u64,
}

/// A change, or what is due of several, in the form that all clients share which lack it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) kind: &'static str,
    pub(super) id: Arc<str>,
    pub(super) payload: Arc<str>,
}

impl News {
    pub(super) fn add(&mut self, change: &Shared) {
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
            // An update of a workspace that was not created meanwhile: the client has it.
            UPDATED => {
                let lacking = self.changes.entry(id);
                lacking.or_insert_with(Lacking::of_known).newest = payload;
            }
            DELETED => {
                let lacking = self.changes.entry(id.clone());
                let lacking = lacking.or_insert_with(Lacking::of_known);
                match lacking.is_known {
                    true => (lacking.deleted, lacking.newest) = (payload, None),
                    // Created and deleted unseen: nothing to tell.
                    false => drop(self.changes.remove(&id)),
                }
            }
            // A new order touches every workspace.
            _ => self.is_list = true,
        }
        self.is_list |= self.changes.len() > MAX_CHANGES;
        if self.is_list {
            self.changes.clear();
        }
    }

    /// The client is to be sent all workspaces, of which nothing need be known before.
    pub(super) fn want_list(&mut self) {
        (self.is_list, self.is_asked) = (true, false);
        self.changes.clear();
    }

    /// What is to be sent: deletions first, then updates, then creations in their order, because an id may be deleted and created again.
    pub(super) fn due(&self) -> Vec<Shared> {
        let due = |kind, id: &Arc<str>, payload: &Arc<str>| Shared {
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
            // What is deleted for the client first must then be created, not updated.
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

    pub(super) fn handle_sent(&mut self, due: &Shared) {
        if due.kind != DELETED {
            self.changes.remove(&due.id);
            return;
        }
        let lacking = self.changes.get_mut(&due.id);
        match lacking.filter(|lacking| lacking.newest.is_some()) {
            // Deleted for the client now, so that its successor is a creation.
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
