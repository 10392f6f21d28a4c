//! The engine's side of the store: its condition, the batch under way, and what waits for one.
//!
//! One batch is under way at a time; what changes meanwhile gathers in the next, each thing once. An answer that promises
//! durability, and the news of a workspace, wait for the batch that holds what they are about. A store that fails stops
//! nothing but these: what cannot be kept is said to be so, and everything is rewritten when it works again.
//!
//! It says nothing itself: what need not wait any more is to be had from [`Durability::poll_released`]. `batches` and `opening`
//! beside this file are the rest of it.
//!
//! # The states of the store
//!
//! | from | when | to |
//! | --- | --- | --- |
//! | `Absent` | a store is being opened | `Unread`, closed |
//! | `Unread`, closed | the first slice comes | `Unread`, reading |
//! | `Unread`, any | it cannot be opened, or not be read to its end | `Unread`, closed; what was read is forgotten |
//! | `Unread`, reading | all of it is read | `Unread`, sealing: rooms begin their epochs |
//! | `Unread`, sealing | the epochs are kept | `Good`: service begins |
//! | `Unread`, sealing | they are not kept, or not in time | `Good`, then as below: what it holds is known all the same |
//! | `Good` | a batch fails, takes too long, or too much gathers behind it | `Failing`, resting |
//! | `Failing`, resting | the rest is over | `Failing`, probing: one row, for to put everything together takes a while |
//! | `Failing`, probing | the row is kept | `Failing`, probed |
//! | `Failing`, probed | the next batch goes out | `Failing`, rewriting: everything |
//! | `Failing`, rewriting | everything is kept | `Good` |
//! | `Failing`, any | a batch fails, or takes too long | `Failing`, resting, twice as long |
//!
//! While it is `Absent` nobody is promised anything, so nothing waits. While it is `Unread` nothing is decided: calls are
//! refused or wait a moment, and viewers wait in the lobby. While it is `Failing` live delivery goes on, and every promise is
//! answered by saying that it is not kept.

use crate::base::time::{Span, Time};
use crate::base::wheel::Wheel;
use crate::engine::answer::Said;
use crate::engine::session::key::{SESSION_KEY, SessionKey};
use crate::engine::timer::{Alarm, Timer};
use crate::engine::transport::answer::Reply;
use crate::engine::transport::peers::Delivery;
use crate::hub::{ClientId, ConnectionId, Hub, Moment};
use crate::wire::http::Response;
use std::collections::{HashMap, VecDeque};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    /// There is none: nothing outlives the process, and nobody is promised that it does.
    #[default]
    Absent,
    /// Not read yet: nothing is decided.
    Unread {
        step: Opening,
        /// Why it did not open, once a try has failed.
        reason: Option<String>,
        /// Whether requests may wait: no try has failed, and the first has not taken long.
        is_soon: bool,
    },
    Good,
    /// Failed, and tried again.
    Failing {
        step: Recovery,
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    Closed,
    /// Some of it is.
    Reading,
    /// All of it is, and rooms begin their epochs.
    Sealing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    Resting,
    /// This batch, a single row, shows whether it works.
    Probing(u64),
    /// The store works, and is to be given everything.
    Probed,
    /// This batch writes everything again.
    Rewriting(u64),
}

impl Condition {
    /// What is wrong, as clients and callers are told.
    pub fn fault(&self) -> Option<&str> {
        match self {
            Self::Absent | Self::Good => None,
            Self::Unread { reason, .. } => reason.as_deref().or(Some("it is being opened")),
            Self::Failing { reason, .. } => Some(reason),
        }
    }

    /// How far the opening is; `None`: it is over, or there is none.
    pub fn opening(&self) -> Option<Opening> {
        match self {
            Self::Unread { step, .. } => Some(*step),
            _ => None,
        }
    }

    /// How far the recovery is; `None`: it does not fail.
    pub fn recovery(&self) -> Option<Recovery> {
        match self {
            Self::Failing { step, .. } => Some(*step),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Durability {
    pub(super) condition: Condition,
    pub(super) last_seq: u64,
    pub(super) under_way: Option<u64>,
    /// When that began, or was looked at last, and the reminder to look again.
    pub(super) looked_at: Time,
    pub(super) reminder: Alarm,
    /// Whether it has taken too long.
    pub(super) is_silent: bool,
    /// How many bytes may gather until that is kept.
    pub(super) max_gathered: usize,
    /// How long the store rests when it fails.
    pub(super) rest: Span,
    /// Whether a timer will make the next batch due.
    pub(super) is_armed: bool,
    pub(super) is_due: bool,
    /// Why the store did not open, as the log has it already.
    pub(super) told: Vec<String>,
    /// What makes the secrets of sessions: it is kept as well.
    pub session_key: SessionKey,
    /// What made them in an earlier life, as far as it is read.
    pub(super) found_key: Option<SessionKey>,
    /// What waits, and for which batch; the numbers never fall.
    waiting: VecDeque<(u64, Held)>,
    /// The batch for which the last change to workspaces waits, or has waited.
    last_change: u64,
    /// Whose lists are among what waits, and for which batch the last of each does.
    lists: HashMap<ClientId, u64>,
    released: VecDeque<Released>,
}

impl Durability {
    pub fn new(session_key: SessionKey) -> Self {
        Self {
            session_key,
            ..Self::default()
        }
    }

    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    pub fn fault(&self) -> Option<&str> {
        self.condition.fault()
    }

    /// Whether a store is still to be read: nothing is decided before.
    pub fn is_unread(&self) -> bool {
        matches!(self.condition, Condition::Unread { .. })
    }

    /// Whether it is going to be read soon, as far as anybody knows: who can wait is not refused.
    pub fn is_opening(&self) -> bool {
        matches!(self.condition, Condition::Unread { is_soon: true, .. })
    }

    /// Whether the store has taken too long over a batch, and has not answered since.
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Whether a list that a client has asked for waits for the store.
    pub fn waits_for_list(&self, client: ClientId) -> bool {
        self.lists.contains_key(&client)
    }

    pub(super) fn keep_session_key(&self, parts: &mut Parts<'_>) {
        parts.hub.keep_meta(SESSION_KEY, self.session_key.to_text());
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
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
        debug_assert!(
            self.waiting.back().is_none_or(|(last, _)| *last <= seq),
            "what is asked later waits for a later batch"
        );
        match &held {
            Held::List { client } => drop(self.lists.insert(*client, seq)),
            Held::Said {
                said: Said::Change(_),
                ..
            } => self.last_change = seq,
            Held::Said { .. } | Held::Answer { .. } => {}
        }
        self.waiting.push_back((seq, held));
    }

    /// The batch behind which a list of workspaces must wait, so that no news overtakes it that is on its way already.
    pub fn seq_of_changes(&self) -> Option<u64> {
        let (first, _) = self.waiting.front()?;
        let (last, _) = self.waiting.back()?;
        (*first <= self.last_change).then_some(*last)
    }

    /// What waited for this batch, or for an earlier one, is to be said. `fault`: it is not kept.
    pub(super) fn release(&mut self, seq: u64, fault: Option<&str>) {
        while let Some((due, _)) = self.waiting.front()
            && *due <= seq
            && let Some((due, held)) = self.waiting.pop_front()
        {
            if let Held::List { client } = &held
                && self.lists.get(client) == Some(&due)
            {
                self.lists.remove(client);
            }
            let fault = fault.map(Into::into);
            self.released.push_back(Released { held, fault });
        }
        debug_assert!(self.lists.len() <= self.waiting.len());
    }

    pub fn poll_released(&mut self) -> Option<Released> {
        self.released.pop_front()
    }
}

#[derive(Debug)]
pub enum Held {
    /// An answer to a request, and what it must know of that.
    Answer {
        connection: ConnectionId,
        reply: Reply,
        answer: Response,
    },
    /// What is said to a message.
    Said {
        client: ClientId,
        said: Said,
        reply_to: Option<Box<str>>,
    },
    /// A list of workspaces, for a client that would not know a change that is not out yet. It shows what there is when it
    /// goes out: news of that may follow, and say the same once more.
    List { client: ClientId },
}

/// What need not wait any more.
#[derive(Debug)]
pub struct Released {
    pub held: Held,
    /// Why it is not kept; `None`: it is.
    pub fault: Option<Box<str>>,
}

/// What the engine's side of the store works on, borrowed for one step.
pub struct Parts<'a> {
    pub moment: Moment<'a>,
    /// What is to be kept, and was.
    pub hub: &'a mut Hub,
    /// Connections, which hear of nothing before the store is read.
    pub delivery: Delivery<'a>,
    pub wheel: &'a mut Wheel<Timer>,
}
