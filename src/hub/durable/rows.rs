//! Rows of the store, written and read: rooms and sessions as JSON. Tasks write their own.
//!
//! A session is several rows, for its parts change at a different pace: what its client has received all the time, and each
//! of its rooms and each message for it alone comes and goes by itself.

use crate::base::id::MessageIdReader;
use crate::hub::clients::client::{Client, KeptName, LOST, Membership};
use crate::hub::clients::direct::DirectMessage;
use crate::hub::durable::journal::Journal;
use crate::hub::durable::record::Table;
use crate::hub::keys::ClientId;
use crate::hub::rooms::position::Position;
use crate::hub::rooms::room::Room;
use serde::{Deserialize, Serialize};

/// A room that has a log.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoomRow {
    /// Its place when the row was written: its entries may go on.
    pub position: String,
    /// The serial of the newest entry that is gone.
    pub lost_serial: u64,
    /// Where earlier epochs ended.
    pub lineage: Vec<String>,
}

/// A client's session.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionRow {
    /// Milliseconds since 1970 when it connected.
    pub connected_at: u64,
    /// What the second version of the store kept here: its rooms, and up to where nothing of each was ever for it.
    #[serde(skip_serializing)]
    pub rooms: Vec<(String, String)>,
    /// What the first version kept here: every message up to this serial has reached it.
    #[serde(skip_serializing)]
    pub received: Option<u64>,
    /// The same: what waits for it alone.
    #[serde(skip_serializing)]
    pub mail: Vec<DirectRow>,
}

/// A message for one client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectRow {
    serial: u64,
    kind: Box<str>,
    payload: Box<str>,
    timestamp: u64,
    id: String,
}

impl DirectRow {
    fn new(letter: &DirectMessage) -> Self {
        Self {
            serial: letter.serial,
            kind: letter.kind.clone(),
            payload: letter.payload.clone(),
            timestamp: letter.timestamp,
            id: letter.id.to_string(),
        }
    }

    /// The message, if its id can be read.
    pub fn letter(self, ids: &mut MessageIdReader) -> Option<DirectMessage> {
        Some(DirectMessage {
            serial: self.serial,
            kind: self.kind,
            payload: self.payload,
            timestamp: self.timestamp,
            id: ids.read(&self.id)?,
        })
    }
}

/// The row of a room.
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

/// The row of a client's session.
pub fn session(client: &Client) -> String {
    text(&SessionRow {
        connected_at: client.connected_at,
        ..SessionRow::default()
    })
}

/// The row of a client's room: up to where nothing of it was ever for the client.
pub fn membership(room: &Room, membership: &Membership) -> String {
    let offset = match membership.told_of_loss {
        true => LOST,
        false => membership.from,
    };
    let epoch = room.epoch;
    format!("\"{}\"", Position { epoch, offset })
}

/// The same of a room whose name alone is kept.
pub fn kept_name(kept: &KeptName) -> String {
    format!("\"{}\"", kept.position)
}

/// Reads what [`membership`] wrote.
pub fn membership_position(row: &str) -> Option<Position> {
    row.trim_matches('"').parse().ok()
}

/// Has the store keep a message for a client.
pub fn put_direct(journal: &mut Journal, client: ClientId, letter: &DirectMessage) {
    if journal.is_on() {
        let key = direct_key(client, letter.serial);
        journal.put(Table::DirectMessage, &key, text(&DirectRow::new(letter)));
    }
}

/// Has the store forget messages for a client.
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

/// Has the store forget a client's session.
pub fn delete_session(journal: &mut Journal, client: &mut Client) {
    let key = session_key(client.id);
    journal.forget_client(client);
    journal.delete(Table::Session, &key);
    journal.delete(Table::Received, &key);
    journal.delete_prefix(Table::Membership, &format!("{key}:"));
    let direct = client.direct().into_iter();
    let letters = direct.flat_map(|direct| direct.letters());
    delete_direct(journal, client.id, letters.map(|letter| letter.serial));
}

/// The key of a client's session.
pub fn session_key(client: ClientId) -> String {
    format!("{:016x}", client.number())
}

/// The key of a client's room.
pub fn membership_key(client: ClientId, room: &str) -> String {
    format!("{}:{room}", session_key(client))
}

/// The key of a message for a client.
pub fn direct_key(client: ClientId, serial: u64) -> String {
    format!("{}:{serial:016x}", session_key(client))
}

/// The client of a session's key.
pub fn session_client(key: &str) -> Option<ClientId> {
    u64::from_str_radix(key, 16).ok().map(ClientId::from_number)
}

/// The client of the key of a room or message of a session, and the rest of that key.
pub fn part_client(key: &str) -> Option<(ClientId, &str)> {
    let (session, part) = key.split_once(':')?;
    Some((session_client(session)?, part))
}

fn text(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("rows are plain text and numbers")
}
