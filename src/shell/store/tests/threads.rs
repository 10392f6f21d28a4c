//! The store at work: groups, their outcomes in order, failures it lives through, and its end.

use super::super::database::Store;
use super::super::error::Fault;
use super::super::thread::{BatchResult, StoreReport, StoreThread};
use super::refusals::limit_pages;
use super::{Directory, append, batch, put};
use crate::hub::durable::record::{Batch, Record, StoredEntry, Table};
use std::fs;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// What only a failing test waits for.
const LIMIT: Duration = Duration::from_secs(20);

/// A store's thread whose reports arrive here.
struct Working {
    thread: StoreThread,
    reports: Receiver<Vec<BatchResult>>,
}

impl Working {
    fn start(directory: &Directory) -> Self {
        Self::on(directory.open())
    }

    fn on(store: Store) -> Self {
        let (sender, reports) = channel();
        let thread = start(store, move |outcomes| drop(sender.send(outcomes)));
        Self { thread, reports }
    }

    /// The same, but no report returns before the test says so: meanwhile batches gather.
    fn gated(directory: &Directory) -> (Self, Sender<()>) {
        let (sender, reports) = channel();
        let (gate, passes) = channel();
        let report = move |outcomes| {
            drop(sender.send(outcomes));
            let _ = passes.recv();
        };
        let thread = start(directory.open(), report);
        (Self { thread, reports }, gate)
    }

    fn report(&self) -> Vec<BatchResult> {
        self.reports.recv_timeout(LIMIT).expect("a report")
    }
}

/// The thread of a store that is open already.
fn start(store: Store, mut report: impl FnMut(Vec<BatchResult>) + Send + 'static) -> StoreThread {
    let path = store.path().to_owned();
    let mut store = Some(store);
    let open = move || Ok(store.take().expect("it is opened once"));
    let report = move |news| match news {
        StoreReport::Done(outcomes) => report(outcomes),
        StoreReport::Slice(_, taken) => drop(taken.send(())),
        StoreReport::Read => {}
        StoreReport::Unopened(error) => panic!("it is open: {error}"),
    };
    StoreThread::start(path, open, report).unwrap()
}

fn one(seq: u64) -> Batch {
    batch(seq, vec![append("room", seq)])
}

fn kept(seqs: impl IntoIterator<Item = u64>) -> Vec<BatchResult> {
    seqs.into_iter()
        .map(|seq| BatchResult {
            seq,
            result: Ok(()),
        })
        .collect()
}

#[test]
fn what_waits_is_kept_in_one_go_and_told_in_order() {
    let directory = Directory::new();
    let (working, gate) = Working::gated(&directory);
    working.thread.send(one(1)).unwrap();
    assert_eq!(working.report(), kept([1]));
    (2..=500).for_each(|seq| working.thread.send(one(seq)).unwrap());
    gate.send(()).unwrap();
    assert_eq!(working.report(), kept(2..=500));
    drop(gate);
    working.thread.join_within(Duration::MAX).unwrap();
    assert_eq!(directory.open().load().unwrap().entries.len(), 500);
}

#[test]
fn a_group_has_a_limit() {
    let directory = Directory::new();
    let (working, gate) = Working::gated(&directory);
    let thousand = |seq: u64| {
        let tasks = (0..1000).map(|number| put(Table::Task, &number.to_string(), "{}"));
        batch(seq, tasks.collect())
    };
    working.thread.send(one(0)).unwrap();
    assert_eq!(working.report(), kept([0]));
    (1..=20).for_each(|seq| working.thread.send(thousand(seq)).unwrap());
    drop(gate);
    assert_eq!(working.report(), kept(1..=17));
    assert_eq!(working.report(), kept(18..=20));
    working.thread.join_within(Duration::MAX).unwrap();
}

#[test]
fn it_ends_when_all_is_done_and_leaves_one_file() {
    let directory = Directory::new();
    let working = Working::start(&directory);
    (1..=50).for_each(|seq| working.thread.send(one(seq)).unwrap());
    working.thread.join_within(Duration::MAX).unwrap();
    let outcomes: Vec<BatchResult> = working.reports.iter().flatten().collect();
    assert_eq!(outcomes, kept(1..=50));
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
    assert_eq!(directory.open().load().unwrap().entries.len(), 50);
}

#[test]
fn after_a_failure_the_next_batch_is_tried() {
    let directory = Directory::new();
    let store = directory.open();
    limit_pages(&store, 20);
    let working = Working::on(store);
    let path = directory.path("joblight.db");
    let huge = put(Table::Task, "huge", &"x".repeat(1 << 20));
    working
        .thread
        .send(batch(1, vec![append("room", 1), huge]))
        .unwrap();
    let full = BatchResult {
        seq: 1,
        result: Err(Fault::Full.at(&path)),
    };
    assert_eq!(working.report(), [full]);
    working.thread.send(one(2)).unwrap();
    assert_eq!(working.report(), kept([2]));
    let path = directory.path("joblight.db");
    assert_eq!(
        working.thread.join_within(Duration::MAX),
        Err(Fault::Full.at(&path))
    );
    let restored = directory.open().load().unwrap();
    assert_eq!(restored.rows, []);
    assert_eq!(restored.entries, [super::entry("room", 2)]);
}

/// At the end nobody takes reports any more.
#[test]
fn what_has_failed_and_was_not_written_anew_is_told_at_the_end() {
    let directory = Directory::new();
    for (again, is_told) in [(append("room", 2), true), (Record::Clear, false)] {
        let (working, gate) = Working::gated(&directory);
        working.thread.send(impossible(1)).unwrap();
        assert!(working.report()[0].result.is_err());
        working.thread.send(batch(2, vec![again])).unwrap();
        drop(gate);
        assert_eq!(working.thread.join_within(Duration::MAX).is_err(), is_told);
    }
}

/// A batch that no store keeps.
fn impossible(seq: u64) -> Batch {
    let entry = StoredEntry {
        serial: u64::MAX,
        ..super::entry("room", 1)
    };
    batch(seq, vec![Record::Append(entry)])
}

#[test]
fn a_panic_is_told_to_who_sends_and_to_who_waits() {
    let directory = Directory::new();
    let store = directory.open();
    let path = store.path().to_owned();
    let thread = start(store, |_| panic!("as this test wants it"));
    thread.send(one(1)).unwrap();
    // The channel closes when the thread has unwound.
    while thread.send(one(2)).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(thread.send(one(3)), Err(Fault::Stopped.at(&path)));
    assert_eq!(
        thread.join_within(Duration::MAX),
        Err(Fault::Stopped.at(&path))
    );
    // What was committed before it stays.
    let entries = directory.open().load().unwrap().entries;
    assert_eq!(entries[0], super::entry("room", 1));
}
