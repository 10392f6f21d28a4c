//! `subscription_ack`: which rooms a client is in, where it stands in them, and what could be made up for.

use crate::engine::context::Context;
use crate::hub::{ClientKey, Full, Hub, Recovery, RoomKey};
use crate::wire::locale::Phrase;
use crate::wire::message::ErrorCode;
use crate::wire::message::envelope::push_string;
use crate::wire::message::name::reserved;
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
    context: &mut Context<'_>,
    client: ClientKey,
    denied: Vec<Box<str>>,
    recoveries: &[Recovery],
) {
    let denied = denied.into_iter();
    let denied = denied.map(|room| Denied::new(room, ErrorCode::LimitExceeded));
    let denied: Vec<Denied> = denied.collect();
    let payload = payload(context.hub, client, &denied, recoveries);
    context.answer(client, "subscription_ack", &payload, None);
}

/// Tells viewers of the rooms that they had to leave for a producer's.
pub fn tell_evicted(context: &mut Context<'_>) {
    for (client, rooms) in context.hub.take_evicted() {
        let Some(client) = context.hub.directory().living_client(client) else {
            continue;
        };
        let phrase = Phrase::LimitExceeded(Full::Rooms.key());
        let mut payload = format!(
            "{{\"code\":\"{}\",\"message\":",
            ErrorCode::LimitExceeded.as_str()
        );
        push_string(
            &mut payload,
            &context.settings.locale.say(phrase).to_string(),
        );
        payload.push_str(",\"rooms\":[");
        push_list(&mut payload, rooms.iter(), |out, room| {
            push_string(out, room)
        });
        payload.push_str("]}");
        for room in &rooms {
            context.log_room(client, room, false);
        }
        context.hub.send(
            context.now,
            client,
            "error",
            &payload,
            &mut context.peers.delivery(context.settings),
        );
    }
}

/// The payload of `subscription_ack`: all that the client is now in, and what became of its request.
pub fn payload(hub: &Hub, client: ClientKey, denied: &[Denied], recoveries: &[Recovery]) -> String {
    let directory = hub.directory();
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
            false => hub.queued_position(client, membership),
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
