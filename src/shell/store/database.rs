//! The open database: what it held, batches into it, and free space back from it.

use super::error::{Fault, StoreError};
use super::identity::{Identity, Number};
use super::reading;
use super::schema::{self, Accepts, sql_of};
use crate::config::Synchronous;
use crate::hub::durable::record::{Batch, Record, Restored, Table};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, params};
use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Session keys are in the file: for its owner only. SQLite gives its log the same mode.
const MODE: u32 = 0o600;
/// How long opening waits for another process that is being refused, or for a predecessor that is closing.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// Pages in the write-ahead log after which they move to the file. Rows that change, such as tasks, are spread over the
/// file: many commits should touch a page before it is written.
const CHECKPOINT_PAGES: i64 = 4096;
/// What the log keeps on disk after that.
const MAX_IDLE_LOG_BYTES: i64 = CHECKPOINT_PAGES * 4096;
/// The page cache; with a smaller one a large transaction writes pages twice.
const MAX_CACHE_KILOBYTES: i64 = 16 * 1024;
/// Prepared statements kept; there are fewer.
const STATEMENTS: usize = 32;
/// Free pages that a file may keep: they are soon written again.
const SPARE_PAGES: i64 = 1024;
/// Free pages returned at a time, so that a batch waits for a millisecond or two at most.
const SHRINK_PAGES: u32 = 256;

/// Open, and claimed for this process.
#[derive(Debug)]
pub struct Store {
    pub(super) connection: Connection,
    path: String,
    synchronous: Synchronous,
    /// The open files; `None`: the path led elsewhere, and has to be opened again.
    identity: Option<Identity>,
    /// The file that was read, and may be rewritten.
    own: Option<Number>,
    /// Whether writing is allowed: only after the file was read.
    is_configured: bool,
    /// Whether rows were deleted since free pages were last counted.
    has_deleted: bool,
}

impl Store {
    /// Opens or creates the file. Errors name it by `path`; relative paths begin at the working directory.
    pub fn open(path: &str, synchronous: Synchronous) -> Result<Self, StoreError> {
        let connection = connect(path, None).map_err(|fault| fault.at(path))?;
        let identity = Identity::of(&file_of(path)).ok();
        Ok(Self {
            connection,
            own: identity.as_ref().map(Identity::file),
            identity,
            path: path.to_owned(),
            synchronous,
            is_configured: false,
            has_deleted: false,
        })
    }

    /// As given to [`Store::open`].
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads everything, a slice at a time, for as long as `take` wants more; returns whether it read to the end.
    pub fn read(&mut self, take: impl FnMut(Restored) -> bool) -> Result<bool, StoreError> {
        let read = reading::read(&self.connection, take).map_err(Fault::from);
        let read = read.and_then(|is_all| {
            if is_all {
                self.configure()?;
            }
            Ok(is_all)
        });
        read.map_err(|fault| fault.at(&self.path))
    }

    /// Reads everything at once.
    pub fn load(&mut self) -> Result<Restored, StoreError> {
        let mut restored = Restored::default();
        self.read(|slice| {
            restored.rows.extend(slice.rows);
            restored.entries.extend(slice.entries);
            restored.ids.extend(slice.ids);
            true
        })?;
        Ok(restored)
    }

    /// Writes all of these batches, or none. If the path no longer leads to the open file, they fail, and the next ones
    /// go to a new file. Another joblight file in its place was never read: it is left alone, and they fail.
    pub fn apply(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        let applied = self.try_apply(batches);
        applied.map_err(|fault| fault.at(&self.path))
    }

    fn try_apply(&mut self, batches: &[Batch]) -> Result<(), Fault> {
        self.check_identity()?;
        self.configure()?;
        let deletes = |record: &Record| {
            !matches!(
                record,
                Record::Put { .. } | Record::Append(_) | Record::Remember(_)
            )
        };
        let mut records = batches.iter().flat_map(|batch| &batch.records);
        self.has_deleted |= records.any(deletes);
        let written = self.write(batches);
        self.take_note();
        Ok(written?)
    }

    /// Returns some free space to the file system. `true`: there is more.
    pub fn shrink(&mut self) -> Result<bool, StoreError> {
        let is_here = |identity: &Identity| identity.is_at(&file_of(&self.path));
        if !self.has_deleted || !self.identity.as_ref().is_some_and(is_here) {
            return Ok(false);
        }
        let more = self.give_back();
        self.take_note();
        self.has_deleted = more.map_err(|error| Fault::from(error).at(&self.path))?;
        Ok(self.has_deleted)
    }

    /// Moves the log into the file, and closes both.
    pub fn close(mut self) -> Result<(), StoreError> {
        let configured = self.configure();
        let path = self.path;
        configured
            .and_then(|()| {
                let ended = checkpoint(&self.connection);
                let closed = self.connection.close().map_err(|(_, error)| error);
                Ok(ended.and(closed)?)
            })
            .map_err(|fault| fault.at(&path))
    }

    /// Warns if everybody on the machine may read the file: a mode that somebody chose is left alone.
    pub fn warn_of_readers(&self) {
        let found = fs::metadata(file_of(&self.path));
        let mode = found.map_or(0, |found| found.permissions().mode() & 0o777);
        if mode & 0o007 != 0 {
            log::warn!(
                "{}: its mode {mode:03o} lets everybody on this machine in, and it holds what resumes sessions; \
                 expected 600 (chmod 600)",
                self.path
            );
        }
    }

    fn check_identity(&mut self) -> Result<(), Fault> {
        let file = file_of(&self.path);
        match self.identity.take() {
            Some(identity) if identity.is_at(&file) => self.identity = Some(identity),
            Some(identity) => {
                self.let_go(&identity)?;
                return Err(Fault::Replaced);
            }
            None => {
                self.connection = connect(&self.path, self.own)?;
                self.is_configured = false;
                self.identity = Identity::of(&file).ok();
                self.own = self.identity.as_ref().map(Identity::file);
            }
        }
        Ok(())
    }

    fn configure(&mut self) -> Result<(), Fault> {
        if !self.is_configured {
            configure(&self.connection, self.synchronous)?;
            self.is_configured = true;
        }
        Ok(())
    }

    /// Closes files to which the path no longer leads, or not to all of them.
    fn let_go(&mut self, identity: &Identity) -> rusqlite::Result<()> {
        let file = file_of(&self.path);
        let connection = std::mem::replace(&mut self.connection, Connection::open_in_memory()?);
        if identity.is_cut_at(&file) {
            // The log is part of its database only, and an empty file counts as new.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        } else {
            // This completes a file that was only moved. For one that was removed it does not matter.
            let _ = checkpoint(&connection);
        }
        drop(connection);
        identity.remove_log_beside_another(&file);
        Ok(())
    }

    /// The file has changed by our own writing.
    fn take_note(&mut self) {
        let found = Identity::of(&file_of(&self.path)).ok();
        if let (Some(identity), Some(found)) = (&mut self.identity, found) {
            identity.take_note(&found);
        }
    }

    fn write(&mut self, batches: &[Batch]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for record in batches.iter().flat_map(|batch| &batch.records) {
            write_record(&transaction, record)?;
        }
        transaction.commit()
    }

    /// Free pages are soon used again, so only many of them, and a good part of the file, are worth returning.
    fn give_back(&self) -> rusqlite::Result<bool> {
        let number = |sql| {
            self.connection
                .query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        let free = number("PRAGMA freelist_count")?;
        if free <= SPARE_PAGES || free <= number("PRAGMA page_count")? / 4 {
            return Ok(false);
        }
        let sql = format!("PRAGMA incremental_vacuum({SHRINK_PAGES})");
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        // Each step returns one page.
        while rows.next()?.is_some() {}
        Ok(number("PRAGMA freelist_count")? < free)
    }
}

/// With a directory in front, SQLite gives no name a special meaning, as it does to ":memory:" and "file:".
fn file_of(path: &str) -> PathBuf {
    Path::new(".").join(path)
}

/// Opens a file to be read; with `own`, one to be rewritten: that file, or an empty one.
fn connect(path: &str, own: Option<Number>) -> Result<Connection, Fault> {
    let file = file_of(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    make_private(&file);
    let mut connection = Connection::open_with_flags(&file, flags)?;
    claim(&connection, &file)?;
    let accepts = match own.is_none() || own == Number::of(&file) {
        true => Accepts::Any,
        false => Accepts::Empty,
    };
    schema::prepare(&mut connection, accepts, |connection| {
        reading::read(connection, |_| true).map(drop)
    })?;
    Ok(connection)
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Creates a missing file with its final mode. If that fails, SQLite will say why.
fn make_private(file: &Path) {
    let is_absent = |error: std::io::Error| error.kind() == ErrorKind::NotFound;
    if !fs::metadata(file).is_err_and(is_absent) {
        return;
    }
    let mut options = OpenOptions::new();
    if let Ok(made) = options.append(true).create(true).mode(MODE).open(file) {
        // The umask may have removed more.
        let _ = made.set_permissions(Permissions::from_mode(MODE));
    }
}

/// Settings that must precede any reading. Nothing here changes a file that is not empty.
fn claim(connection: &Connection, file: &Path) -> rusqlite::Result<()> {
    connection.busy_timeout(LOCK_PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let is_new = fs::metadata(file).map_or(true, |found| found.len() == 0);
    if is_new {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    Ok(())
}

/// The rest, once the file is known to be ours and whole.
fn configure(connection: &Connection, synchronous: Synchronous) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous.name())?;
    connection.pragma_update(None, "journal_size_limit", MAX_IDLE_LOG_BYTES)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "cache_size", -MAX_CACHE_KILOBYTES)
}

fn write_record(connection: &Connection, record: &Record) -> rusqlite::Result<()> {
    let execute = |sql: &str, values: &[&dyn ToSql]| {
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map(drop)
    };
    match record {
        Record::Put { table, key, value } => execute(
            sql_of!(
                *table,
                "INSERT OR REPLACE INTO ",
                " (key, value) VALUES (?1, ?2)"
            ),
            params![key, value],
        ),
        Record::Delete { table, key } => execute(
            sql_of!(*table, "DELETE FROM ", " WHERE key = ?1"),
            params![key],
        ),
        Record::DeletePrefix { table, prefix } => execute(
            sql_of!(*table, "DELETE FROM ", " WHERE key >= ?1 AND key < ?2"),
            params![prefix, after_prefix(prefix)],
        ),
        Record::Append(entry) => execute(
            "INSERT OR REPLACE INTO entries (serial, room, offset, kind, payload, timestamp, message_id, sender) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                integer(entry.serial)?,
                entry.room,
                integer(entry.offset)?,
                entry.kind,
                ToSqlOutput::Borrowed(ValueRef::Text(&entry.payload)),
                integer(entry.timestamp)?,
                entry.id.to_string(),
                entry.sender.map(|sender| sender.to_string()),
            ],
        ),
        Record::Drop { serials } => drop_entries(connection, serials),
        Record::Remember(id) => execute(
            "INSERT OR REPLACE INTO event_ids (serial, hash, timestamp) VALUES (?1, ?2, ?3)",
            params![
                integer(id.serial)?,
                id.hash.cast_signed(),
                integer(id.timestamp)?
            ],
        ),
        Record::Forget { serial } => execute(
            "DELETE FROM event_ids WHERE serial <= ?1",
            params![integer(*serial)?],
        ),
        Record::Clear => connection.execute_batch(CLEAR),
    }
}

/// The least text after all texts with this prefix. Prefixes end in an ASCII character.
fn after_prefix(prefix: &str) -> String {
    let mut characters: Vec<char> = prefix.chars().collect();
    if let Some(last) = characters.last_mut() {
        *last = char::from_u32(u32::from(*last) + 1).unwrap_or(char::MAX);
    }
    characters.into_iter().collect()
}

const CLEAR: &str = "DELETE FROM meta; DELETE FROM rooms; DELETE FROM tasks; DELETE FROM sessions; \
                     DELETE FROM received; DELETE FROM memberships; DELETE FROM letters; \
                     DELETE FROM workspaces; DELETE FROM entries; DELETE FROM event_ids;";

fn drop_entries(connection: &Connection, serials: &[u64]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM entries WHERE serial = ?1")?;
    // A number that does not fit was never stored.
    for serial in serials.iter().filter_map(|serial| integer(*serial).ok()) {
        statement.execute([serial])?;
    }
    Ok(())
}

/// SQLite's integers are signed; neither serials nor offsets nor times come near the limit.
fn integer(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
