//! Changes of workspaces on their way to every client of the data dialect.

use crate::base::time::Now;
use crate::hub::delivery::publication::{Lane, Outlet, Publication};
use crate::hub::keys::ClientKey;
use crate::hub::parts::Hub;
use crate::hub::workspaces::documents::Change;
use crate::hub::workspaces::news::Shared;
use crate::wire::message::Dialect;
use std::sync::Arc;

impl Hub {
    /// Tells every client of the data dialect of a change.
    pub fn publish_change(&mut self, now: Now, change: &Change, out: &mut dyn Outlet) {
        let (kind, id) = (change.kind, self.fanout.next_id());
        let publication = Publication::new(kind, &change.payload, now, &id);
        let mut audience = std::mem::take(&mut self.fanout.audience);
        let mut lacking = Vec::new();
        for (key, client) in self.directory.clients() {
            match client.dialect == Dialect::Data {
                // What comes later must not overtake what it lacks.
                true if client.lacks_news() => lacking.push(key),
                true => audience.push(key, client.connection),
                false => {}
            }
        }
        let delivered = self
            .fanout
            .offer_all(&publication, &mut audience, Lane::Log, out);
        lacking.extend(audience.refused());
        self.fanout.put_back(audience);
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

    /// A client lacks no news any more: it is being sent all that there is.
    pub fn forget_news(&mut self, client: ClientKey) {
        let client = self.directory.client_mut(client);
        if client.lacks_news() {
            client.close_news();
        }
    }
}
