//! From a store that nobody has read to one that is in use (contract section 5.6).
//!
//! While the store is unread nothing is decided: what would change or show rooms, tasks, sessions or workspaces waits or is
//! refused, and the hub holds nothing but what has been read so far. A try that fails half-way leaves no trace. Once all is
//! read, every room begins its epoch; when that is kept as well, service begins.

use super::durability::{Condition, Durability, Opening, Parts};
use crate::base::time::Span;
use crate::engine::session::key::{SESSION_KEY, SessionKey};
use crate::engine::timer::Timer;
use crate::hub::Restored;
use crate::hub::durable::record::Table;

/// How long requests wait for a store that is being opened for the first time, before they are refused.
const PATIENCE: Span = Span::from_secs(1);
/// Rooms that begin their epoch in one turn, and whose rows are one batch.
const EPOCHS_AT_ONCE: usize = 4096;
/// Reasons why the store does not open that are remembered, so that each is said once.
const MAX_REASONS: usize = 8;

impl Durability {
    /// There is to be a store, which somebody opens.
    pub fn await_store(&mut self, parts: &mut Parts<'_>) {
        self.condition = Condition::Unread {
            step: Opening::Closed,
            reason: None,
            is_soon: true,
        };
        parts
            .wheel
            .schedule(parts.moment.now.at + PATIENCE, Timer::Opening);
    }

    /// The opening takes longer than requests may wait.
    pub fn handle_delay(&mut self) {
        if let Condition::Unread { is_soon, .. } = &mut self.condition {
            *is_soon = false;
        }
    }

    /// The store could not be opened, or not be read to its end, and is tried again. Tells whether something was read,
    /// which is to be forgotten.
    pub fn handle_unopened(&mut self, reason: String) -> bool {
        let Some(step) = self.condition.opening() else {
            return false;
        };
        if self.told.len() < MAX_REASONS && !self.told.contains(&reason) {
            log::error!(
                "{reason}; no event is taken and viewers wait until it opens; trying again"
            );
            self.told.push(reason.clone());
        }
        self.found_key = None;
        self.condition = Condition::Unread {
            step: Opening::Closed,
            reason: Some(reason),
            is_soon: false,
        };
        step != Opening::Closed
    }

    pub fn handle_slice(&mut self, parts: &mut Parts<'_>, slice: &Restored) {
        if let Condition::Unread { step, .. } = &mut self.condition {
            if *step == Opening::Closed {
                parts.hub.turn_on_journal();
                *step = Opening::Reading;
            }
            self.take_slice(parts, slice);
        }
    }

    pub fn handle_read(&mut self, parts: &mut Parts<'_>) {
        if let Condition::Unread { step, .. } = &mut self.condition {
            parts.hub.turn_on_journal();
            *step = Opening::Sealing;
            self.restore_session_key(parts);
            self.seal(parts);
        }
    }

    /// All that a store holds, at once, and service begins without waiting for what that records.
    pub fn restore_all(&mut self, parts: &mut Parts<'_>, restored: &Restored) {
        parts.hub.turn_on_journal();
        self.take_slice(parts, restored);
        self.restore_session_key(parts);
        self.open_unsealed(parts);
    }

    /// The epochs that begin now are kept before anybody learns of one: a crash that follows at once must know them.
    pub(super) fn seal(&mut self, parts: &mut Parts<'_>) {
        parts.hub.begin_epochs(EPOCHS_AT_ONCE);
        if !parts.hub.has_records() {
            self.open(parts);
        }
    }

    /// Opens although the epochs are not kept: what the store holds is known all the same, and it counts as one that fails at work.
    pub(super) fn open_unsealed(&mut self, parts: &mut Parts<'_>) {
        parts.hub.begin_epochs(usize::MAX);
        self.open(parts);
    }

    fn open(&mut self, parts: &mut Parts<'_>) {
        parts.hub.finish_restoring(parts.moment);
        self.condition = Condition::Good;
        if !std::mem::take(&mut self.told).is_empty() {
            log::info!("the store is open; what it held is restored, and service begins");
        }
    }

    fn take_slice(&mut self, parts: &mut Parts<'_>, slice: &Restored) {
        let rows = slice.rows.iter();
        let found = rows
            .filter(|(table, key, _)| *table == Table::Meta && &**key == SESSION_KEY)
            .find_map(|(.., value)| SessionKey::from_text(value));
        self.found_key = found.or(self.found_key);
        parts.hub.restore(parts.moment, slice, &mut parts.delivery);
    }

    /// Goes on with the secrets of an earlier life, or has the store keep those of this one.
    fn restore_session_key(&mut self, parts: &mut Parts<'_>) {
        self.session_key = self.found_key.take().unwrap_or(self.session_key);
        self.keep_session_key(parts);
    }
}
