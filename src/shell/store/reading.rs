//! Reads what a file holds, a slice at a time: never more than a slice or two are in memory.

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
        slice: Restored::default(),
        rows: 0,
        bytes: 0,
        take,
    };
    for table in BEFORE_ENTRIES {
        if !read_rows(connection, table, &mut slices)? {
            return Ok(false);
        }
    }
    if !read_entries(connection, &mut slices)? || !read_ids(connection, &mut slices)? {
        return Ok(false);
    }
    for table in BEHIND_ENTRIES {
        if !read_rows(connection, table, &mut slices)? {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Slices<F> {
    slice: Restored,
    rows: usize,
    bytes: usize,
    take: F,
}

impl<F: FnMut(Restored) -> bool> Slices<F> {
    /// A row of this size was added; `false`: nobody wants more.
    fn grow(&mut self, bytes: usize) -> bool {
        (self.rows, self.bytes) = (self.rows + 1, self.bytes + bytes);
        match self.rows >= SLICE_ROWS || self.bytes >= SLICE_BYTES {
            true => self.end(),
            false => true,
        }
    }

    /// A table ends: what follows is of another kind.
    fn end(&mut self) -> bool {
        if self.rows == 0 {
            return true;
        }
        (self.rows, self.bytes) = (0, 0);
        (self.take)(std::mem::take(&mut self.slice))
    }
}

fn read_rows(
    connection: &Connection,
    table: Table,
    slices: &mut Slices<impl FnMut(Restored) -> bool>,
) -> rusqlite::Result<bool> {
    let name = table_name(table);
    let sql = format!("SELECT key, value FROM {name} ORDER BY key");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, value) = (text(row, 0)?, text(row, 1)?);
        let bytes = key.len() + value.len();
        slices
            .slice
            .rows
            .push((table, key.into(), value.to_owned()));
        if !slices.grow(bytes) {
            return Ok(false);
        }
    }
    Ok(slices.end())
}

fn read_entries(
    connection: &Connection,
    slices: &mut Slices<impl FnMut(Restored) -> bool>,
) -> rusqlite::Result<bool> {
    let mut ids = MessageIdReader::default();
    let mut statement = connection.prepare(
        "SELECT serial, room, offset, kind, payload, timestamp, message_id, sender FROM entries ORDER BY serial",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (room, payload, id) = (text(row, 1)?, text(row, 4)?, text(row, 6)?);
        let bytes = room.len() + payload.len();
        slices.slice.entries.push(StoredEntry {
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
        if !slices.grow(bytes) {
            return Ok(false);
        }
    }
    Ok(slices.end())
}

fn read_ids(
    connection: &Connection,
    slices: &mut Slices<impl FnMut(Restored) -> bool>,
) -> rusqlite::Result<bool> {
    let sql = "SELECT serial, hash, timestamp FROM event_ids ORDER BY serial";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        slices.slice.ids.push(StoredId {
            serial: count(row, 0)?,
            hash: row.get::<_, i64>(1)?.cast_unsigned(),
            timestamp: count(row, 2)?,
        });
        if !slices.grow(size_of::<StoredId>()) {
            return Ok(false);
        }
    }
    Ok(slices.end())
}

pub(super) fn table_name(table: Table) -> &'static str {
    match table {
        Table::Meta => "meta",
        Table::Room => "rooms",
        Table::Task => "tasks",
        Table::Session => "sessions",
        Table::Received => "received",
        Table::Membership => "memberships",
        Table::DirectMessage => "letters",
        Table::Workspace => "workspaces",
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
