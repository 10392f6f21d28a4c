//! The store's thread: it opens the file, as often as it takes, and hands over what it holds; then it writes. All batches that
//! wait go into one transaction, and each is told how it went.
//!
//! It sleeps in its channel and nowhere else, but for a lock that another process may be letting go of. A transaction that
//! fails takes nothing with it but itself: its batches are reported, and the next are tried.

use super::database::Store;
use super::error::{Fault, StoreError};
use crate::hub::durable::record::{Batch, Record, Restored};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// A transaction with this many records takes no further batch, so that the first need not wait for the last.
const MAX_RECORDS: usize = 16_384;

/// Between the starts of two attempts to open the file.
const INTERVAL: Duration = Duration::from_secs(1);
/// After [`PROMPT_TRIES`], and when somebody has to act first.
const LONG_INTERVAL: Duration = Duration::from_secs(10);
/// Attempts at the short interval.
const PROMPT_TRIES: u32 = 60;

#[derive(Debug)]
pub enum StoreReport {
    /// It could not be opened, or not be read to its end; the thread will try again.
    Unopened(StoreError),
    /// The next slice of its content. After [`StoreReport::Unopened`] the slices start again from the first. Reading
    /// stays one slice ahead: the sender acknowledges that this one is taken.
    Slice(Restored, Sender<()>),
    /// All slices are read: from now on the thread writes batches.
    Read,
    /// Batches have had their transaction.
    Done(Vec<BatchResult>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchResult {
    /// The batch's number.
    pub seq: u64,
    /// On an error nothing of the batch is stored.
    pub result: Result<(), StoreError>,
}

/// A store on a thread of its own. Dropped, it goes on until all batches are written; [`StoreThread::join_within`]
/// waits for that.
#[derive(Debug)]
pub struct StoreThread {
    path: String,
    batches: Sender<Batch>,
    thread: JoinHandle<()>,
    end: Receiver<Result<(), StoreError>>,
}

impl StoreThread {
    /// Opens the store with `open`, then writes it; errors name it by `path`. `report` is called on the store's thread,
    /// in the order in which batches were sent.
    pub fn start(
        path: String,
        mut open: impl FnMut() -> Result<Store, StoreError> + Send + 'static,
        mut report: impl FnMut(StoreReport) + Send + 'static,
    ) -> io::Result<Self> {
        let (batches, waiting) = channel();
        let (ended, end) = channel();
        let name = path.clone();
        let thread = Builder::new().name("store".into()).spawn(move || {
            let opened = AssertUnwindSafe(|| open_at_last(&mut open, &waiting, &mut report));
            let result = match catch_unwind(opened) {
                Ok(Some(store)) => run(store, &waiting, report),
                Ok(None) => Ok(()),
                Err(panic) => {
                    // Otherwise everybody would wait for ever, and nobody would know for what.
                    report(StoreReport::Unopened(Fault::Stopped.at(&name)));
                    resume_unwind(panic)
                }
            };
            // The waiting side may have given up.
            let _ = ended.send(result);
        })?;
        Ok(Self {
            path,
            batches,
            thread,
            end,
        })
    }

    /// Never waits.
    pub fn send(&self, batch: Batch) -> Result<(), StoreError> {
        let sent = self.batches.send(batch);
        sent.map_err(|_| Fault::Stopped.at(&self.path))
    }

    /// Waits until all batches are written and reported and the file is closed, but no longer than `limit`: a thread
    /// whose disk hangs is left behind. An error means that not everything sent is stored.
    pub fn join_within(self, limit: Duration) -> Result<(), StoreError> {
        let Self {
            path,
            batches,
            thread,
            end,
        } = self;
        drop(batches);
        match end.recv_timeout(limit) {
            Ok(result) => {
                // It has nothing left to do but end.
                let _ = thread.join();
                result
            }
            Err(RecvTimeoutError::Timeout) => Err(Fault::Silent.at(&path)),
            Err(RecvTimeoutError::Disconnected) => Err(Fault::Stopped.at(&path)),
        }
    }
}

/// Tries to open the store until it is read to its end; `None`: nobody wants it any more.
fn open_at_last(
    open: &mut impl FnMut() -> Result<Store, StoreError>,
    waiting: &Receiver<Batch>,
    report: &mut impl FnMut(StoreReport),
) -> Option<Store> {
    let mut tries = 0;
    loop {
        let began = Instant::now();
        let error = match open().and_then(|store| hand_over(store, report)) {
            Ok(store) => {
                if let Some(store) = &store {
                    store.warn_of_readers();
                    report(StoreReport::Read);
                }
                return store;
            }
            Err(error) => error,
        };
        tries += 1;
        let interval = match tries >= PROMPT_TRIES || error.is_lasting() {
            true => LONG_INTERVAL,
            false => INTERVAL,
        };
        report(StoreReport::Unopened(error));
        let rest = interval.saturating_sub(began.elapsed());
        if waiting.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
            return None;
        }
    }
}

/// Reads the next slice while the last one is taken; `None`: nobody takes them any more.
fn hand_over(
    mut store: Store,
    report: &mut impl FnMut(StoreReport),
) -> Result<Option<Store>, StoreError> {
    let mut under_way: Option<Receiver<()>> = None;
    let is_all = store.read(|slice| {
        if under_way.take().is_some_and(|taken| taken.recv().is_err()) {
            return false;
        }
        let (take, taken) = channel();
        report(StoreReport::Slice(slice, take));
        under_way = Some(taken);
        true
    })?;
    let is_taken = under_way.is_none_or(|taken| taken.recv().is_ok());
    Ok((is_all && is_taken).then_some(store))
}

fn run(
    mut store: Store,
    waiting: &Receiver<Batch>,
    mut report: impl FnMut(StoreReport),
) -> Result<(), StoreError> {
    let mut group = Vec::new();
    let mut kept = Ok(());
    while let Some(first) = next(&mut store, waiting) {
        collect(first, waiting, &mut group);
        let result = store.apply(&group);
        match &result {
            Ok(()) if is_anew(&group) => kept = Ok(()),
            Ok(()) => {}
            Err(error) => kept = Err(error.clone()),
        }
        let outcomes = group.drain(..).map(|batch| BatchResult {
            seq: batch.seq,
            result: result.clone(),
        });
        report(StoreReport::Done(outcomes.collect()));
    }
    kept.and(store.close())
}

/// Whether a batch clears the store, after which earlier failures do not matter.
fn is_anew(group: &[Batch]) -> bool {
    let mut records = group.iter().flat_map(|batch| &batch.records);
    records.any(|record| *record == Record::Clear)
}

/// The next batch; `None` when none will come. While none waits, free space goes back to the file system, bit by bit.
fn next(store: &mut Store, waiting: &Receiver<Batch>) -> Option<Batch> {
    loop {
        match waiting.try_recv() {
            Ok(batch) => return Some(batch),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        // Space that is not returned is not lost either; a real fault shows with the next batch.
        if !store.shrink().unwrap_or(false) {
            return waiting.recv().ok();
        }
    }
}

/// Takes waiting batches up to [`MAX_RECORDS`].
fn collect(first: Batch, waiting: &Receiver<Batch>, group: &mut Vec<Batch>) {
    let mut records = first.records.len();
    group.push(first);
    while records < MAX_RECORDS
        && let Ok(batch) = waiting.try_recv()
    {
        records += batch.records.len();
        group.push(batch);
    }
}
