//! A store that does not open at once: it is tried again, and read slice by slice.

use super::super::database::Store;
use super::super::error::{Fault, StoreError};
use super::super::thread::{StoreReport, StoreThread};
use super::{Directory, append, batch, entry, put, row};
use crate::config::Synchronous;
use crate::hub::durable::record::{Restored, Table};
use std::fs;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// What only a failing test waits for.
const LIMIT: Duration = Duration::from_secs(20);

fn start(path: &str) -> (StoreThread, Receiver<StoreReport>) {
    let (sender, news) = channel();
    let (name, path) = (path.to_owned(), path.to_owned());
    let open = move || Store::open(&path, Synchronous::Normal);
    let thread = StoreThread::start(name, open, move |news| drop(sender.send(news)));
    (thread.unwrap(), news)
}

/// Everything up to the end of the reading.
fn read(news: &Receiver<StoreReport>) -> (usize, Restored) {
    let (mut slices, mut all) = (0, Restored::default());
    loop {
        match news.recv_timeout(LIMIT).expect("news") {
            StoreReport::Slice(slice, taken) => {
                slices += 1;
                all.rows.extend(slice.rows);
                all.entries.extend(slice.entries);
                all.ids.extend(slice.ids);
                // Of the last nobody waits for that.
                let _ = taken.send(());
            }
            StoreReport::Read => return (slices, all),
            StoreReport::Unopened(_) => {}
            StoreReport::Done(outcomes) => panic!("{outcomes:?}"),
        }
    }
}

#[test]
fn a_file_is_opened_when_its_directory_is_there() {
    let directory = Directory::new();
    let path = directory.path("late/joblight.db");
    let (thread, news) = start(&path);
    let first = news.recv_timeout(LIMIT).expect("news");
    assert!(matches!(
        first,
        StoreReport::Unopened(StoreError {
            fault: Fault::NoDirectory(_),
            ..
        })
    ));
    let elsewhere = Directory::new();
    let mut store = elsewhere.open();
    store.apply(&[batch(1, vec![append("a", 1)])]).unwrap();
    store.close().unwrap();
    fs::rename(&elsewhere.0, directory.path("late")).unwrap();
    assert_eq!(read(&news).1.entries, [entry("a", 1)]);
    thread.join_within(Duration::MAX).unwrap();
}

#[test]
fn a_file_is_opened_when_its_lock_is_let_go() {
    let directory = Directory::new();
    let mut holder = directory.open();
    holder.apply(&[batch(1, vec![append("a", 1)])]).unwrap();
    let path = directory.path("joblight.db");
    let (thread, news) = start(&path);
    for _ in 0..2 {
        let busy = news.recv_timeout(LIMIT).expect("news");
        assert!(
            matches!(
                busy,
                StoreReport::Unopened(StoreError {
                    fault: Fault::InUse,
                    ..
                })
            ),
            "{busy:?}"
        );
    }
    holder.apply(&[batch(2, vec![append("a", 2)])]).unwrap();
    holder.close().unwrap();
    assert_eq!(read(&news).1.entries, [entry("a", 1), entry("a", 2)]);
    thread.join_within(Duration::MAX).unwrap();
}

#[test]
fn a_thread_that_waits_ends_when_it_is_told() {
    let directory = Directory::new();
    let (thread, news) = start(&directory.path("absent/joblight.db"));
    news.recv_timeout(LIMIT).expect("a first try");
    thread.join_within(Duration::MAX).unwrap();
}

#[test]
fn a_reader_that_is_gone_ends_the_reading() {
    let directory = Directory::new();
    let mut store = directory.open();
    let entries = (0..5_000).map(|serial| append("a", serial));
    store.apply(&[batch(1, entries.collect())]).unwrap();
    store.close().unwrap();
    let (thread, news) = start(&directory.path("joblight.db"));
    let first = news.recv_timeout(LIMIT).expect("news");
    assert!(matches!(first, StoreReport::Slice(..)));
    drop((first, news));
    thread.join_within(Duration::MAX).unwrap();
}

/// Of many rows no more than a slice or two are in memory at once, and a large row is a slice of its own.
#[test]
fn slices_are_small_in_order_and_wait_for_each_other() {
    let directory = Directory::new();
    let mut store = directory.open();
    let mut records: Vec<_> = (0..5_000).map(|serial| append("a", serial)).collect();
    records.push(put(Table::Room, "a", "{}"));
    let large = "x".repeat(300_000);
    records.extend((0..5).map(|number| put(Table::Task, &number.to_string(), &large)));
    store.apply(&[batch(1, records)]).unwrap();
    store.close().unwrap();
    let (thread, news) = start(&directory.path("joblight.db"));
    let mut kinds = Vec::new();
    loop {
        match news.recv_timeout(LIMIT).expect("news") {
            StoreReport::Slice(slice, taken) => {
                assert!(slice.rows.len() + slice.entries.len() <= 1_024);
                let sizes = slice.rows.iter().map(|(.., value)| value.len());
                assert!(sizes.sum::<usize>() <= 600_000);
                assert!(
                    news.try_recv().is_err(),
                    "the next waits until this one is taken"
                );
                kinds.push(slice.rows.first().map(|(table, ..)| *table));
                let _ = taken.send(());
            }
            StoreReport::Read => break,
            other => panic!("{other:?}"),
        }
    }
    kinds.dedup();
    assert_eq!(kinds, [Some(Table::Room), None, Some(Table::Task)]);
    let (_, all) = {
        thread.join_within(Duration::MAX).unwrap();
        let (thread, news) = start(&directory.path("joblight.db"));
        let all = read(&news);
        thread.join_within(Duration::MAX).unwrap();
        all
    };
    assert_eq!(all.entries.len(), 5_000);
    assert_eq!(all.rows[0], row(Table::Room, "a", "{}"));
}

#[test]
fn a_panic_while_it_opens_is_told() {
    let (sender, news) = channel();
    let open = || panic!("as this test wants it");
    let report = move |news| drop(sender.send(news));
    let thread = StoreThread::start("kept.db".to_owned(), open, report).unwrap();
    let told = news.recv_timeout(LIMIT).expect("news");
    assert!(matches!(
        told,
        StoreReport::Unopened(StoreError {
            fault: Fault::Stopped,
            ..
        })
    ));
    assert!(thread.join_within(Duration::MAX).is_err());
}
