//! Rows of the store, written and read: rooms and sessions as JSON. Tasks write their own.

use super::client::{Client, ClientId, LOST};
use super::directory::Directory;
use super::mailbox::Letter;
use super::position::Position;
use super::room::Room;
use crate::base::id::MessageIdReader;
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
    /// Every message up to this serial has reached it.
    pub received: u64,
    /// Its rooms, and what it has of each.
    pub rooms: Vec<(String, String)>,
    /// What waits for it alone.
    pub mail: Vec<LetterRow>,
}

/// A message for one client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LetterRow {
    serial: u64,
    kind: Box<str>,
    payload: Box<str>,
    timestamp: u64,
    id: String,
}

impl LetterRow {
    fn new(letter: &Letter) -> Self {
        Self {
            serial: letter.serial,
            kind: letter.kind.clone(),
            payload: letter.payload.clone(),
            timestamp: letter.timestamp,
            id: letter.id.to_string(),
        }
    }

    /// The message, if its id can be read.
    pub fn letter(self, ids: &mut MessageIdReader) -> Option<Letter> {
        Some(Letter {
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
pub fn session(directory: &Directory, client: &Client) -> String {
    let place = |membership: &super::client::Membership| {
        let room = directory.room(membership.room);
        let log = room.log.as_ref();
        let received = log.map_or(0, |log| log.offset_at(client.received));
        let offset = match membership.told_of_loss {
            true => LOST,
            false => membership.from.max(received),
        };
        let position = Position {
            epoch: room.epoch,
            offset,
        };
        (room.name.to_string(), position.to_string())
    };
    let letters = client
        .mailbox()
        .into_iter()
        .flat_map(|mailbox| mailbox.letters());
    text(&SessionRow {
        connected_at: client.connected_at,
        received: client.received,
        rooms: client.memberships().iter().map(place).collect(),
        mail: letters.map(LetterRow::new).collect(),
    })
}

/// The key of a client's session.
pub fn session_key(client: ClientId) -> String {
    format!("{:016x}", client.number())
}

/// The client of a session's key.
pub fn session_client(key: &str) -> Option<ClientId> {
    u64::from_str_radix(key, 16).ok().map(ClientId::from_number)
}

fn text(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("rows are plain text and numbers")
}
