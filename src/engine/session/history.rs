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
    let (mut last, mut is_cut) = (None, false);
    let mut entries = missed.entries;
    for entry in entries.by_ref().take(limit) {
        let end = out.len();
        if last.is_some() {
            out.push(',');
        }
        entry.envelope(&room.name).push_json(&mut out);
        // The comma does not count.
        if last.is_some() && out.len() - 1 > MAX_PAGE_BYTES {
            out.truncate(end);
            is_cut = true;
            break;
        }
        last = Some(entry.offset);
    }
    let offset = last.unwrap_or(match since {
        Since::After(position) if position.epoch == room.epoch => position.offset,
        Since::Start | Since::After(_) => room.position().offset,
    });
    let position = Position {
        epoch: room.epoch,
        offset,
    };
    let _ = write!(
        out,
        "],\"position\":\"{position}\",\"complete\":{}",
        missed.complete
    );
    if is_cut || entries.len() > 0 {
        out.push_str(",\"more\":true");
    }
    out.push('}');
    out
}
