//! What a restart brings back: all of it, and each thing for as long as it would have stayed anyway, a few at a time.

use super::kept::{Store, batch, durable, restarted, say, stored};
use super::visit::Visit;
use super::world::World;
use joblight::internals::hub::Table;
use serde_json::json;

const KEEP_MS: u64 = 3_600_000;

fn keep_briefly(config: &mut joblight::Config) {
    config.broadcaster.keep_completed = KEEP_MS;
}

/// The server that goes on with what is kept, after so long; and how much it lets go in a turn at most, by table.
fn longest_turn(kept: &Store, millis: u64) -> (World, usize, usize) {
    let mut world = restarted(2, kept, |config| {
        config.websocket.max_sessions = 0;
        keep_briefly(config);
    });
    let (mut sessions, mut rooms) = (0, 0);
    let end = world.millis() + millis;
    loop {
        while let Some(batch) = batch(&mut world) {
            stored(&mut world, batch.seq, Ok(()));
        }
        let Some(at) = world.engine.poll_timeout() else {
            break;
        };
        let at = at.as_micros().div_ceil(1000);
        if at > end {
            break;
        }
        let before = size(&world);
        world.run_for(at.saturating_sub(world.millis()));
        let after = size(&world);
        sessions = sessions.max(before.0 - after.0);
        rooms = rooms.max(before.1 - after.1);
    }
    (world, sessions, rooms)
}

/// How many clients are away, and how many rooms have something in their log.
fn size(world: &World) -> (usize, usize) {
    let held = world.engine.inspect();
    let logs = held
        .rooms()
        .filter(|room| held.entries(room).next().is_some());
    (
        held.clients().filter(|client| client.is_away).count(),
        logs.count(),
    )
}

#[test]
fn a_lower_limit_of_rooms_takes_none_from_a_session() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a", "b", "c"]);
    for room in ["a", "b", "c"] {
        say(&mut world, room, 0);
    }
    world.run_for(200);
    kept.take(&mut world);
    let mut world = restarted(2, &kept, |config| config.websocket.max_rooms = 1);
    let again = visit.again(&mut world);
    assert_eq!(again.first[0]["payload"]["rooms"], json!(["a", "b", "c"]));
    say(&mut world, "c", 1);
    assert_eq!(again.heard(&mut world), ["c 1"]);
    let wish = json!({"type": "subscribe", "rooms": ["d"]});
    world.send(again.peer, &wish);
    let denied = &world.messages(again.peer)[0]["payload"]["denied"];
    assert_eq!(denied[0]["room"], "d", "the limit holds for others");
}

#[test]
fn entries_live_no_longer_for_a_restart() {
    let mut world = durable(keep_briefly);
    let mut kept = Store::default();
    say(&mut world, "a", 1);
    world.run_for(KEEP_MS / 2);
    say(&mut world, "a", 2);
    say(&mut world, "b", 3);
    kept.take(&mut world);
    // The new process begins at the first moment of the old one, when all of this was still to come; so all is older.
    let half_ms = KEEP_MS / 2;
    for entry in kept.entries.values_mut() {
        entry.timestamp -= half_ms + 1_000;
    }
    let mut world = restarted(2, &kept, keep_briefly);
    let mut left = |world: &mut World| {
        kept.take(world);
        let said = kept.entries.values();
        said.map(|entry| String::from_utf8_lossy(&entry.payload).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&mut world), ["1", "2", "3"]);
    world.run_for(half_ms);
    assert_eq!(left(&mut world), ["2", "3"]);
    world.run_for(half_ms);
    assert_eq!(left(&mut world), [""; 0]);
    assert_eq!(kept.count(Table::Room), 0);
}

#[test]
fn sessions_that_nobody_takes_up_again_go_a_few_at_a_time() {
    let mut kept = Store::default();
    for number in 0..3000_u64 {
        let key = format!("{:016x}", (number + 1) << 24 | number);
        let row = json!({"connectedAt": 0, "rooms": [["task:a", ""]]}).to_string();
        kept.rows.insert((Table::Session, key.into()), row);
    }
    let (world, sessions, _) = longest_turn(&kept, KEEP_MS);
    assert_eq!(size(&world), (0, 0));
    assert!(sessions <= 256, "{sessions} in one turn");
}

#[test]
fn a_lower_limit_of_sessions_is_reached_a_few_at_a_time() {
    let mut kept = Store::default();
    for number in 0..3000_u64 {
        let key = format!("{:016x}", (number + 1) << 24 | number);
        let row = json!({"connectedAt": 0, "rooms": []}).to_string();
        kept.rows.insert((Table::Session, key.into()), row);
    }
    let mut world = restarted(2, &kept, |config| config.websocket.max_sessions = 10);
    assert_eq!(size(&world).0, 3000 - 256);
    world.run_for(100);
    assert_eq!(size(&world).0, 10);
}

#[test]
fn logs_that_were_kept_together_do_not_go_in_one_turn() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    for room in 0..2000 {
        say(&mut world, &format!("room{room}"), 1);
    }
    kept.take(&mut world);
    let (world, _, rooms) = longest_turn(&kept, KEEP_MS + 10_000);
    assert_eq!(size(&world), (0, 0));
    assert!(rooms <= 256, "{rooms} in one turn");
}
