//! Reads what a file holds, a slice at a time: never more than a slice or two are in memory.

use super::schema::sql_of;
use crate::base::id::MessageIdReader;
use crate::hub::ClientId;
use crate::hub::durable::record::{Restored, StoredEntry, StoredId, Table};
use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};

const SLICE_BYTES: usize = 256 * 1024;
const SLICE_ROWS: usize = 1024;

/// Tables that must be read before log entries.
const BEFORE_ENTRIES: [Table; 2] = [Table::Meta, Table::Room];
/// Tables that must be read after them.
const BEHIND_ENTRIES: [Table; 6] = [
    Table::Task,
    Table::Session,
    Table::Received,
    Table::Membership,
    Table::DirectMessage,
    Table::Workspace,
];

/// Reads everything, for as long as `take` wants more; returns whether it read to the end.
pub(super) fn read(
    connection: &Connection,
    take: impl FnMut(Restored) -> bool,
) -> rusqlite::Result<bool> {
    let mut slices = Slices {
        connection,
        slice: Restored::default(),
        rows: 0,
        bytes: 0,
        take,
    };
    for table in BEFORE_ENTRIES {
        if !slices.read_rows(table)? {
            return Ok(false);
        }
    }
    if !slices.read_entries()? || !slices.read_ids()? {
        return Ok(false);
    }
    for table in BEHIND_ENTRIES {
        if !slices.read_rows(table)? {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Slices<'c, F> {
    connection: &'c Connection,
    slice: Restored,
    rows: usize,
    bytes: usize,
    take: F,
}

/// Each tells whether more is wanted.
impl<F: FnMut(Restored) -> bool> Slices<'_, F> {
    /// Adds each row that `sql` gives by `add`, which tells its size. A slice ends with its table: what follows is of another kind.
    fn read(
        &mut self,
        sql: &str,
        mut add: impl FnMut(&mut Restored, &Row<'_>) -> rusqlite::Result<usize>,
    ) -> rusqlite::Result<bool> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.bytes += add(&mut self.slice, row)?;
            self.rows += 1;
            let is_full = self.rows >= SLICE_ROWS || self.bytes >= SLICE_BYTES;
            if is_full && !self.hand_over() {
                return Ok(false);
            }
        }
        Ok(self.rows == 0 || self.hand_over())
    }

    fn hand_over(&mut self) -> bool {
        (self.rows, self.bytes) = (0, 0);
        (self.take)(std::mem::take(&mut self.slice))
    }

    fn read_rows(&mut self, table: Table) -> rusqlite::Result<bool> {
        let sql = sql_of!(table, "SELECT key, value FROM ", " ORDER BY key");
        self.read(sql, |slice, row| {
            let (key, value) = (text(row, 0)?, text(row, 1)?);
            slice.rows.push((table, key.into(), value.to_owned()));
            Ok(key.len() + value.len())
        })
    }

    fn read_entries(&mut self) -> rusqlite::Result<bool> {
        let mut ids = MessageIdReader::default();
        let sql = "SELECT serial, room, offset, kind, payload, timestamp, message_id, sender FROM entries ORDER BY serial";
        self.read(sql, |slice, row| {
            let (room, payload, id) = (text(row, 1)?, text(row, 4)?, text(row, 6)?);
            slice.entries.push(StoredEntry {
                serial: count(row, 0)?,
                room: room.into(),
                offset: count(row, 2)?,
                kind: text(row, 3)?.into(),
                payload: Bytes::copy_from_slice(payload.as_bytes()),
                timestamp: count(row, 5)?,
                id: ids.read(id).ok_or_else(|| {
                    let what = format!("{id:?} is no message id");
                    rusqlite::Error::FromSqlConversionFailure(6, Type::Text, what.into())
                })?,
                sender: row.get_ref(7)?.as_str_or_null()?.and_then(ClientId::parse),
            });
            Ok(room.len() + payload.len())
        })
    }

    fn read_ids(&mut self) -> rusqlite::Result<bool> {
        let sql = "SELECT serial, hash, timestamp FROM event_ids ORDER BY serial";
        self.read(sql, |slice, row| {
            slice.ids.push(StoredId {
                serial: count(row, 0)?,
                hash: row.get::<_, i64>(1)?.cast_unsigned(),
                timestamp: count(row, 2)?,
            });
            Ok(size_of::<StoredId>())
        })
    }
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn text<'row>(row: &'row Row<'_>, column: usize) -> rusqlite::Result<&'row str> {
    let value = row.get_ref(column)?;
    value.as_str().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, value.data_type(), Box::new(error))
    })
}
