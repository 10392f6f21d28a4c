//! The engine's side of the store: its condition, the batch under way, and what waits for one.

use crate::base::time::{Span, Time};
use crate::base::wheel::TimerId;
use crate::engine::transport::reply::Reply;
use crate::hub::workspaces::documents::Change;
use crate::hub::{ClientId, ConnectionId};
use crate::wire::http::Response;
use std::cell::Cell;
use std::collections::VecDeque;

/// How the store is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// There is none: nothing outlives the process, and nobody is promised that it does.
    #[default]
    Absent,
    /// It was not read yet: nothing is decided. The reason, once a try to open it has failed.
    Unread(Option<String>),
    /// It works.
    Good,
    /// It failed, and is tried again.
    Failing(String),
}

/// What waits for the store.
#[derive(Debug)]
pub enum Held {
    /// An answer to a request.
    Answer {
        connection: ConnectionId,
        reply: Reply,
        answer: Response,
    },
    /// The news of a change to workspaces, and who made it.
    Change { sender: ClientId, change: Change },
    /// A list of workspaces, for a client that would not know a change that is not out yet. It shows what there is when it
    /// goes out: news of that may follow, and say the same once more.
    List { client: ClientId },
}

/// How far a store that failed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recovery {
    /// It rests, or has not failed.
    #[default]
    None,
    /// This batch, a single row, shows whether it works.
    Probing(u64),
    /// It works, and is to be given everything.
    Probed,
    /// This batch writes everything anew.
    Rewriting(u64),
}

/// The engine's side of the store.
#[derive(Debug, Default)]
pub struct Durability {
    pub condition: Condition,
    pub last_seq: u64,
    pub under_way: Option<u64>,
    /// When that began, or was looked at last, and the reminder to look again.
    pub looked_at: Time,
    pub reminder: Option<TimerId>,
    /// Whether it has taken too long.
    pub is_silent: bool,
    /// How many bytes may gather until that is kept.
    pub max_gathered: usize,
    pub recovery: Recovery,
    /// How long the store rests when it fails.
    pub rest: Span,
    pub waiting: VecDeque<(u64, Held)>,
    pub is_due: bool,
    pub is_armed: bool,
    /// Whether the request that is being carried out was promised that it will be kept.
    pub is_promised: bool,
    /// What was refused because the store was not read yet.
    pub refused: Cell<u64>,
}

impl Durability {
    /// Whether a list that a client has asked for waits for the store.
    pub fn waits_for_list(&self, client: ClientId) -> bool {
        let is_its = |held: &Held| matches!(held, Held::List { client: of } if *of == client);
        self.waiting.iter().any(|(_, held)| is_its(held))
    }

    /// How the store is.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// What is wrong with the store.
    pub fn fault(&self) -> Option<&str> {
        match &self.condition {
            Condition::Absent | Condition::Good => None,
            Condition::Unread(None) => Some("it is being opened"),
            Condition::Unread(Some(reason)) | Condition::Failing(reason) => Some(reason),
        }
    }

    /// There is a store, and what it holds is not known yet.
    pub fn set_unread(&mut self, reason: Option<String>) {
        self.condition = Condition::Unread(reason);
    }

    /// What the store held is there, and changes go to it.
    pub fn set_good(&mut self) {
        self.condition = Condition::Good;
    }

    /// Whether the store has taken too long over a batch, and has not answered since.
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// How many calls were refused because the store was not read yet.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// A call is refused for that.
    pub fn count_refusal(&self) {
        self.refused.set(self.refused.get() + 1);
    }

    /// The request that is being carried out is to be answered when what it changes is kept.
    pub fn promise(&mut self) {
        self.is_promised = true;
    }

    /// Whether it is; the next request promises nothing by itself.
    pub fn take_promise(&mut self) -> bool {
        std::mem::take(&mut self.is_promised)
    }

    /// The batch that will hold what has changed up to now; `None`: all of it is kept. `has_records`: there are changes that
    /// no batch holds yet.
    pub fn seq_to_wait_for(&self, has_records: bool) -> Option<u64> {
        match has_records {
            true => Some(self.last_seq + 1),
            false => self.under_way,
        }
    }

    /// Something waits until a batch is kept.
    pub fn hold(&mut self, seq: u64, held: Held) {
        self.waiting.push_back((seq, held));
    }

    /// The batch behind which a list of workspaces must wait, so that no news overtakes it that is on its way already.
    pub fn seq_of_changes(&self) -> Option<u64> {
        let mut waiting = self.waiting.iter();
        let has_changes = waiting.any(|(_, held)| matches!(held, Held::Change { .. }));
        self.waiting
            .back()
            .filter(|_| has_changes)
            .map(|(seq, _)| *seq)
    }

    /// The next that waited for this batch, or for an earlier one.
    pub fn poll_kept(&mut self, seq: u64) -> Option<Held> {
        self.waiting.front().filter(|(due, _)| *due <= seq)?;
        self.waiting.pop_front().map(|(_, held)| held)
    }
}
