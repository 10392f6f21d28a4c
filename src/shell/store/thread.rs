//! The thread that writes the store: all batches that wait go into one transaction, and each is told how it went.
//!
//! It sleeps in its channel and nowhere else. A transaction that fails takes nothing with it but itself: its batches
//! are reported, and the next are tried.

use super::database::Store;
use super::error::StoreError;
use crate::hub::journal::{Batch, Record};
use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{Builder, JoinHandle};

/// Records beyond which a transaction takes no further batch, so that the first need not wait for the last.
const MAX_RECORDS: usize = 16_384;

/// How a batch went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The batch.
    pub seq: u64,
    /// Whether it is kept. When it is not, nothing of it is.
    pub result: Result<(), StoreError>,
}

/// A store at work on a thread of its own. Dropped, it goes on until all batches are done; [`StoreThread::join`] waits.
#[derive(Debug)]
pub struct StoreThread {
    path: String,
    batches: Sender<Batch>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl StoreThread {
    /// Sets the store to work. `report` is called on its thread after each transaction, with the outcomes of that
    /// transaction's batches; over all calls they are in the order in which the batches were sent.
    pub fn start(
        store: Store,
        report: impl FnMut(Vec<Outcome>) + Send + 'static,
    ) -> io::Result<Self> {
        let path = store.path().to_owned();
        let (batches, waiting) = channel();
        let thread = Builder::new()
            .name("store".into())
            .spawn(move || run(store, &waiting, report))?;
        Ok(Self {
            path,
            batches,
            thread,
        })
    }

    /// Hands a batch over; never waits.
    pub fn send(&self, batch: Batch) -> Result<(), StoreError> {
        self.batches.send(batch).map_err(|_| StoreError::Stopped {
            path: self.path.clone(),
        })
    }

    /// Waits until all batches are done and reported and the file is closed. An error: not all that was sent is kept.
    pub fn join(self) -> Result<(), StoreError> {
        let Self {
            path,
            batches,
            thread,
        } = self;
        drop(batches);
        thread.join().unwrap_or(Err(StoreError::Stopped { path }))
    }
}

fn run(
    mut store: Store,
    waiting: &Receiver<Batch>,
    mut report: impl FnMut(Vec<Outcome>),
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
        let outcomes = group.drain(..).map(|batch| Outcome {
            seq: batch.seq,
            result: result.clone(),
        });
        report(outcomes.collect());
    }
    kept.and(store.close())
}

/// Whether nothing matters that went wrong before.
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
        // Space that is not given back is not lost either; what is the matter shows when something must be kept.
        if !store.shrink().unwrap_or(false) {
            return waiting.recv().ok();
        }
    }
}

/// Takes what waits.
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
