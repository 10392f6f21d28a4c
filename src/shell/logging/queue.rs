//! Lines on their way to the log's thread, bounded in number and bytes. Logging never waits for whoever reads the log.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const MAX_LINES: u64 = 16_384;
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// Waiting bytes beyond which lines are written before the turn ends.
const WAKE_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    due: Condvar,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    is_due: bool,
    is_writing: bool,
    is_closed: bool,
}

/// What the thread does at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Whole lines.
    pub(super) text: Vec<u8>,
    lines: u64,
    /// Lines that did not fit behind these.
    pub(super) left_out: u64,
    /// How many bytes of `text` go to the old file, if it has to be reopened.
    pub(super) reopen: Option<usize>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.lines == 0 && self.left_out == 0 && self.reopen.is_none()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or counts it when the queue is full. An urgent line is written at once, with all lines before it.
    pub(super) fn push(&self, line: &str, is_urgent: bool) {
        let mut waiting = self.lock();
        let batch = &mut waiting.batch;
        if batch.lines >= MAX_LINES || batch.text.len() + line.len() > MAX_BYTES {
            batch.left_out += 1;
            return;
        }
        batch.text.extend_from_slice(line.as_bytes());
        batch.lines += 1;
        debug_assert!(batch.text.len() <= MAX_BYTES);
        if is_urgent || batch.text.len() > WAKE_BYTES {
            self.mark_urgent(&mut waiting);
        }
    }

    /// Has waiting lines written.
    pub(super) fn wake(&self) {
        let mut waiting = self.lock();
        if !waiting.batch.is_empty() {
            self.mark_urgent(&mut waiting);
        }
    }

    /// Has the file reopened behind the waiting lines.
    pub(super) fn reopen(&self) {
        let mut waiting = self.lock();
        waiting.batch.reopen = Some(waiting.batch.text.len());
        self.mark_urgent(&mut waiting);
    }

    /// Waits until everything is written, but no longer than `limit`; returns whether it is.
    pub(super) fn drain(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut waiting = self.lock();
        self.mark_urgent(&mut waiting);
        while waiting.is_writing || !waiting.batch.is_empty() {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return false;
            }
            let woken = self.done.wait_timeout(waiting, rest);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        self.mark_urgent(&mut waiting);
    }

    /// The next batch, for the thread; `None` once the queue is closed and empty.
    pub(super) fn next(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        waiting.is_writing = false;
        self.done.notify_all();
        loop {
            if waiting.is_due && !waiting.batch.is_empty() {
                (waiting.is_due, waiting.is_writing) = (false, true);
                return Some(std::mem::take(&mut waiting.batch));
            }
            if waiting.is_closed {
                return None;
            }
            waiting.is_due = false;
            let woken = self.due.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn mark_urgent(&self, waiting: &mut Waiting) {
        if !std::mem::replace(&mut waiting.is_due, true) {
            self.due.notify_one();
        }
    }
}
