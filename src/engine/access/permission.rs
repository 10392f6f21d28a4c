//! What `websocket.publish` and `websocket.control` may say.

/// What viewers may do: `websocket.publish` (send a `room_broadcast`), `websocket.control` (send a `task_control`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nobody.
    Nobody,
    /// The members of the room, or of the task's room.
    Members,
    /// Everybody.
    Anybody,
}
