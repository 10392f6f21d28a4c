//! What must outlive the process, on its way to the store and back (contract section 5.6).
//!
//! One batch is under way at a time; what changes meanwhile gathers in the next, each thing once. An answer that promises
//! durability, and the news of a workspace, wait for the batch that holds what they are about. A store that fails stops
//! nothing but these: what cannot be kept is said to be so, and everything is rewritten when it works again.

use crate::base::time::{Now, Span};
use crate::engine::commit::release;
use crate::engine::commit::store::{Condition, Recovery};
use crate::engine::state::State;
use crate::engine::timer::Timer;
use crate::hub::{Batch, Record};

/// How long changes may gather that nobody waits for.
pub const GATHER: Span = Span::from_millis(50);
/// How long a store that failed rests at first; each time that it fails again, twice as long.
const FIRST_REST: Span = Span::from_secs(1);
/// How long it rests at most.
const LONGEST_REST: Span = Span::from_secs(10);
/// How long it may take over a batch before it counts as failing: a disk that hangs says nothing.
pub const PATIENCE: Span = Span::from_secs(5);
/// A reminder that comes so much later says that this process stood still, and the store with it.
pub const LATE: Span = Span::from_secs(1);
/// Bytes that may gather while a batch is under way; beyond that the store counts as failing.
const MAX_GATHERED: usize = 64 * 1024 * 1024;
/// The same while everything is rewritten, and behind what has gathered then, beside what these take themselves.
const MAX_GATHERED_MEANWHILE: usize = 4 * MAX_GATHERED;

/// All that is not kept yet, whatever is under way: the server ends.
pub fn last_batch(state: &mut State) -> Option<Batch> {
    state.hub.write_all_sessions_now();
    next_batch(state)
}

pub fn next_batch(state: &mut State) -> Option<Batch> {
    let is_failing = match &state.durability.condition {
        // Of a store that was never read nothing is known, so nothing of it may be changed.
        Condition::Absent | Condition::Unread(_) => return None,
        Condition::Good => false,
        Condition::Failing(_) => true,
    };
    let records = match is_failing {
        true => everything(state),
        false => state.hub.take_records(state.now, usize::MAX),
    };
    if records.is_empty() {
        return None;
    }
    let bytes: usize = records.iter().map(Record::size).sum();
    state.durability.max_gathered = match is_failing {
        true => bytes + MAX_GATHERED_MEANWHILE,
        false => bytes.clamp(MAX_GATHERED, MAX_GATHERED_MEANWHILE),
    };
    let batch = begin(state, records);
    if is_failing {
        state.durability.recovery = Recovery::Rewriting(batch.seq);
    }
    Some(batch)
}

/// To put everything together takes a while, so a store that failed must first keep a single row.
pub fn probe(state: &mut State) -> Batch {
    state.hub.take_records(state.now, usize::MAX);
    state.hub.turn_on_journal();
    state.keep_session_key();
    let records = state.hub.take_records(state.now, usize::MAX);
    state.hub.turn_off_journal(state.now);
    let batch = begin(state, records);
    state.durability.recovery = Recovery::Probing(batch.seq);
    batch
}

/// Puts a batch under way.
pub fn begin(state: &mut State, records: Vec<Record>) -> Batch {
    state.durability.last_seq += 1;
    let seq = state.durability.last_seq;
    state.durability.under_way = Some(seq);
    watch(state);
    Batch { seq, records }
}

/// Sees to it that the batch under way is looked at again.
pub fn watch(state: &mut State) {
    let State {
        durability,
        wheel,
        now,
        ..
    } = state;
    let at = now.at + PATIENCE;
    durability.looked_at = now.at;
    let is_moved = durability
        .reminder
        .is_some_and(|id| wheel.reschedule(id, at));
    if !is_moved {
        durability.reminder = Some(wheel.schedule(at, Timer::StoreAnswer));
    }
}

fn everything(state: &mut State) -> Vec<Record> {
    state.hub.turn_on_journal();
    state.hub.keep(vec![Record::Clear]);
    state.keep_session_key();
    state.hub.mark_everything();
    state.hub.take_records(state.now, usize::MAX)
}

/// What has changed since the last batch that was kept is not kept. Everything is to be rewritten.
pub fn fail(state: &mut State, now: Now, reason: String) {
    if state.durability.fault().is_none() {
        log::error!(
            "{reason}; live delivery goes on, but what comes in now is not kept; trying again"
        );
    }
    state.hub.turn_off_journal(state.now);
    let durability = &mut state.durability;
    if !std::mem::replace(&mut durability.is_armed, true) {
        let rest = durability.rest.clamp(FIRST_REST, LONGEST_REST);
        durability.rest = rest + rest;
        state.wheel.schedule(now.at + rest, Timer::Store);
    }
    release::release(state, now, u64::MAX, Some(&reason));
    state.durability.recovery = Recovery::None;
    state.durability.condition = Condition::Failing(reason);
}
