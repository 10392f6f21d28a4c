//! A store of a few maps: it takes one batch at a time, slowly or not at all, and what it has kept outlives the engine.

use joblight::internals::engine::{Batch, Restored};
use joblight::internals::hub::{Record, StoredEntry, StoredId, Table};
use std::collections::{BTreeMap, BTreeSet};

/// What is kept, and the batch that is under way.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// When it last knew all of the sessions, in this life of the server and in the one before.
    pub(crate) sessions_kept_ms: u64,
    pub(crate) sessions_kept_before_ms: u64,
    rows: BTreeMap<(Table, Box<str>), String>,
    entries: BTreeMap<u64, StoredEntry>,
    ids: BTreeMap<u64, StoredId>,
    under_way: Option<Batch>,
    /// Which batch the engine must write next.
    next_seq: u64,
}

impl Store {
    /// Takes a batch. The engine may not have two under way.
    pub(crate) fn begin(&mut self, batch: Batch) {
        assert!(self.under_way.is_none(), "one batch at a time");
        assert!(batch.seq > self.next_seq, "sequence numbers rise");
        self.next_seq = batch.seq;
        self.under_way = Some(batch);
    }

    /// The batch under way is kept, or fails and is not; its number.
    pub(crate) fn finish(&mut self, keep: bool) -> u64 {
        let batch = self.under_way.take().expect("a batch under way");
        if keep {
            batch
                .records
                .into_iter()
                .for_each(|record| self.apply(record));
        }
        batch.seq
    }

    /// The process is gone, and whatever was under way is kept, or not.
    pub(crate) fn crash(&mut self, keep: bool) {
        if self.under_way.is_some() {
            self.finish(keep);
        }
        self.next_seq = 0;
        self.sessions_kept_before_ms = self.sessions_kept_ms;
    }

    /// Whether a batch is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Everything that is kept.
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

    /// A row.
    pub(crate) fn row(&self, table: Table, key: &str) -> Option<&str> {
        let row = self.rows.get(&(table, key.into()));
        row.map(String::as_str)
    }

    /// Whether the entry of that serial is kept.
    pub(crate) fn has_entry(&self, serial: u64) -> bool {
        self.entries.contains_key(&serial)
    }

    /// Fails if anything but single facts is kept.
    pub(crate) fn assert_empty(&self) {
        let rows = self
            .rows
            .iter()
            .filter(|((table, _), _)| *table != Table::Meta);
        assert_eq!(rows.collect::<Vec<_>>(), [], "rows are left in the store");
        let left: Vec<_> = self.entries.values().collect();
        assert!(left.is_empty(), "entries are left in the store: {left:?}");
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Put { table, key, value } => {
                self.rows.insert((table, key), value);
            }
            Record::Delete { table, key } => {
                self.rows.remove(&(table, key));
            }
            Record::DeletePrefix { table, prefix } => self
                .rows
                .retain(|(known, key), _| *known != table || !key.starts_with(&*prefix)),
            Record::Append(entry) => {
                self.entries.insert(entry.serial, entry);
            }
            Record::Drop { serials } => {
                serials.iter().for_each(|serial| {
                    self.entries.remove(serial);
                });
            }
            Record::Remember(id) => {
                self.ids.insert(id.serial, id);
            }
            Record::Forget { serial } => self.ids = self.ids.split_off(&(serial + 1)),
            Record::Clear => {
                self.ids.clear();
                self.rows.clear();
                self.entries.clear();
            }
        }
    }
}
