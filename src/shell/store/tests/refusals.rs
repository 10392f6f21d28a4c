//! Files that cannot be ours, and disks that take no more: each is named, and nothing is harmed.

use super::super::database::Store;
use super::super::error::{Fault, StoreError};
use super::super::schema::{APPLICATION_ID, LADDER, VERSION};
use super::{Directory, append, batch, put};
use crate::config::Synchronous;
use crate::hub::durable::record::{Restored, Table};
use rusqlite::Connection;
use rusqlite::ffi;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn refusal(path: &str) -> StoreError {
    Store::open(path, Synchronous::Normal).expect_err("it cannot be opened")
}

/// Another program's view of the file, closed again.
fn as_another(path: &str, sql: &str) {
    let other = Connection::open(path).unwrap();
    other.execute_batch(sql).unwrap();
    other.close().unwrap();
}

#[test]
fn a_file_that_another_holds_is_named_with_the_way_out() {
    let directory = Directory::new();
    let path = directory.path("joblight.db");
    let first = directory.open();
    assert_eq!(refusal(&path), Fault::InUse.at(&path));
    assert_eq!(
        refusal(&path).to_string(),
        format!(
            "{path}: in use by another process; stop it, or give this one a storage.path of its own"
        )
    );
    first.close().unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(refusal(&path), Fault::InUse.at(&path));
    drop(other);
    assert_eq!(directory.open().load(), Ok(Restored::default()));
}

#[test]
fn paths_that_lead_nowhere_are_told_apart() {
    let directory = Directory::new();
    let path = directory.path("absent/joblight.db");
    let error = refusal(&path);
    assert!(matches!(error.fault, Fault::NoDirectory(_)), "{error}");
    assert!(
        error.to_string().contains(&format!(
            "there is no directory {:?}; make it",
            directory.path("absent")
        )),
        "{error}"
    );
    fs::write(directory.path("notes.txt"), "").unwrap();
    let error = refusal(&directory.path("notes.txt/joblight.db"));
    assert!(matches!(error.fault, Fault::NoDirectory(_)), "{error}");
    let path = directory.path("");
    assert_eq!(refusal(&path), Fault::IsDirectory.at(&path));
    // A file system in which nobody makes files.
    let error = refusal("/proc/joblight.db");
    assert!(matches!(error.fault, Fault::NotWritable(_)), "{error}");
}

#[test]
fn a_file_that_may_only_be_read_is_refused() {
    let directory = Directory::new();
    directory.open().close().unwrap();
    let path = directory.path("joblight.db");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    if fs::OpenOptions::new().append(true).open(&path).is_ok() {
        println!("not tested: permissions do not bind this user");
    } else {
        let error = refusal(&path);
        assert!(matches!(error.fault, Fault::NotWritable(_)), "{error}");
    }
    let code = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None);
    let error = Fault::from(code).at("joblight.db");
    assert!(
        error
            .to_string()
            .starts_with("joblight.db: cannot be written ("),
        "{error}"
    );
}

#[test]
fn what_is_no_database_stays_as_it_is() {
    let directory = Directory::new();
    let path = directory.path("joblight.db");
    let notes = "not a database, but somebody's notes\n".repeat(200);
    fs::write(&path, &notes).unwrap();
    let error = refusal(&path);
    assert!(matches!(error.fault, Fault::Damaged(_)), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), notes);
}

#[test]
fn damage_in_the_middle_is_found_when_it_is_read() {
    let directory = Directory::new();
    let path = directory.path("joblight.db");
    let mut store = directory.open();
    let entries = (0..2000).map(|offset| append("room", offset));
    store.apply(&[batch(1, entries.collect())]).unwrap();
    store.close().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16 * 1024].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let error = directory.open().load().expect_err("it is damaged");
    assert_eq!(fs::read(&path).unwrap(), bytes, "it was never read");
    assert!(matches!(error.fault, Fault::Damaged(_)), "{error}");
    assert!(error.to_string().contains("move it away"), "{error}");
}

#[test]
fn another_programs_database_stays_as_it_is() {
    for pragma in [
        "",
        "PRAGMA journal_mode = WAL;",
        "PRAGMA application_id = 7;",
    ] {
        let directory = Directory::new();
        let path = directory.path("theirs.db");
        as_another(
            &path,
            &format!("{pragma} CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1);"),
        );
        let before = fs::read(&path).unwrap();
        assert_eq!(refusal(&path), Fault::Foreign.at(&path));
        assert_eq!(fs::read(&path).unwrap(), before, "{pragma}");
        as_another(&path, "INSERT INTO theirs VALUES (2)");
    }
}

#[test]
fn a_database_without_tables_is_taken() {
    let directory = Directory::new();
    let path = directory.path("joblight.db");
    as_another(&path, "PRAGMA user_version = 3; VACUUM;");
    let mut store = directory.open();
    let records = vec![put(Table::Meta, "a", "1")];
    store.apply(&[batch(1, records)]).unwrap();
    store.close().unwrap();
    assert_eq!(directory.open().load().unwrap().rows.len(), 1);
}

#[test]
fn a_later_schema_is_refused_with_both_versions() {
    let directory = Directory::new();
    let path = directory.path("joblight.db");
    directory.open().close().unwrap();
    let found = VERSION + 1;
    as_another(&path, &format!("PRAGMA user_version = {found}"));
    let before = fs::read(&path).unwrap();
    let known = VERSION;
    let error = refusal(&path);
    assert!(error.to_string().contains(&format!(
        "schema version {found}, and this joblight knows versions up to {known}"
    )));
    assert_eq!(error, Fault::Newer { found, known }.at(&path));
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// It would be brought up to the latest version, if it could be read.
#[test]
fn a_damaged_file_of_an_older_version_stays_as_it_is() {
    for mode in ["DELETE", "WAL"] {
        let directory = Directory::new();
        let path = directory.path("joblight.db");
        as_another(
            &path,
            &format!(
                "PRAGMA journal_mode = {mode}; {}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;
                INSERT INTO tasks VALUES ('a', '{{}}');
                INSERT INTO entries VALUES (2, 'b', 0, 'room_message', '{{}}', -1, 'msg_ab12cd_2');",
                LADDER[0]
            ),
        );
        let before = fs::read(&path).unwrap();
        for _ in 0..2 {
            let error = refusal(&path);
            assert!(matches!(error.fault, Fault::Damaged(_)), "{error}");
            assert_eq!(fs::read(&path).unwrap(), before, "{mode}");
        }
        as_another(&path, "UPDATE entries SET timestamp = 5");
        assert_eq!(directory.open().load().unwrap().entries.len(), 1);
    }
}

/// What a process that was killed left in the log is not brought into a file that cannot be read.
#[test]
fn a_damaged_file_keeps_its_log_as_well() {
    let directory = Directory::new();
    let mut store = directory.open();
    let entries = (0..500).map(|offset| append("room", offset));
    store.apply(&[batch(1, entries.collect())]).unwrap();
    let copy = Directory::new();
    for name in ["joblight.db", "joblight.db-wal"] {
        fs::copy(directory.path(name), copy.path(name)).unwrap();
    }
    let damage = "UPDATE entries SET timestamp = -1 WHERE serial = 400";
    store.connection.execute_batch(damage).unwrap();
    for name in ["joblight.db", "joblight.db-wal"] {
        fs::copy(directory.path(name), copy.path(name)).unwrap();
    }
    let files =
        || ["joblight.db", "joblight.db-wal"].map(|name| fs::read(copy.path(name)).unwrap());
    let before = files();
    let error = copy.open().load().expect_err("it is damaged");
    assert!(matches!(error.fault, Fault::Damaged(_)), "{error}");
    assert!(files() == before, "it was never read");
}

#[test]
fn a_new_file_says_whose_it_is() {
    let directory = Directory::new();
    directory.open().close().unwrap();
    let file = Connection::open(directory.path("joblight.db")).unwrap();
    let number = |sql| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("PRAGMA application_id"), APPLICATION_ID);
    assert_eq!(number("PRAGMA user_version"), VERSION);
    const INCREMENTAL: i64 = 2;
    assert_eq!(number("PRAGMA auto_vacuum"), INCREMENTAL);
    let mode: String = file
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn a_full_disk_keeps_all_or_nothing() {
    let directory = Directory::new();
    let mut store = directory.open();
    store.apply(&[batch(1, vec![append("a", 1)])]).unwrap();
    let before = store.load().unwrap();
    limit_pages(&store, 20);
    let entries: Vec<_> = (2..5000).map(|offset| append("a", offset)).collect();
    let path = directory.path("joblight.db");
    assert_eq!(
        store.apply(&[batch(2, entries.clone())]),
        Err(Fault::Full.at(&path))
    );
    assert_eq!(store.load().as_ref(), Ok(&before));
    limit_pages(&store, 1 << 20);
    store.apply(&[batch(3, entries)]).unwrap();
    assert_eq!(store.load().unwrap().entries.len(), 4999);
}

#[test]
fn a_number_that_does_not_fit_takes_its_batch_along_and_nothing_else() {
    let directory = Directory::new();
    let mut store = directory.open();
    let records = vec![append("a", 1), append("a", 1 << 60)];
    store.apply(&[batch(1, records)]).unwrap();
    let before = store.load().unwrap();
    let mut impossible = super::entry("b", 2);
    impossible.serial = u64::MAX;
    let records = vec![
        append("b", 1),
        crate::hub::durable::record::Record::Append(impossible),
    ];
    let error = store.apply(&[batch(2, records)]).unwrap_err();
    assert!(matches!(error.fault, Fault::Other(_)), "{error}");
    assert_eq!(store.load(), Ok(before));
}

/// Makes the disk as small as this.
pub(super) fn limit_pages(store: &Store, pages: u32) {
    let sql = format!("PRAGMA max_page_count = {pages}");
    store.connection.query_row(&sql, [], |_| Ok(())).unwrap();
}
