//! The file's layout and its versions: how a new file is created, how an old one is migrated, which are refused.

use super::error::Fault;
use rusqlite::Connection;

/// `JOBL`, by which `file` and others recognize a joblight file.
pub(super) const APPLICATION_ID: i64 = 0x4a4f_424c;

/// The migrations from each version to the next; a file's `user_version` counts those behind it. Never change one that
/// was released: add another.
pub(super) const LADDER: [&str; 3] = [FIRST, SECOND, THIRD];

pub(super) const VERSION: i64 = LADDER.len() as i64;

/// Entries are stored in the order in which they come, whatever their rooms: new ones fill pages at the end, old ones
/// free whole pages at the beginning. Ordered by room, each would touch a page of its own.
const FIRST: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE rooms (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE tasks (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE sessions (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE workspaces (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE entries (
        serial INTEGER PRIMARY KEY,
        room TEXT NOT NULL,
        offset INTEGER NOT NULL,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        message_id TEXT NOT NULL
    );
";

/// Senders are excluded after a restart too, and known event ids stay known. What a client has received, and each
/// direct message, are rows of their own: the session's row need not be written with each of them.
const SECOND: &str = "
    ALTER TABLE entries ADD COLUMN sender TEXT;
    CREATE TABLE event_ids (
        serial INTEGER PRIMARY KEY,
        hash INTEGER NOT NULL,
        timestamp INTEGER NOT NULL
    );
    CREATE TABLE received (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE letters (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
";

/// Rooms of sessions are rows of their own: entering a room writes one row. Older session rows still list theirs; they
/// are rewritten when they are read.
const THIRD: &str = "
    CREATE TABLE memberships (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// Any of joblight's: its content is read next.
    Any,
    /// One without tables: everything will be written to it.
    Empty,
}

/// Claims the file for this process and migrates it to the latest version, or refuses it and leaves it alone. An older
/// file changes only if `read` accepts its content.
pub(super) fn prepare(
    connection: &mut Connection,
    accepts: Accepts,
    read: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<(), Fault> {
    // Locked at once and as a whole: of two processes that start together, one wins and the other learns that it is in
    // use.
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    let version = inspect(&transaction)?;
    if version > 0 && accepts == Accepts::Empty {
        return Err(Fault::Unread);
    }
    for step in &LADDER[version..] {
        transaction.execute_batch(step)?;
    }
    if version < LADDER.len() {
        if version > 0 {
            read(&transaction)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(transaction.commit()?)
}

/// How many migrations the file has behind it.
fn inspect(connection: &Connection) -> Result<usize, Fault> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    if number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(0);
    }
    if number("PRAGMA application_id")? != APPLICATION_ID {
        return Err(Fault::Foreign);
    }
    let found = number("PRAGMA user_version")?;
    if found > VERSION {
        let known = VERSION;
        return Err(Fault::Newer { found, known });
    }
    usize::try_from(found).map_err(|_| Fault::Damaged(format!("schema version {found}")))
}

/// One statement for each table of keys and values, so that none is put together for each row.
macro_rules! sql_of {
    ($table:expr, $before:literal, $behind:literal) => {
        match $table {
            Table::Meta => concat!($before, "meta", $behind),
            Table::Room => concat!($before, "rooms", $behind),
            Table::Task => concat!($before, "tasks", $behind),
            Table::Session => concat!($before, "sessions", $behind),
            Table::Received => concat!($before, "received", $behind),
            Table::Membership => concat!($before, "memberships", $behind),
            Table::DirectMessage => concat!($before, "letters", $behind),
            Table::Workspace => concat!($before, "workspaces", $behind),
        }
    };
}

pub(super) use sql_of;
