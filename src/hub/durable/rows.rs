//! The text of rows: rooms, sessions, memberships and direct messages as JSON, and their keys. Tasks' rows are in
//! [`task_rows`](crate::hub::durable::task_rows).
//!
//! Owns the form of rows only. A session is several rows, because its parts change at a different pace: the serial that its client
//! has confirmed all the time, its memberships and direct messages one by one. Fields of earlier versions are read and never written.

use crate::base::id::MessageIdReader;
use crate::hub::clients::client::{Client, KeptName, LOST, Membership};
use crate::hub::clients::direct::DirectMessage;
use crate::hub::durable::journal::Journal;
use crate::hub::durable::record::{Record, Table};
use crate::hub::keys::ClientId;
use crate::hub::rooms::position::Position;
use crate::hub::rooms::room::Room;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoomRow {
    /// The position of the newest entry when the row was written; stored entries may go beyond it.
    pub position: String,
    /// The serial of the newest dropped entry.
    pub lost_serial: u64,
    pub lineage: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionRow {
    /// Unix milliseconds.
    pub connected_at: u64,
    /// Read from the store's second version: rooms and the position in each.
    #[serde(skip_serializing)]
    pub rooms: Vec<(String, String)>,
    /// Read from the store's first version: the confirmed serial.
    #[serde(skip_serializing)]
    pub received: Option<u64>,
    /// Read from the store's first version: direct messages.
    #[serde(skip_serializing)]
    pub mail: Vec<DirectRow>,
}

/// A [`DirectMessage`] as it is read back.
#[derive(Debug, Deserialize)]
pub struct DirectRow {
    serial: u64,
    kind: Box<str>,
    payload: Box<str>,
    timestamp: u64,
    id: String,
}

impl DirectRow {
    /// `None`: its id cannot be read.
    pub fn message(self, ids: &mut MessageIdReader) -> Option<DirectMessage> {
        Some(DirectMessage {
            serial: self.serial,
            kind: self.kind,
            payload: self.payload,
            timestamp: self.timestamp,
            id: ids.read(&self.id)?,
        })
    }
}

pub fn room(room: &Room) -> String {
    let log = room.log.as_ref();
    text(&RoomRow {
        position: room.position().to_string(),
        lost_serial: log.map_or(0, |log| log.lost_serial()),
        lineage: log.map_or_else(Vec::new, |log| {
            log.lineage().iter().map(Position::to_string).collect()
        }),
    })
}

pub fn session(client: &Client) -> String {
    text(&SessionRow {
        connected_at: client.connected_at,
        ..SessionRow::default()
    })
}

/// The row of a membership: the position up to which entries are not owed to the client. A loss that it was told of and has not
/// confirmed is stored as a loss.
pub fn membership(room: &Room, membership: &Membership) -> String {
    let offset = match membership.told_of_loss {
        // Unconfirmed, so that it must be told again after a restart.
        true => LOST,
        false => membership.from,
    };
    let epoch = room.epoch;
    format!("\"{}\"", Position { epoch, offset })
}

/// The row of a membership of which the session keeps the name alone.
pub fn kept_name(kept: &KeptName) -> String {
    format!("\"{}\"", kept.position)
}

pub fn membership_position(row: &str) -> Option<Position> {
    // A position needs no escapes, so that quotes are all there is of JSON.
    row.trim_matches('"').parse().ok()
}

pub fn put_direct(journal: &mut Journal, client: ClientId, message: &DirectMessage) {
    if journal.is_on() {
        journal.push(direct(client, message));
    }
}

pub fn direct(client: ClientId, message: &DirectMessage) -> Record {
    let key = direct_key(client, message.serial);
    put(Table::DirectMessage, &key, text(message))
}

pub fn put(table: Table, key: &str, value: String) -> Record {
    let key = key.into();
    Record::Put { table, key, value }
}

pub fn delete_direct(
    journal: &mut Journal,
    client: ClientId,
    serials: impl IntoIterator<Item = u64>,
) {
    if journal.is_on() {
        for serial in serials {
            journal.delete(Table::DirectMessage, &direct_key(client, serial));
        }
    }
}

/// Deletes a client's session with all its rows.
pub fn delete_session(journal: &mut Journal, client: &mut Client) {
    let key = session_key(client.id);
    journal.forget_client(client);
    journal.delete(Table::Session, &key);
    journal.delete(Table::Received, &key);
    journal.delete_prefix(Table::Membership, &format!("{key}:"));
    let direct = client.direct().into_iter();
    let messages = direct.flat_map(|direct| direct.messages());
    delete_direct(journal, client.id, messages.map(|message| message.serial));
}

/// Of fixed length, so that no session's key is a prefix of another's.
pub fn session_key(client: ClientId) -> String {
    format!("{:016x}", client.number())
}

pub fn membership_key(client: ClientId, room: &str) -> String {
    format!("{}:{room}", session_key(client))
}

/// Ends with the serial in fixed length, so that keys sort as serials do.
pub fn direct_key(client: ClientId, serial: u64) -> String {
    format!("{}:{serial:016x}", session_key(client))
}

pub fn session_client(key: &str) -> Option<ClientId> {
    u64::from_str_radix(key, 16).ok().map(ClientId::from_number)
}

/// Splits the key of a membership or direct message into its client and the rest.
pub fn part_client(key: &str) -> Option<(ClientId, &str)> {
    let (session, part) = key.split_once(':')?;
    Some((session_client(session)?, part))
}

fn text(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("rows are plain text and numbers")
}
