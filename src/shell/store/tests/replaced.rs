//! Somebody removes the file, puts another in its place or cuts it short while it is in use: it is found, and said.

use super::super::database::Store;
use super::super::error::Fault;
use super::{Directory, append, batch, entry, put};
use crate::hub::durable::record::{Record, Table};
use rusqlite::Connection;
use std::fs;

/// A store with one entry, and the path of its file.
fn in_use(directory: &Directory) -> (Store, String) {
    let mut store = directory.open();
    store.apply(&[batch(1, vec![append("a", 1)])]).unwrap();
    (store, directory.path("joblight.db"))
}

/// The next batch fails, and the one after it begins anew where the path leads.
fn is_written_anew(directory: &Directory, mut store: Store, path: &str) {
    let lost = store.apply(&[batch(2, vec![append("a", 2)])]);
    let path = path.to_owned();
    assert_eq!(lost, Err(Fault::Replaced.at(&path)));
    let everything = vec![Record::Clear, append("a", 1), append("a", 2)];
    store.apply(&[batch(3, everything)]).unwrap();
    store.apply(&[batch(4, vec![append("a", 3)])]).unwrap();
    let copy = Directory::new();
    for name in ["joblight.db", "joblight.db-wal"] {
        fs::copy(directory.path(name), copy.path(name)).unwrap();
    }
    let expected = [entry("a", 1), entry("a", 2), entry("a", 3)];
    assert_eq!(copy.open().load().unwrap().entries, expected);
    store.close().unwrap();
    let restored = directory.open().load().unwrap();
    assert_eq!(
        (restored.rows.len(), &restored.entries[..]),
        (0, &expected[..])
    );
}

#[test]
fn a_file_that_was_removed_is_made_again() {
    for names in [
        &["joblight.db"][..],
        &["joblight.db-wal"],
        &["joblight.db", "joblight.db-wal"],
    ] {
        let directory = Directory::new();
        let (store, path) = in_use(&directory);
        for name in names {
            fs::remove_file(directory.path(name)).unwrap();
        }
        is_written_anew(&directory, store, &path);
    }
}

/// It was never read: whatever it holds is not to be lost.
#[test]
fn another_file_of_joblights_in_its_place_stays_as_it_is() {
    let directory = Directory::new();
    let other = Directory::new();
    let mut old = other.open();
    let records = vec![put(Table::Task, "old", "{}"), append("old", 9)];
    old.apply(&[batch(1, records)]).unwrap();
    old.close().unwrap();
    let (mut store, path) = in_use(&directory);
    fs::rename(other.path("joblight.db"), &path).unwrap();
    let before = fs::read(&path).unwrap();
    store.apply(&[batch(2, vec![])]).expect_err("it is another");
    for _ in 0..2 {
        let refused = store.apply(&[batch(3, vec![Record::Clear, append("a", 1)])]);
        let path = path.clone();
        assert_eq!(refused, Err(Fault::Unread.at(&path)));
        assert_eq!(fs::read(directory.path("joblight.db")).unwrap(), before);
    }
    let moved = directory.path("moved.db");
    fs::rename(&path, &moved).unwrap();
    let everything = vec![Record::Clear, append("a", 1)];
    store.apply(&[batch(4, everything)]).unwrap();
    assert_eq!(store.load().unwrap().entries, [entry("a", 1)]);
    assert_eq!(fs::read(&moved).unwrap(), before);
}

#[test]
fn a_file_that_was_cut_short_is_made_again() {
    let directory = Directory::new();
    directory.open().close().unwrap();
    let (store, path) = in_use(&directory);
    fs::write(&path, "").unwrap();
    is_written_anew(&directory, store, &path);
}

#[test]
fn a_file_that_was_moved_away_is_left_complete() {
    let directory = Directory::new();
    let (store, path) = in_use(&directory);
    let moved = directory.path("moved.db");
    fs::rename(&path, &moved).unwrap();
    is_written_anew(&directory, store, &path);
    let moved = Connection::open(&moved).unwrap();
    let count = moved.query_row("SELECT count(*) FROM entries", [], |row| row.get(0));
    assert_eq!(count, Ok(1));
}

#[test]
fn another_programs_file_in_its_place_stays_as_it_is() {
    let directory = Directory::new();
    let (mut store, path) = in_use(&directory);
    let theirs = directory.path("theirs.db");
    let other = Connection::open(&theirs).unwrap();
    other.execute_batch("CREATE TABLE theirs (a)").unwrap();
    other.close().unwrap();
    fs::rename(&theirs, &path).unwrap();
    let before = fs::read(&path).unwrap();
    store.apply(&[batch(2, vec![])]).expect_err("it is another");
    for _ in 0..2 {
        let refused = store.apply(&[batch(3, vec![Record::Clear])]);
        let path = path.clone();
        assert_eq!(refused, Err(Fault::Foreign.at(&path)));
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::remove_file(&path).unwrap();
    store.apply(&[batch(4, vec![append("a", 1)])]).unwrap();
    assert_eq!(store.load().unwrap().entries, [entry("a", 1)]);
}
