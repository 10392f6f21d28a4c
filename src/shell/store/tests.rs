//! What goes in comes out: records of every kind, against a model, through as many openings as one likes.

mod opening;
mod processes;
mod refusals;
mod replaced;
mod threads;

use super::database::Store;
use super::schema::{APPLICATION_ID, LADDER};
use crate::base::id::{MessageId, MessageIdReader};
use crate::config::Synchronous;
use crate::hub::ClientId;
use crate::hub::durable::record::{Batch, Record, Restored, StoredEntry, StoredId, Table};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of one test, gone when the test is.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("joblight-store-{}-{number}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }

    fn open(&self) -> Store {
        Store::open(&self.path("joblight.db"), Synchronous::Normal).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn id(text: &str) -> MessageId {
    MessageIdReader::default().read(text).unwrap()
}

fn entry(room: &str, serial: u64) -> StoredEntry {
    StoredEntry {
        room: room.into(),
        offset: serial / 7,
        serial,
        kind: "room_message".into(),
        payload: format!(r#"{{"text":"日志 {serial}"}}"#).into(),
        timestamp: 1_700_000_000_000 + serial,
        id: id(&format!("msg_ab12cd_{serial}")),
        sender: (serial % 2 == 1).then(|| ClientId::from_number(serial << 32)),
    }
}

fn append(room: &str, serial: u64) -> Record {
    Record::Append(entry(room, serial))
}

fn put(table: Table, key: &str, value: &str) -> Record {
    Record::Put {
        table,
        key: key.into(),
        value: value.into(),
    }
}

fn delete(table: Table, key: &str) -> Record {
    Record::Delete {
        table,
        key: key.into(),
    }
}

fn remember(serial: u64) -> Record {
    Record::Remember(StoredId {
        serial,
        hash: serial.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        timestamp: 1_700_000_000_000 + serial,
    })
}

fn drop_entries(serials: &[u64]) -> Record {
    Record::Drop {
        serials: serials.to_vec(),
    }
}

fn batch(seq: u64, records: Vec<Record>) -> Batch {
    Batch { seq, records }
}

fn row(table: Table, key: &str, value: &str) -> (Table, Box<str>, String) {
    (table, key.into(), value.into())
}

#[test]
fn a_new_file_holds_nothing_and_a_second_opening_finds_it_so() {
    let directory = Directory::new();
    for _ in 0..2 {
        let mut store = directory.open();
        assert_eq!(store.load(), Ok(Restored::default()));
        assert_eq!(store.close(), Ok(()));
    }
    let names = fs::read_dir(&directory.0).unwrap();
    assert_eq!(names.count(), 1, "a closed store is one file");
}

#[test]
fn every_kind_of_record_is_kept_and_the_later_one_counts() {
    let directory = Directory::new();
    let mut store = directory.open();
    let tables = [
        Table::Workspace,
        Table::DirectMessage,
        Table::Membership,
        Table::Received,
        Table::Session,
        Table::Task,
        Table::Room,
        Table::Meta,
    ];
    let rows = tables.iter().flat_map(|table| {
        [
            put(*table, "b", "1"),
            put(*table, "a", "2"),
            put(*table, "b", "3"),
        ]
    });
    store.apply(&[batch(1, rows.collect())]).unwrap();
    let replaced = StoredEntry {
        kind: "other".into(),
        ..entry("b", 2)
    };
    let entries = vec![
        append("a", 2),
        append("a", 30),
        append("b", 1),
        Record::Append(replaced.clone()),
    ];
    store.apply(&[batch(2, entries)]).unwrap();
    let mut sorted = tables;
    sorted.sort_unstable();
    let expected = Restored {
        rows: sorted
            .iter()
            .flat_map(|table| [row(*table, "a", "2"), row(*table, "b", "3")])
            .collect(),
        entries: vec![entry("b", 1), replaced, entry("a", 30)],
        ids: Vec::new(),
    };
    assert_eq!(store.load().as_ref(), Ok(&expected));
    store.close().unwrap();
    assert_eq!(directory.open().load(), Ok(expected));
}

#[test]
fn what_is_deleted_or_dropped_is_gone_and_nothing_else() {
    let directory = Directory::new();
    let mut store = directory.open();
    let first = vec![
        put(Table::Room, "a", "{}"),
        put(Table::Room, "b", "{}"),
        put(Table::Task, "a", "{}"),
        append("a", 1),
        append("b", 2),
        append("a", 3),
        append("b", 4),
    ];
    let second = vec![delete(Table::Room, "a"), drop_entries(&[4, 1, 9, 1])];
    store.apply(&[batch(1, first), batch(2, second)]).unwrap();
    let expected = Restored {
        rows: vec![row(Table::Room, "b", "{}"), row(Table::Task, "a", "{}")],
        entries: vec![entry("b", 2), entry("a", 3)],
        ids: Vec::new(),
    };
    assert_eq!(store.load().as_ref(), Ok(&expected));
    let third = vec![
        delete(Table::Task, "a"),
        drop_entries(&[]),
        drop_entries(&[2, u64::MAX, 3]),
    ];
    store.apply(&[batch(3, third)]).unwrap();
    assert_eq!(store.load().unwrap().entries, []);
    assert_eq!(store.load().unwrap().rows, expected.rows[..1]);
}

#[test]
fn a_process_that_dies_leaves_all_that_was_kept() {
    let directory = Directory::new();
    let mut store = directory.open();
    store.apply(&[batch(1, vec![append("a", 1)])]).unwrap();
    let copy = Directory::new();
    for name in ["joblight.db", "joblight.db-wal"] {
        fs::copy(directory.path(name), copy.path(name)).unwrap();
    }
    assert_eq!(copy.open().load().unwrap().entries, [entry("a", 1)]);
}

#[test]
fn anybody_can_read_the_tables() {
    let directory = Directory::new();
    let mut store = directory.open();
    store.apply(&[batch(1, vec![append("a", 1)])]).unwrap();
    store.close().unwrap();
    let shell = rusqlite::Connection::open(directory.path("joblight.db")).unwrap();
    let read = shell.query_row(
        "SELECT json_extract(payload, '$.text'), typeof(payload), message_id FROM entries",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    );
    let expected = ["日志 1", "text", "msg_ab12cd_1"].map(str::to_owned);
    assert_eq!(read, Ok(expected.into()));
}

#[test]
fn a_file_of_the_first_version_is_brought_up() {
    let directory = Directory::new();
    let old = rusqlite::Connection::open(directory.path("joblight.db")).unwrap();
    let first = format!(
        "{}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;
        INSERT INTO tasks VALUES ('a', '{{}}');
        INSERT INTO entries VALUES (2, 'b', 0, 'room_message', '{{}}', 5, 'msg_ab12cd_2');",
        LADDER[0]
    );
    old.execute_batch(&first).unwrap();
    old.close().unwrap();
    for _ in 0..2 {
        let restored = directory.open().load().unwrap();
        assert_eq!(restored.rows, [row(Table::Task, "a", "{}")]);
        assert_eq!(restored.entries.len(), 1);
        assert_eq!(restored.entries[0].sender, None);
        assert_eq!(restored.entries[0].id, id("msg_ab12cd_2"));
    }
    let mut store = directory.open();
    store
        .apply(&[batch(1, vec![append("b", 3), remember(4)])])
        .unwrap();
    assert_eq!(store.load().unwrap().entries[1], entry("b", 3));
    assert_eq!(store.load().unwrap().ids.len(), 1);
}

#[test]
fn a_file_of_the_second_version_is_brought_up() {
    let directory = Directory::new();
    let old = rusqlite::Connection::open(directory.path("joblight.db")).unwrap();
    let session = r#"{"connectedAt":5,"rooms":[["a","b1:7"]]}"#;
    let second = format!(
        "PRAGMA journal_mode = WAL; {}; {}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 2;
        INSERT INTO sessions VALUES ('00000000000000ab', '{session}');
        INSERT INTO received VALUES ('00000000000000ab', '9');
        INSERT INTO letters VALUES ('00000000000000ab:0000000000000003', '{{}}');",
        LADDER[0], LADDER[1]
    );
    old.execute_batch(&second).unwrap();
    old.close().unwrap();
    let expected = [
        row(Table::Session, "00000000000000ab", session),
        row(Table::Received, "00000000000000ab", "9"),
        row(
            Table::DirectMessage,
            "00000000000000ab:0000000000000003",
            "{}",
        ),
    ];
    assert_eq!(directory.open().load().unwrap().rows, expected);
    let mut store = directory.open();
    let place = put(Table::Membership, "00000000000000ab:a", "\"b1:7\"");
    store.apply(&[batch(1, vec![place])]).unwrap();
    assert_eq!(store.load().unwrap().rows.len(), 4);
}

#[test]
fn space_comes_back_when_much_is_deleted() {
    let directory = Directory::new();
    let mut store = directory.open();
    let value = "x".repeat(4000);
    let rows = (0..3000).map(|number| put(Table::Task, &number.to_string(), &value));
    store.apply(&[batch(1, rows.collect())]).unwrap();
    assert_eq!(store.shrink(), Ok(false), "nothing was deleted");
    let gone = (0..3000).map(|number| delete(Table::Task, &number.to_string()));
    store.apply(&[batch(2, gone.collect())]).unwrap();
    let mut steps = 0;
    while store.shrink().unwrap() {
        steps += 1;
    }
    assert!((4..100).contains(&steps), "{steps} small steps");
    store.close().unwrap();
    let bytes = fs::metadata(directory.path("joblight.db")).unwrap().len();
    assert!(bytes < 6_000_000, "{bytes}");
}

/// What a test does to a store.
#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<Vec<Record>>),
    Reopen,
}

/// Few, so that they meet.
const SERIALS: Range<u64> = 0..30;

fn any_record() -> impl Strategy<Value = Record> {
    let table = prop::sample::select(vec![
        Table::Meta,
        Table::Room,
        Table::Task,
        Table::Session,
        Table::Received,
        Table::Membership,
        Table::DirectMessage,
        Table::Workspace,
    ]);
    let name = "[ab:\u{0}日]{0,3}";
    prop_oneof![
        (table.clone(), name, ".{0,8}").prop_map(|(table, key, value)| put(table, &key, &value)),
        (table.clone(), name).prop_map(|(table, key)| delete(table, &key)),
        (table, "[ab:\\u{7f}]{1,2}").prop_map(|(table, prefix)| Record::DeletePrefix {
            table,
            prefix: prefix.into(),
        }),
        (name, SERIALS, any::<u32>(), ".{0,8}").prop_map(|(room, serial, offset, payload)| {
            Record::Append(StoredEntry {
                offset: offset.into(),
                payload: payload.into(),
                ..entry(&room, serial)
            })
        }),
        prop::collection::vec(SERIALS, 0..8).prop_map(|serials| Record::Drop { serials }),
        SERIALS.prop_map(remember),
        SERIALS.prop_map(|serial| Record::Forget { serial }),
        Just(Record::Clear),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let records = prop::collection::vec(any_record(), 0..12);
    prop_oneof![
        4 => prop::collection::vec(records, 0..4).prop_map(Step::Apply),
        1 => Just(Step::Reopen),
    ]
}

/// The store as three maps.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(Table, Box<str>), String>,
    entries: BTreeMap<u64, StoredEntry>,
    ids: BTreeMap<u64, StoredId>,
}

impl Model {
    fn apply(&mut self, record: &Record) {
        match record.clone() {
            Record::Put { table, key, value } => drop(self.rows.insert((table, key), value)),
            Record::Delete { table, key } => {
                self.rows.remove(&(table, key));
            }
            Record::DeletePrefix { table, prefix } => self
                .rows
                .retain(|(known, key), _| *known != table || !key.starts_with(&*prefix)),
            Record::Append(entry) => {
                self.entries.insert(entry.serial, entry);
            }
            Record::Drop { serials } => self.entries.retain(|serial, _| !serials.contains(serial)),
            Record::Remember(id) => drop(self.ids.insert(id.serial, id)),
            Record::Forget { serial } => self.ids = self.ids.split_off(&(serial + 1)),
            Record::Clear => *self = Self::default(),
        }
    }

    fn restored(&self) -> Restored {
        let rows = self.rows.iter();
        Restored {
            rows: rows
                .map(|((table, key), value)| (*table, key.clone(), value.clone()))
                .collect(),
            entries: self.entries.values().cloned().collect(),
            ids: self.ids.values().copied().collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_store_holds_what_a_map_would(steps in prop::collection::vec(any_step(), 1..16)) {
        let directory = Directory::new();
        let mut store = directory.open();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Apply(groups) => {
                    groups.iter().flatten().for_each(|record| model.apply(record));
                    let batches: Vec<Batch> = groups.into_iter().map(|records| batch(0, records)).collect();
                    store.apply(&batches).unwrap();
                }
                Step::Reopen => {
                    store.close().unwrap();
                    store = directory.open();
                }
            }
            prop_assert_eq!(store.load().unwrap(), model.restored());
        }
        prop_assert!(Path::new(store.path()).is_file());
    }
}
