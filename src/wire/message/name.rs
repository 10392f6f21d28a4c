//! Names that producers and clients choose: of tasks, rooms and message types.

use super::malformed::Malformed;

/// Most bytes of a task id or room name; the prefix of a task's room does not count.
pub const MAX_NAME_BYTES: usize = 256;
/// A task's room is named by this and the task's id.
pub const TASK_ROOM_PREFIX: &str = "task:";

/// 1 to [`MAX_NAME_BYTES`] bytes without control characters.
pub fn check_name(field: &str, name: &str) -> Result<(), Malformed> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let reason = format!("expected 1 to {MAX_NAME_BYTES} bytes without control characters");
        return Err(Malformed::field(field, reason));
    }
    Ok(())
}

/// Checks the task id of a new event. Ids from an older version, which a store may hold, are not checked again.
pub fn check_task_id(field: &str, id: &str) -> Result<(), Malformed> {
    // Nearly every id consists of such bytes, and every event has one.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'*';
    if (3..=MAX_NAME_BYTES).contains(&id.len()) && id.bytes().all(is_plain) {
        return Ok(());
    }
    match reserved_id(id) {
        Some(reason) => Err(Malformed::field(field, reason)),
        None => check_name(field, id),
    }
}

/// A name with the prefix of a task's room must name a task.
pub fn check_room(field: &str, room: &str) -> Result<(), Malformed> {
    if let Some(reason) = reserved(room) {
        return Err(Malformed::field(field, reason));
    }
    check_name(field, own_name(room))
}

/// Why a room name is reserved, if it is.
pub fn reserved(room: &str) -> Option<&'static str> {
    if room == TASK_ROOM_PREFIX {
        return Some(
            "`task:` would be the room of a task whose id is empty; expected an id after it",
        );
    }
    reserved_id(own_name(room))
}

fn own_name(room: &str) -> &str {
    room.strip_prefix(TASK_ROOM_PREFIX).unwrap_or(room)
}

fn reserved_id(name: &str) -> Option<&'static str> {
    match name {
        "." | ".." => Some(FOLDER),
        name if name.contains('*') => Some(PATTERN),
        _ => None,
    }
}

const FOLDER: &str =
    "`.` and `..` mean a folder in a URL, so no URL could name it; expected another name";
const PATTERN: &str = "`*` stands in patterns, which name many; expected a name without it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_has_a_room() {
        for id in [
            "a".repeat(256),
            "task:".to_owned(),
            "...".to_owned(),
            format!("task:{}", "a".repeat(251)),
        ] {
            assert!(check_task_id("taskId", &id).is_ok(), "{id}");
            assert!(check_room("room", &format!("task:{id}")).is_ok(), "{id}");
        }
        for id in [
            "a".repeat(257),
            String::new(),
            "a*".to_owned(),
            "every-*-job".to_owned(),
            "*abc".to_owned(),
            "abc\u{7f}".to_owned(),
            "abc\td".to_owned(),
            format!("{}*", "a".repeat(255)),
            ".".to_owned(),
            "..".to_owned(),
            "\n".to_owned(),
        ] {
            assert!(check_task_id("taskId", &id).is_err(), "{id}");
            assert!(check_room("room", &id).is_err(), "{id}");
        }
        assert!(check_room("room", "task:").is_err());
        assert!(check_room("room", &format!("task:{}", "a".repeat(257))).is_err());
    }
}
