//! Pages of a room's log, for `history` and its call.

use crate::hub::{Hub, Position, RoomKey, Since};
use crate::wire::message::envelope::push_string;
use std::fmt::Write;

/// Bytes beyond which a page of a log has no further entry: it is made for one reader alone.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// A page of a room's log as JSON: `{room, messages, position, complete, more?}`, the oldest first: at most `limit` messages
/// (0: all), and no more than a megabyte but for the first.
pub fn history_page(hub: &Hub, key: RoomKey, since: Since, limit: Option<usize>) -> String {
    let room = hub.directory().room(key);
    let missed = hub.history(key, since);
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut out = String::from("{\"room\":");
    push_string(&mut out, &room.name);
    out.push_str(",\"messages\":[");
    let mut shown = 0;
    for entry in missed.entries.iter().take(limit) {
        let message = entry.envelope(&room.name).encode(Default::default());
        if shown > 0 && out.len() + message.len() > MAX_PAGE_BYTES {
            break;
        }
        if shown > 0 {
            out.push(',');
        }
        out.push_str(&String::from_utf8_lossy(&message));
        shown += 1;
    }
    let offset = match missed.entries[..shown].last() {
        Some(last) => last.offset,
        None => match since {
            Since::After(position) if position.epoch == room.epoch => position.offset,
            Since::Start | Since::After(_) => room.position().offset,
        },
    };
    let position = Position {
        epoch: room.epoch,
        offset,
    };
    let _ = write!(
        out,
        "],\"position\":\"{position}\",\"complete\":{}",
        missed.complete
    );
    if shown < missed.entries.len() {
        out.push_str(",\"more\":true");
    }
    out.push('}');
    out
}
