//! Batches on their way to the store and back (contract section 5.6).

use super::durability::{Condition, Durability, Opening, Parts, Recovery};
use crate::base::time::Span;
use crate::engine::timer::Timer;
use crate::hub::{Batch, Record};

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
/// [`MAX_GATHERED`] while everything is rewritten, and behind what has gathered then, beside what these take themselves.
const MAX_GATHERED_MEANWHILE: usize = 4 * MAX_GATHERED;
/// Sessions of an older form that are rewritten with one batch.
const SESSIONS_AT_ONCE: usize = 256;

impl Durability {
    /// The next batch for the store, if one is due.
    pub fn poll_batch(&mut self, parts: &mut Parts<'_>) -> Option<Batch> {
        if self.condition == Condition::Absent {
            return None;
        }
        if self.is_unread() {
            return self.poll_sealing_batch(parts);
        }
        if self.under_way.is_some() {
            let gathered = parts.hub.gathered_bytes();
            if gathered > self.max_gathered {
                let reason = format!("{gathered} bytes wait while it writes a batch");
                self.fail(parts, reason);
            }
            return None;
        }
        let is_failing = self.condition.recovery().is_some();
        if !self.is_due && (is_failing || !self.has_waiting()) {
            let must_gather = !is_failing && parts.hub.has_records();
            if must_gather && !std::mem::replace(&mut self.is_armed, true) {
                parts
                    .wheel
                    .schedule(parts.moment.now.at + GATHER, Timer::Store);
            }
            return None;
        }
        self.is_due = false;
        match self.condition.recovery() {
            Some(Recovery::Resting | Recovery::Probing(_)) => Some(self.probe(parts)),
            Some(Recovery::Probed | Recovery::Rewriting(_)) | None => self.next_batch(parts),
        }
    }

    /// All that is not kept yet, whatever is under way: the server ends.
    pub fn last_batch(&mut self, parts: &mut Parts<'_>) -> Option<Batch> {
        parts.hub.write_all_sessions_now();
        self.next_batch(parts)
    }

    /// What must be kept before service begins.
    fn poll_sealing_batch(&mut self, parts: &mut Parts<'_>) -> Option<Batch> {
        let is_sealing = self.condition.opening() == Some(Opening::Sealing);
        if !is_sealing || self.under_way.is_some() || !parts.hub.has_records() {
            return None;
        }
        let records = parts.hub.take_records(parts.moment.now, SESSIONS_AT_ONCE);
        Some(self.begin(parts, records))
    }

    fn next_batch(&mut self, parts: &mut Parts<'_>) -> Option<Batch> {
        let is_failing = match &self.condition {
            // Of a store that was never read nothing is known, so nothing of it may be changed.
            Condition::Absent | Condition::Unread { .. } => return None,
            Condition::Good => false,
            Condition::Failing { .. } => true,
        };
        let records = match is_failing {
            true => self.everything(parts),
            false => parts.hub.take_records(parts.moment.now, usize::MAX),
        };
        if records.is_empty() {
            return None;
        }
        let bytes: usize = records.iter().map(Record::size).sum();
        self.max_gathered = match is_failing {
            true => bytes + MAX_GATHERED_MEANWHILE,
            false => bytes.clamp(MAX_GATHERED, MAX_GATHERED_MEANWHILE),
        };
        let batch = self.begin(parts, records);
        if is_failing {
            self.set_recovery(Recovery::Rewriting(batch.seq));
        }
        Some(batch)
    }

    /// To put everything together takes a while, so a store that failed must first keep a single row.
    fn probe(&mut self, parts: &mut Parts<'_>) -> Batch {
        parts.hub.take_records(parts.moment.now, usize::MAX);
        parts.hub.turn_on_journal();
        self.keep_session_key(parts);
        let records = parts.hub.take_records(parts.moment.now, usize::MAX);
        parts.hub.turn_off_journal(parts.moment.now);
        let batch = self.begin(parts, records);
        self.set_recovery(Recovery::Probing(batch.seq));
        batch
    }

    fn begin(&mut self, parts: &mut Parts<'_>, records: Vec<Record>) -> Batch {
        debug_assert!(!records.is_empty(), "a batch keeps something");
        self.last_seq += 1;
        self.under_way = Some(self.last_seq);
        self.watch(parts);
        Batch {
            seq: self.last_seq,
            records,
        }
    }

    /// Sees to it that the batch under way is looked at again.
    fn watch(&mut self, parts: &mut Parts<'_>) {
        self.looked_at = parts.moment.now.at;
        let at = parts.moment.now.at + PATIENCE;
        self.reminder.set(at, Timer::StoreAnswer, parts.wheel);
    }

    /// The store has had a while for the batch under way. What it keeps of it after all is rewritten with everything else.
    pub fn handle_silence(&mut self, parts: &mut Parts<'_>) {
        self.reminder.handle_expiry();
        if self.under_way.is_none() {
            return;
        }
        let due = self.looked_at + PATIENCE;
        if parts.moment.now.at.saturating_since(due) >= LATE {
            return self.watch(parts);
        }
        self.is_silent = true;
        if self.is_unread() {
            self.open_unsealed(parts);
        }
        if self.fault().is_none() {
            let reason = "the store has not answered for 5 s; its disk may hang";
            self.fail(parts, reason.to_owned());
        }
    }

    /// The store has kept a batch, or has not: why.
    pub fn handle_appended(&mut self, parts: &mut Parts<'_>, seq: u64, result: Result<(), String>) {
        if self.under_way == Some(seq) {
            (self.under_way, self.is_silent) = (None, false);
            self.reminder.cancel(parts.wheel);
        }
        if let Some(opening) = self.condition.opening() {
            match result {
                Ok(()) if opening == Opening::Sealing => return self.seal(parts),
                Ok(()) => return,
                Err(_) => self.open_unsealed(parts),
            }
        }
        match (result, self.condition.recovery()) {
            (Ok(()), Some(Recovery::Probing(probe))) if probe == seq => {
                self.set_recovery(Recovery::Probed);
                self.is_due = true;
            }
            (Ok(()), Some(Recovery::Rewriting(rewrite))) if rewrite == seq => {
                log::warn!("the store works again; everything was rewritten");
                self.condition = Condition::Good;
                self.rest = Span::ZERO;
            }
            (Ok(()), _) => self.release(seq, None),
            (Err(reason), _) => self.fail(parts, reason),
        }
    }

    /// What has changed since the last batch that was kept is not kept. Everything is to be rewritten.
    fn fail(&mut self, parts: &mut Parts<'_>, reason: String) {
        if self.fault().is_none() {
            log::error!(
                "{reason}; live delivery goes on, but what comes in now is not kept; trying again"
            );
        }
        parts.hub.turn_off_journal(parts.moment.now);
        if !std::mem::replace(&mut self.is_armed, true) {
            let rest = self.rest.clamp(FIRST_REST, LONGEST_REST);
            self.rest = rest + rest;
            parts
                .wheel
                .schedule(parts.moment.now.at + rest, Timer::Store);
        }
        self.release(u64::MAX, Some(&reason));
        self.condition = Condition::Failing {
            step: Recovery::Resting,
            reason,
        };
    }

    /// Changes have gathered long enough, or the store has rested.
    pub fn handle_timer(&mut self) {
        (self.is_armed, self.is_due) = (false, true);
    }

    fn set_recovery(&mut self, next: Recovery) {
        if let Condition::Failing { step, .. } = &mut self.condition {
            *step = next;
        }
    }

    fn everything(&self, parts: &mut Parts<'_>) -> Vec<Record> {
        parts.hub.turn_on_journal();
        parts.hub.keep(vec![Record::Clear]);
        self.keep_session_key(parts);
        parts.hub.mark_everything();
        parts.hub.take_records(parts.moment.now, usize::MAX)
    }
}
