//! Sends changes of workspaces to every client of the data dialect. Owns no state: what a reader that is behind lacks is in its
//! [`News`](super::news::News). Changes are in no log, because a document's newest version replaces the older ones.

use crate::base::time::Now;
use crate::hub::change::Change;
use crate::hub::delivery::publication::{Lane, Outlet, Publication};
use crate::hub::keys::ClientKey;
use crate::hub::parts::Hub;
use crate::hub::workspaces::documents::{Edit, Edited};
use crate::hub::workspaces::news::Shared;
use crate::wire::message::Dialect;
use std::sync::Arc;

impl Hub {
    /// Carries out an edit that [`Hub::workspaces`] decided. Clients hear of it by [`Hub::publish_change`].
    pub fn edit_workspaces(&mut self, edit: Edit) -> Edited {
        self.fanout
            .changes
            .record(|| Change::Workspace(edit.clone()));
        let mut records = Vec::new();
        let edited = self.workspaces.apply(edit, &mut records);
        self.keep(records);
        edited
    }

    /// Offers a change to every client of the data dialect; those that refuse it get it conflated with the changes that follow.
    pub fn publish_change(&mut self, now: Now, change: &Edited, out: &mut dyn Outlet) {
        let (kind, id) = (change.kind, self.fanout.next_id());
        let publication = Publication::new(kind, &change.payload, now, &id);
        let audience = self.fanout.audience.begin();
        let mut lacking = Vec::new();
        for (key, client) in self.directory.clients() {
            match client.dialect == Dialect::Data {
                // A later change must not overtake what the client lacks.
                true if client.lacks_news() => lacking.push(key),
                true => audience.push(key, client.connection),
                false => {}
            }
        }
        // Not the lane `Once`: a change that is refused is kept for its reader, which need not be closed.
        let delivered = self.fanout.offer_all(&publication, Lane::Log, out);
        lacking.extend(self.fanout.audience.refused());
        self.fanout.handle_broadcast(now, now.at, delivered);
        if lacking.is_empty() {
            return;
        }
        // Copied only now: usually every client takes the change, and nothing is kept of it.
        let shared = Shared {
            kind,
            id: Arc::from(&*change.id),
            payload: Arc::from(&*change.payload),
        };
        for client in lacking {
            self.directory.client_mut(client).open_news().add(&shared);
        }
    }

    /// Sends a client the changes that it lacks, as far as its connection takes them. `true`: the caller sends it the list of all
    /// workspaces instead, and calls [`Hub::forget_news`] then.
    pub fn send_news(&mut self, now: Now, client: ClientKey, out: &mut dyn Outlet) -> bool {
        let Some(news) = self.directory.client_mut(client).news_mut() else {
            return false;
        };
        // The list is asked for once: it waits for the store, and the client may drain again meanwhile.
        if news.is_list {
            return !std::mem::replace(&mut news.is_asked, true);
        }
        // Shared pointers are copied out first, because sending borrows the hub.
        for due in news.due() {
            if self.load().is_spent() {
                self.postpone(client);
                return false;
            }
            let before = self.load().turn();
            let id = self.fanout.next_id();
            let publication = Publication::new(due.kind, &due.payload, now, &id);
            let reader = self.directory.client(client).connection;
            let is_taken = self.fanout.offer(&publication, reader, Lane::Replay, out);
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

    /// A client is sent the list of all workspaces in a later turn; what changes until then is in it.
    pub fn postpone_list(&mut self, client: ClientKey) {
        self.directory.client_mut(client).open_news().want_list();
        self.postpone(client);
    }

    /// Drops the news of a client that is being sent all workspaces.
    pub fn forget_news(&mut self, client: ClientKey) {
        let client = self.directory.client_mut(client);
        if client.lacks_news() {
            client.close_news();
        }
    }
}
