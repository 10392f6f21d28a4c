//! The paths of the API and the methods that each allows.

use std::borrow::Cow;

/// A call of contract section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// `/health`
    Health,
    /// `/api/websocket/stats`
    WebSocketStats,
    /// `/api/broadcaster/stats`
    BroadcasterStats,
    /// `/api/events`
    Events,
    /// `/api/tasks`
    Tasks,
    /// `/api/tasks/{id}`
    Task(&'a str),
    /// `/api/tasks/{id}/{started,progress,…}`
    TaskEvent {
        /// The task.
        task: &'a str,
        /// The event.
        verb: crate::wire::message::TaskEvent,
    },
    /// `/api/tasks/{id}/control`
    TaskControl(&'a str),
    /// `/api/rooms`
    Rooms,
    /// `/api/rooms/{room}/clients`
    RoomClients(&'a str),
    /// `/api/rooms/{room}/history`
    RoomHistory(&'a str),
    /// `/api/rooms/{room}/broadcast`
    RoomBroadcast(&'a str),
    /// `/api/broadcast`
    Broadcast,
    /// `/api/clients`
    Clients,
    /// `/api/clients/{id}`
    Client(&'a str),
    /// `/api/clients/{id}/send`
    ClientSend(&'a str),
    /// `/api/clients/{id}/rooms/{room}`
    ClientRoom {
        /// The client.
        client: &'a str,
        /// The room.
        room: &'a str,
    },
}

impl<'a> Route<'a> {
    /// The call at that path, if there is one.
    pub fn resolve(segments: &'a [Cow<'_, str>]) -> Option<Self> {
        let names: smallvec::SmallVec<[&str; 8]> =
            segments.iter().map(|segment| &**segment).collect();
        Some(match names[..] {
            ["health"] => Self::Health,
            ["api", "websocket", "stats"] => Self::WebSocketStats,
            ["api", "broadcaster", "stats"] => Self::BroadcasterStats,
            ["api", "events"] => Self::Events,
            ["api", "tasks"] => Self::Tasks,
            ["api", "tasks", id] => Self::Task(id),
            ["api", "tasks", id, "control"] => Self::TaskControl(id),
            ["api", "tasks", task, verb] => Self::TaskEvent {
                task,
                verb: crate::wire::message::TaskEvent::from_verb(verb)?,
            },
            ["api", "rooms"] => Self::Rooms,
            ["api", "rooms", room, "clients"] => Self::RoomClients(room),
            ["api", "rooms", room, "history"] => Self::RoomHistory(room),
            ["api", "rooms", room, "broadcast"] => Self::RoomBroadcast(room),
            ["api", "broadcast"] => Self::Broadcast,
            ["api", "clients"] => Self::Clients,
            ["api", "clients", id] => Self::Client(id),
            ["api", "clients", id, "send"] => Self::ClientSend(id),
            ["api", "clients", client, "rooms", room] => Self::ClientRoom { client, room },
            _ => return None,
        })
    }

    /// Whether the call makes no sense without a body.
    pub fn needs_body(self) -> bool {
        matches!(
            self,
            Self::Events
                | Self::TaskControl(_)
                | Self::RoomBroadcast(_)
                | Self::Broadcast
                | Self::ClientSend(_)
        )
    }

    /// Whether a body is read.
    pub fn takes_body(self) -> bool {
        self.methods().starts_with("POST")
    }

    /// Whether the call shows or changes what a store keeps, or is about clients, who are nobody before that is read.
    pub fn needs_store(self) -> bool {
        !matches!(
            self,
            Self::Health | Self::WebSocketStats | Self::BroadcasterStats
        )
    }

    /// The methods it allows, as an `Allow` header lists them (RFC 9110 section 10.2.1).
    pub fn methods(self) -> &'static str {
        match self {
            Self::Events
            | Self::TaskEvent { .. }
            | Self::TaskControl(_)
            | Self::RoomBroadcast(_)
            | Self::Broadcast
            | Self::ClientSend(_) => "POST, OPTIONS",
            Self::Task(_) | Self::Client(_) => "GET, HEAD, DELETE, OPTIONS",
            Self::ClientRoom { .. } => "PUT, DELETE, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}
