//! `subscription_ack`: which rooms a client is in, where it stands in them, and what could be made up for.

use crate::base::time::Now;
use crate::engine::state::State;
use crate::hub::{ClientKey, Full, Recovery, RoomKey};
use crate::wire::locale::Phrase;
use crate::wire::message::envelope::push_string;
use crate::wire::message::name::reserved;
use crate::wire::message::{Envelope, ErrorCode};
use std::collections::HashSet;
use std::fmt::Write;

/// A room that a client may not enter.
pub struct Denied {
    pub room: String,
    pub code: ErrorCode,
}

impl Denied {
    pub fn new(room: impl Into<String>, code: ErrorCode) -> Self {
        let room = room.into();
        Self { room, code }
    }
}

/// Tells a client which of its rooms could be made up for, unasked: it has come back, or has been too slow.
pub fn acknowledge_recovery(
    state: &mut State,
    now: Now,
    client: ClientKey,
    denied: Vec<Box<str>>,
    recoveries: &[Recovery],
) {
    let denied = denied.into_iter();
    let denied = denied.map(|room| Denied::new(room, ErrorCode::LimitExceeded));
    let denied: Vec<Denied> = denied.collect();
    let payload = acknowledgement(state, client, &denied, recoveries);
    let envelope = Envelope {
        kind: "subscription_ack",
        payload: &payload,
        timestamp: now.wall_ms,
        id: None,
        reply_to: None,
        room_offset: None,
    };
    state.send_encoded(client, &envelope.encode(state.variant(client)));
}

/// Tells viewers of the rooms that they had to leave for a producer's.
pub fn tell_evicted(state: &mut State, now: Now) {
    for (client, rooms) in state.hub.take_evicted() {
        let Some(client) = state.hub.directory().living_client(client) else {
            continue;
        };
        let phrase = Phrase::LimitExceeded(Full::Rooms.key());
        let mut payload = format!(
            "{{\"code\":\"{}\",\"message\":",
            ErrorCode::LimitExceeded.as_str()
        );
        push_string(&mut payload, &state.settings.locale.say(phrase).to_string());
        payload.push_str(",\"rooms\":[");
        push_list(&mut payload, rooms.iter(), |out, room| {
            push_string(out, room)
        });
        payload.push_str("]}");
        for room in &rooms {
            state.tell_of_room(client, room, false);
        }
        state
            .hub
            .send(now, client, "error", &payload, &mut state.peers);
    }
}

/// The payload of `subscription_ack`: all that the client is now in, and what became of its wishes.
pub fn acknowledgement(
    state: &State,
    client: ClientKey,
    denied: &[Denied],
    recoveries: &[Recovery],
) -> String {
    let directory = state.hub.directory();
    let rooms: Vec<_> = directory
        .client(client)
        .rooms()
        .map(|room| directory.room(room))
        .collect();
    let tasks = rooms
        .iter()
        .filter_map(|room| room.name.strip_prefix("task:"));
    let mut out = String::from("{\"taskIds\":[");
    push_list(&mut out, tasks, push_string);
    out.push_str("],\"rooms\":[");
    push_list(&mut out, rooms.iter(), |out, room| {
        push_string(out, &room.name)
    });
    out.push_str("],\"denied\":[");
    push_list(&mut out, denied.iter(), |out, denied| {
        out.push_str("{\"room\":");
        push_string(out, &denied.room);
        let _ = write!(out, ",\"code\":\"{}\"", denied.code.as_str());
        // Such a name looks as good as any other.
        if let Some(reason) = reserved(&denied.room) {
            out.push_str(",\"message\":");
            push_string(out, reason);
        }
        out.push('}');
    });
    out.push_str("],\"positions\":{");
    let made_up: HashSet<RoomKey> = recoveries.iter().map(|made_up| made_up.room).collect();
    let memberships = directory.client(client).memberships().iter();
    push_list(&mut out, memberships, |out, membership| {
        let room = directory.room(membership.room);
        // What is made up for follows this; what is left in a log comes some time later.
        let position = match made_up.contains(&membership.room) {
            true => room.position(),
            false => state.hub.queued_position(client, membership),
        };
        push_string(out, &room.name);
        let _ = write!(out, ":\"{position}\"");
    });
    out.push_str("},\"recovered\":{");
    push_list(&mut out, recoveries.iter(), |out, recovery| {
        push_string(out, &directory.room(recovery.room).name);
        let _ = write!(out, ":{}", recovery.recovered);
    });
    out.push_str("}}");
    out
}

fn push_list<T>(
    out: &mut String,
    items: impl Iterator<Item = T>,
    mut push: impl FnMut(&mut String, T),
) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        push(out, item);
    }
}
