//! A store of a few maps: it takes one batch at a time, slowly or not at all, and what it has kept outlives the engine.

use joblight::internals::engine::{Batch, Restored};
use joblight::internals::hub::{Record, StoredEntry, StoredId, Table};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What is kept, and the batch that is under way.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) rows: BTreeMap<(Table, Box<str>), String>,
    pub(crate) entries: BTreeMap<u64, StoredEntry>,
    pub(crate) ids: BTreeMap<u64, StoredId>,
    /// How many rows were put into each table, and their bytes.
    pub(crate) written: BTreeMap<Table, (usize, usize)>,
    /// Whether it fails, and how long it takes at most.
    pub(crate) fails: bool,
    pub(crate) millis: u64,
    pub(crate) under_way: Option<Batch>,
    /// Which batch the engine has written last.
    pub(crate) last_seq: u64,
}

impl Store {
    /// Takes a batch. The engine may not have two under way.
    pub(crate) fn begin(&mut self, batch: Batch) {
        assert!(self.under_way.is_none(), "one batch at a time");
        assert!(batch.seq > self.last_seq, "sequence numbers rise");
        self.last_seq = batch.seq;
        self.under_way = Some(batch);
    }

    /// The batch under way is kept, or fails and is not; its number.
    pub(crate) fn finish(&mut self, keep: bool) -> u64 {
        let batch = self.under_way.take().expect("a batch under way");
        let records = batch.records.into_iter().filter(|_| keep);
        records.for_each(|record| self.apply(record));
        batch.seq
    }

    /// The process is gone, and whatever was under way is kept, or not.
    pub(crate) fn crash(&mut self, keep: bool) {
        if self.is_busy() {
            self.finish(keep);
        }
        self.last_seq = 0;
    }

    /// Whether a batch is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Everything that is kept, as a store that is opened gives it back.
    pub(crate) fn restored(&self) -> Restored {
        let rows = self.rows.iter();
        Restored {
            rows: rows
                .map(|((table, key), value)| (*table, key.clone(), value.clone()))
                .collect(),
            entries: self.entries.values().cloned().collect(),
            ids: self.ids.values().copied().collect(),
        }
    }

    /// The same, in slices of so many rows, as a file is read.
    pub(crate) fn slices(&self, size: usize) -> Vec<Restored> {
        let Restored { rows, entries, ids } = self.restored();
        let border = rows.partition_point(|(table, ..)| *table <= Table::Room);
        let of_rows = |rows: &[(Table, Box<str>, String)]| Restored {
            rows: rows.to_vec(),
            ..Restored::default()
        };
        let of_entries = |entries: &[StoredEntry]| Restored {
            entries: entries.to_vec(),
            ..Restored::default()
        };
        let of_ids = |ids: &[StoredId]| Restored {
            ids: ids.to_vec(),
            ..Restored::default()
        };
        let slices = rows[..border].chunks(size).map(of_rows);
        let slices = slices.chain(entries.chunks(size).map(of_entries));
        let slices = slices.chain(ids.chunks(size).map(of_ids));
        slices
            .chain(rows[border..].chunks(size).map(of_rows))
            .collect()
    }

    /// The keys of a table.
    pub(crate) fn keys(&self, wanted: Table) -> BTreeSet<String> {
        let keys = self.rows.keys().filter(|(table, _)| *table == wanted);
        keys.map(|(_, key)| key.to_string()).collect()
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, wanted: Table) -> usize {
        self.keys(wanted).len()
    }

    /// A row.
    pub(crate) fn row(&self, table: Table, key: &str) -> Option<&str> {
        let row = self.rows.get(&(table, key.into()));
        row.map(String::as_str)
    }

    /// The offset of the newest entry of a room that it has kept; `None`: it knows no log of that room.
    pub(crate) fn last_offset(&self, room: &str) -> Option<u64> {
        let (_, offset) = self.position(room)?;
        let entries = self.entries.values().filter(|entry| *entry.room == *room);
        let offsets = entries.map(|entry| entry.offset);
        offsets.chain(offset.parse().ok()).max()
    }

    /// In which epoch it knows a room.
    pub(crate) fn epoch(&self, room: &str) -> Option<String> {
        let (epoch, _) = self.position(room)?;
        Some(epoch)
    }

    /// Where the room's row says that it was, in parts.
    fn position(&self, room: &str) -> Option<(String, String)> {
        let row: Value = serde_json::from_str(self.row(Table::Room, room)?).expect("JSON");
        let (epoch, offset) = row["position"].as_str()?.split_once(':')?;
        Some((epoch.to_owned(), offset.to_owned()))
    }

    /// What was written to a table since this was last asked: rows and bytes.
    pub(crate) fn take_written(&mut self, table: Table) -> (usize, usize) {
        self.written.remove(&table).unwrap_or_default()
    }

    /// Fails if anything but single facts is kept.
    pub(crate) fn assert_empty(&self) {
        let rows = self.rows.iter();
        let rows = rows.filter(|((table, _), _)| *table != Table::Meta);
        assert_eq!(rows.collect::<Vec<_>>(), [], "rows are left in the store");
        let left: Vec<_> = self.entries.values().collect();
        assert!(left.is_empty(), "entries are left in the store: {left:?}");
    }

    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Put { table, key, value } => {
                let (rows, bytes) = self.written.entry(table).or_default();
                (*rows, *bytes) = (*rows + 1, *bytes + key.len() + value.len());
                self.rows.insert((table, key), value);
            }
            Record::Delete { table, key } => drop(self.rows.remove(&(table, key))),
            Record::DeletePrefix { table, prefix } => self
                .rows
                .retain(|(known, key), _| *known != table || !key.starts_with(&*prefix)),
            Record::Append(entry) => drop(self.entries.insert(entry.serial, entry)),
            Record::Drop { serials } => self.entries.retain(|serial, _| !serials.contains(serial)),
            Record::Remember(id) => drop(self.ids.insert(id.serial, id)),
            Record::Forget { serial } => self.ids = self.ids.split_off(&(serial + 1)),
            Record::Clear => (self.rows, self.entries, self.ids) = Default::default(),
        }
    }
}
