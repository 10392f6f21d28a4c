//! What must outlive the process, on its way to the store and back (contract section 5.6).
//!
//! One batch is under way at a time; what changes meanwhile gathers in the next, each thing once. An answer that promises
//! durability, and the news of a workspace, wait for the batch that holds what they are about. A store that fails stops
//! nothing but these: what cannot be kept is said to be so, and everything is rewritten when it works again.

use super::backend;
use super::http::{self, Reply};
use super::opening;
use super::state::State;
use super::timer::Timer;
use super::workspaces;
use crate::base::time::{Now, Span, Time};
use crate::base::wheel::TimerId;
use crate::hub::workspaces::documents::Change;
use crate::hub::{Batch, ClientId, ConnectionId, Record};
use crate::wire::http::{Problem, Response};
use std::cell::Cell;
use std::collections::VecDeque;

/// How long changes may gather that nobody waits for.
const GATHER: Span = Span::from_millis(50);
/// How long a store that failed rests at first; each time that it fails again, twice as long.
const FIRST_REST: Span = Span::from_secs(1);
/// How long it rests at most.
const LONGEST_REST: Span = Span::from_secs(10);

/// How long it may take over a batch before it counts as failing: a disk that hangs says nothing.
const PATIENCE: Span = Span::from_secs(5);
/// A reminder that comes so much later says that this process stood still, and the store with it.
const LATE: Span = Span::from_secs(1);

/// Bytes that may gather while a batch is under way; beyond that the store counts as failing.
const MAX_GATHERED: usize = 64 * 1024 * 1024;
/// The same while everything is rewritten, and behind what has gathered then, beside what these take themselves.
const MAX_GATHERED_MEANWHILE: usize = 4 * MAX_GATHERED;

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
enum Waiting {
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
enum Recovery {
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
    condition: Condition,
    last_seq: u64,
    under_way: Option<u64>,
    /// When that began, or was looked at last, and the reminder to look again.
    looked_at: Time,
    reminder: Option<TimerId>,
    /// Whether it has taken too long.
    is_silent: bool,
    /// How many bytes may gather until that is kept.
    max_gathered: usize,
    recovery: Recovery,
    /// How long the store rests when it fails.
    rest: Span,
    waiting: VecDeque<(u64, Waiting)>,
    is_due: bool,
    is_armed: bool,
    /// Whether the request that is being carried out was promised that it will be kept.
    is_promised: bool,
    /// What was refused because the store was not read yet.
    refused: Cell<u64>,
}

impl Durability {
    /// Whether a list that a client has asked for waits for the store.
    pub fn waits_for_list(&self, client: ClientId) -> bool {
        let is_its =
            |waiting: &Waiting| matches!(waiting, Waiting::List { client: of } if *of == client);
        self.waiting.iter().any(|(_, waiting)| is_its(waiting))
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

    /// Whether news of workspaces are under way.
    fn has_changes(&self) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|(_, waiting)| matches!(waiting, Waiting::Change { .. }))
    }
}

/// There is a store, and what it holds is not known yet.
pub fn set_unread(state: &mut State, reason: Option<String>) {
    state.durability.condition = Condition::Unread(reason);
}

/// What the store held is there, and changes go to it.
pub fn set_good(state: &mut State) {
    state.durability.condition = Condition::Good;
}

/// Answers a request, when what it changed is kept if that was promised.
pub fn respond(
    state: &mut State,
    now: Now,
    connection: ConnectionId,
    reply: Reply,
    answer: Response,
) {
    let is_promised = std::mem::take(&mut state.durability.is_promised);
    if !is_promised || answer.status() >= 300 {
        return http::finish(state, now, connection, reply, answer);
    }
    if let Some(reason) = state.durability.fault() {
        let problem = not_kept(reason);
        return http::finish(state, now, connection, reply, problem);
    }
    match seq_to_wait_for(state) {
        None => http::finish(state, now, connection, reply, answer),
        Some(seq) => {
            if let Some(peer) = state.peers.peer_mut(connection) {
                peer.is_held = true;
            }
            let waiting = Waiting::Answer {
                connection,
                reply,
                answer,
            };
            state.durability.waiting.push_back((seq, waiting));
        }
    }
}

/// Tells of a change to workspaces, when it is kept.
pub fn publish(state: &mut State, now: Now, sender: ClientId, mut change: Change) {
    let records = std::mem::take(&mut change.records);
    state.hub.keep(records);
    if let Some(reason) = state.durability.fault().map(str::to_owned) {
        workspaces::publish(state, now, &change);
        return workspaces::tell_not_kept(state, now, sender, &reason);
    }
    match seq_to_wait_for(state) {
        None => workspaces::publish(state, now, &change),
        Some(seq) => state
            .durability
            .waiting
            .push_back((seq, Waiting::Change { sender, change })),
    }
}

/// Sends a list of workspaces, behind the news that were on their way when it was asked for.
pub fn list(state: &mut State, now: Now, client: ClientId) {
    match state.durability.waiting.back() {
        Some((seq, _)) if state.durability.has_changes() => {
            let seq = *seq;
            state
                .durability
                .waiting
                .push_back((seq, Waiting::List { client }));
            // Lists are long, and a client that asks for many would get all of them at once.
            if let Some(connection) = link_of(state, client)
                && let Some(peer) = state.peers.peer_mut(connection)
            {
                peer.waits = true;
            }
        }
        _ => workspaces::list(state, now, client),
    }
}

fn link_of(state: &State, client: ClientId) -> Option<ConnectionId> {
    let directory = state.hub.directory();
    let client = directory.living_client(client)?;
    Some(directory.client(client).connection)
}

/// The batch that will hold what has changed up to now; `None`: all of it is kept.
fn seq_to_wait_for(state: &State) -> Option<u64> {
    let durability = &state.durability;
    match state.hub.has_records() {
        true => Some(durability.last_seq + 1),
        false => durability.under_way,
    }
}

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
            fail(state, now, reason);
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
        (Condition::Failing(_), Recovery::None | Recovery::Probing(_)) => Some(probe(state)),
        _ => next_batch(state),
    }
}

/// All that is not kept yet, whatever is under way: the server ends.
pub fn last_batch(state: &mut State) -> Option<Batch> {
    state.hub.write_all_sessions_now();
    next_batch(state)
}

fn next_batch(state: &mut State) -> Option<Batch> {
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
fn probe(state: &mut State) -> Batch {
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
fn watch(state: &mut State) {
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

/// The store has had a while for the batch under way. What it keeps of it after all is rewritten with everything else.
pub fn handle_silence(state: &mut State, now: Now) {
    state.durability.reminder = None;
    if state.durability.under_way.is_none() {
        return;
    }
    let due = state.durability.looked_at + PATIENCE;
    if now.at.saturating_since(due) >= LATE {
        return watch(state);
    }
    let reason = "the store has not answered for 5 s; its disk may hang".to_owned();
    state.durability.is_silent = true;
    if state.is_unread() {
        opening::handle_not_kept(state, now);
    }
    if state.durability.fault().is_none() {
        fail(state, now, reason);
    }
}

fn everything(state: &mut State) -> Vec<Record> {
    state.hub.turn_on_journal();
    state.hub.keep(vec![Record::Clear]);
    state.keep_session_key();
    state.hub.mark_everything();
    state.hub.take_records(state.now, usize::MAX)
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
        Ok(()) => release(state, now, seq, None),
        Err(reason) => fail(state, now, reason),
    }
}

/// What has changed since the last batch that was kept is not kept. Everything is to be rewritten.
fn fail(state: &mut State, now: Now, reason: String) {
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
    release(state, now, u64::MAX, Some(&reason));
    state.durability.recovery = Recovery::None;
    state.durability.condition = Condition::Failing(reason);
}

/// Changes have gathered long enough, or the store has rested.
pub fn handle_timer(state: &mut State) {
    state.durability.is_armed = false;
    state.durability.is_due = true;
}

/// Lets go what waited for a batch, or for an earlier one.
fn release(state: &mut State, now: Now, seq: u64, fault: Option<&str>) {
    while let Some((due, _)) = state.durability.waiting.front()
        && *due <= seq
        && let Some((_, waiting)) = state.durability.waiting.pop_front()
    {
        match waiting {
            Waiting::Answer {
                connection,
                reply,
                answer,
            } => {
                let answer = fault.map_or(answer, not_kept);
                http::release(state, now, connection, reply, answer);
            }
            Waiting::Change { sender, change } => {
                workspaces::publish(state, now, &change);
                if let Some(reason) = fault {
                    workspaces::tell_not_kept(state, now, sender, reason);
                }
            }
            Waiting::List { client } => {
                workspaces::list(state, now, client);
                if let Some(connection) = link_of(state, client) {
                    backend::end_wait(state, now, connection);
                }
            }
        }
    }
}

fn not_kept(reason: &str) -> Response {
    let detail = format!("taken and delivered, but not kept: {reason}");
    Problem::new(503, "storage_unavailable", detail)
        .retry_after_s(1)
        .into()
}
