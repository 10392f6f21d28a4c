//! From a store that nobody has read to one that is in use (contract section 5.6).
//!
//! While the store is unread nothing is decided: what would change or show rooms, tasks, sessions or workspaces waits or is
//! refused, and the hub holds nothing but what has been read so far. A try that fails half-way leaves no trace. Once all is
//! read, every room begins its epoch; when that is kept as well, service begins.

use super::commands::CommandError;
use super::durability::{self, Condition};
use super::sessions::SessionKey;
use super::state::{SESSION_KEY, State};
use super::timer::Timer;
use crate::base::time::{Now, Span};
use crate::hub::durable::record::Table;
use crate::hub::{Batch, Restored};

/// How long requests wait for a store that is being opened for the first time, before they are refused.
const PATIENCE: Span = Span::from_secs(1);
/// Rooms that begin their epoch in one turn, and whose rows are one batch.
const EPOCHS_AT_ONCE: usize = 4096;
/// Sessions of an older form that are rewritten with one batch.
const SESSIONS_AT_ONCE: usize = 256;
/// Reasons why the store does not open that are remembered, so that each is said once.
const MAX_REASONS: usize = 8;

/// How far the opening is, while the store is unread.
#[derive(Debug, Default)]
pub struct Opening {
    step: Step,
    /// Whether no try has failed yet: requests may wait.
    is_first: bool,
    /// Why the store did not open, as the log has it already.
    told: Vec<String>,
    session_key: Option<SessionKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Step {
    /// Nothing is read.
    #[default]
    Closed,
    /// Some of it is.
    Reading,
    /// All of it is, and rooms begin their epochs.
    Sealing,
}

impl State {
    /// Whether a store is still to be read: nothing is decided before.
    pub fn is_unread(&self) -> bool {
        matches!(self.durability.condition(), Condition::Unread(_))
    }

    /// Whether that is soon over, as far as anybody knows: who can wait is not refused.
    pub fn is_opening(&self) -> bool {
        self.opening.is_first && self.is_unread()
    }

    /// Refuses what cannot be decided before the store is read.
    pub fn check_read(&self) -> Result<(), CommandError> {
        match self.durability.fault() {
            Some(reason) if self.is_unread() => {
                self.durability.count_refusal();
                Err(CommandError::Unread(reason.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// There is to be a store, which somebody opens.
pub fn begin(state: &mut State, now: Now) {
    durability::set_unread(state, None);
    state.opening.is_first = true;
    state.wheel.schedule(now.at + PATIENCE, Timer::Opening);
}

/// It takes longer than requests may wait.
pub fn handle_timer(state: &mut State) {
    state.opening.is_first = false;
}

/// It could not be opened, or not be read to its end; it is going to be tried again.
pub fn handle_failure(state: &mut State, reason: String) {
    if !state.is_unread() {
        return;
    }
    if state.opening.step != Step::Closed {
        state.forget_hub();
        (state.opening.step, state.opening.session_key) = (Step::Closed, None);
    }
    let opening = &mut state.opening;
    opening.is_first = false;
    if opening.told.len() < MAX_REASONS && !opening.told.contains(&reason) {
        log::error!("{reason}; no event is taken and viewers wait until it opens; trying again");
        opening.told.push(reason.clone());
    }
    durability::set_unread(state, Some(reason));
}

/// A slice of what it holds has been read.
pub fn handle_slice(state: &mut State, now: Now, slice: &Restored) {
    if !state.is_unread() {
        return;
    }
    if state.opening.step == Step::Closed {
        state.hub.turn_on_journal();
        state.opening.step = Step::Reading;
    }
    take_slice(state, now, slice);
}

/// All of it has been read.
pub fn handle_end(state: &mut State, now: Now) {
    if state.is_unread() {
        state.hub.turn_on_journal();
        state.opening.step = Step::Sealing;
        keep_session_key(state);
        seal(state, now);
    }
}

/// All that a store holds, at once, and service begins without waiting for what that records.
pub fn restore_all(state: &mut State, now: Now, restored: &Restored) {
    state.hub.turn_on_journal();
    take_slice(state, now, restored);
    keep_session_key(state);
    state.hub.begin_epochs(now, usize::MAX, &mut state.peers);
    open(state, now);
}

fn take_slice(state: &mut State, now: Now, slice: &Restored) {
    let facts = slice.rows.iter();
    let found = facts
        .filter(|(table, key, _)| *table == Table::Meta && &**key == SESSION_KEY)
        .find_map(|(.., value)| SessionKey::from_text(value));
    state.opening.session_key = found.or(state.opening.session_key);
    state.hub.restore(now, slice, &mut state.peers);
}

/// Goes on with the secrets of an earlier life, or has the store keep those of this one.
fn keep_session_key(state: &mut State) {
    state.session_key = state.opening.session_key.unwrap_or(state.session_key);
    state.keep_session_key();
}

/// The epochs that begin now are kept before anybody learns of one: a crash that follows at once must know them.
fn seal(state: &mut State, now: Now) {
    state
        .hub
        .begin_epochs(now, EPOCHS_AT_ONCE, &mut state.peers);
    if !state.hub.has_records() {
        open(state, now);
    }
}

/// What is to be kept before service begins.
pub fn poll_batch(state: &mut State) -> Option<Batch> {
    let is_due = state.opening.step == Step::Sealing && state.hub.has_records();
    is_due.then(|| {
        let records = state.hub.take_records(state.now, SESSIONS_AT_ONCE);
        durability::begin(state, records)
    })
}

/// The store has kept such a batch.
pub fn handle_kept(state: &mut State, now: Now) {
    if state.opening.step == Step::Sealing {
        seal(state, now);
    }
}

/// It has not: what it holds is known all the same, and it counts as one that fails at work.
pub fn handle_not_kept(state: &mut State, now: Now) {
    state.hub.begin_epochs(now, usize::MAX, &mut state.peers);
    open(state, now);
}

/// Service begins.
fn open(state: &mut State, now: Now) {
    state.hub.finish_restoring(now, &mut state.peers);
    durability::set_good(state);
    let opening = std::mem::take(&mut state.opening);
    if !opening.told.is_empty() {
        log::info!("the store is open; what it held is restored, and service begins");
    }
}
