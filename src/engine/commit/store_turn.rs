//! What the store says and what time does to it, whether it is being opened or in use.

use crate::base::time::{Now, Span};
use crate::engine::commit::batches::{GATHER, LATE, PATIENCE};
use crate::engine::commit::store::{Condition, Recovery};
use crate::engine::commit::{batches, opening, release};
use crate::engine::state::State;
use crate::engine::timer::Timer;
use crate::hub::Batch;

/// The next batch for the store, if one is due.
pub fn poll_batch(state: &mut State, now: Now) -> Option<Batch> {
    if state.durability.condition == Condition::Absent {
        return None;
    }
    if state.is_unread() {
        let is_free = state.durability.under_way.is_none();
        return is_free.then(|| opening::poll_batch(state)).flatten();
    }
    if state.durability.under_way.is_some() {
        let gathered = state.hub.gathered_bytes();
        if gathered > state.durability.max_gathered {
            let reason = format!("{gathered} bytes wait while it writes a batch");
            batches::fail(state, now, reason);
        }
        return None;
    }
    if state.durability.fault().is_some() && !state.durability.is_due {
        return None;
    }
    if !state.durability.is_due && state.durability.waiting.is_empty() {
        if state.hub.has_records() && !std::mem::replace(&mut state.durability.is_armed, true) {
            state.wheel.schedule(now.at + GATHER, Timer::Store);
        }
        return None;
    }
    state.durability.is_due = false;
    match (&state.durability.condition, state.durability.recovery) {
        (Condition::Failing(_), Recovery::None | Recovery::Probing(_)) => {
            Some(batches::probe(state))
        }
        _ => batches::next_batch(state),
    }
}

/// The store has had a while for the batch under way. What it keeps of it after all is rewritten with everything else.
pub fn handle_silence(state: &mut State, now: Now) {
    state.durability.reminder = None;
    if state.durability.under_way.is_none() {
        return;
    }
    let due = state.durability.looked_at + PATIENCE;
    if now.at.saturating_since(due) >= LATE {
        return batches::watch(state);
    }
    let reason = "the store has not answered for 5 s; its disk may hang".to_owned();
    state.durability.is_silent = true;
    if state.is_unread() {
        opening::handle_not_kept(state, now);
    }
    if state.durability.fault().is_none() {
        batches::fail(state, now, reason);
    }
}

/// The store has kept a batch, or has not.
pub fn handle_stored(state: &mut State, now: Now, seq: u64, result: Result<(), String>) {
    if state.durability.under_way == Some(seq) {
        (state.durability.under_way, state.durability.is_silent) = (None, false);
        if let Some(reminder) = state.durability.reminder.take() {
            state.wheel.cancel(reminder);
        }
    }
    if state.is_unread() {
        match result {
            Ok(()) => return opening::handle_kept(state, now),
            Err(_) => opening::handle_not_kept(state, now),
        }
    }
    let durability = &mut state.durability;
    match result {
        Ok(()) if durability.recovery == Recovery::Probing(seq) => {
            (durability.recovery, durability.is_due) = (Recovery::Probed, true);
        }
        Ok(()) if durability.recovery == Recovery::Rewriting(seq) => {
            log::warn!("the store works again; everything was rewritten");
            (durability.recovery, durability.condition) = (Recovery::None, Condition::Good);
            durability.rest = Span::ZERO;
        }
        Ok(()) => release::release(state, now, seq, None),
        Err(reason) => batches::fail(state, now, reason),
    }
}

/// Changes have gathered long enough, or the store has rested.
pub fn handle_timer(state: &mut State) {
    state.durability.is_armed = false;
    state.durability.is_due = true;
}
