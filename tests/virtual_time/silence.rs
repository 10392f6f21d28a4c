//! A store that says nothing, connections that say nothing, and a process that stood still: what counts, and when.

use super::kept::{batch, durable, say, stored};
use super::world::Heard;
use super::world::{PeerId, World, request};
use joblight::internals::engine::{Batch, Services};
use serde_json::{Value, json};

fn answers(world: &mut World, peer: PeerId) -> Vec<u16> {
    let heard = world.heard(peer).into_iter();
    heard
        .filter_map(|(_, heard)| match heard {
            Heard::Answer(status, _) => Some(status),
            _ => None,
        })
        .collect()
}

/// A request whose answer waits for the store, and the batch that it waits for.
fn wait_for_store(world: &mut World) -> (PeerId, Batch) {
    let producer = world.connect(Services::HTTP, [127, 0, 0, 1]);
    let text = request("POST", "/api/tasks/t/completed", &json!({"result": 1}));
    world.say(producer, text.as_bytes());
    let batch = batch(world).expect("somebody waits");
    (producer, batch)
}

fn status(world: &mut World) -> Value {
    let health = world.document("/health");
    json!([health["status"], health["storage"]["status"]])
}

#[test]
fn a_store_that_says_nothing_for_five_seconds_fails_and_gets_well() {
    let mut world = durable(|_| {});
    let (producer, silent) = wait_for_store(&mut world);
    world.run_for(4_999);
    assert_eq!(answers(&mut world, producer), [0; 0]);
    assert_eq!(status(&mut world), json!(["healthy", "ok"]));
    world.run_for(1);
    assert_eq!(answers(&mut world, producer), [503]);
    assert_eq!(status(&mut world), json!(["degraded", "failing"]));
    assert!(world.engine.is_store_silent());
    world.run_for(60_000);
    assert!(batch(&mut world).is_none(), "nothing more is asked of it");
    stored(&mut world, silent.seq, Ok(()));
    assert!(!world.engine.is_store_silent());
    let probe = batch(&mut world).expect("it is tried");
    assert_eq!(probe.records.len(), 1);
    stored(&mut world, probe.seq, Ok(()));
    let all = batch(&mut world).expect("everything");
    world.run_for(60_000);
    stored(&mut world, all.seq, Ok(()));
    assert_eq!(status(&mut world), json!(["healthy", "ok"]));
}

#[test]
fn a_store_that_answers_leaves_no_reminder() {
    let mut world = durable(|_| {});
    let before = world.engine.inspect().timers();
    for number in 0..10 {
        say(&mut world, "r", number);
        assert!(batch(&mut world).is_none(), "nobody waits");
        world.run_for(60);
        let kept = batch(&mut world).expect("a batch");
        stored(&mut world, kept.seq, Ok(()));
    }
    // What is kept ages, which takes one.
    assert!(world.engine.inspect().timers() <= before + 1);
}

#[test]
fn a_process_that_stood_still_does_not_call_its_store_silent() {
    let mut world = durable(|_| {});
    let (producer, kept) = wait_for_store(&mut world);
    world.long_turn(20_000, |_| {});
    world.run_for(4_999);
    assert_eq!(answers(&mut world, producer), [0; 0]);
    stored(&mut world, kept.seq, Ok(()));
    assert_eq!(answers(&mut world, producer), [200]);
    assert_eq!(status(&mut world), json!(["healthy", "ok"]));
}

#[test]
fn who_has_sent_no_request_makes_room_the_oldest_first() {
    let mut world = World::new(|_| {});
    let peers: Vec<PeerId> = (0..6)
        .map(|_| world.connect(Services::BOTH, [127, 0, 0, 1]))
        .collect();
    let health = request("GET", "/health", &Value::Null);
    world.say(peers[0], health.as_bytes());
    world.say(peers[1], &health.as_bytes()[..10]);
    world.ask_upgrade(peers[3], "/ws", "");
    world.connect(Services::INGEST, [127, 0, 0, 1]);
    let mut closed = Vec::new();
    let mut is_over = false;
    while !is_over {
        world.turn(|world| is_over = !world.make_room());
        let gone = peers.iter().filter(|peer| world.is_closed(**peer));
        let news: Vec<PeerId> = gone
            .copied()
            .filter(|peer| !closed.contains(peer))
            .collect();
        assert!(news.len() <= 1, "one at a time");
        closed.extend(news);
    }
    assert_eq!(closed, [peers[1], peers[2], peers[4], peers[5]]);
}

#[test]
fn a_viewer_is_not_let_in_where_only_places_for_the_api_are_left() {
    let mut world = World::new(|_| {});
    world.limit_viewers(2);
    let viewers = [world.viewer(), world.viewer()];
    let refused = world.upgrade("/ws", "");
    assert_eq!(answers(&mut world, refused), [503]);
    world.document("/health");
    for viewer in viewers {
        world.leave(viewer);
    }
    world.viewer();
}

#[test]
fn whose_input_is_not_read_to_its_end_is_looked_at_a_turn_later() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.set_answers_pings(viewer, false);
    world.run_for(59_999);
    world.long_turn(1, |world| world.spare(&[viewer]));
    world.turn(|world| world.spare(&[viewer]));
    assert!(!world.is_half_closed(viewer));
    world.spare(&[]);
    world.run_for(1);
    let last = world.heard(viewer).pop();
    assert_eq!(last.map(|(_, heard)| heard), Some(Heard::Close(4408)));
}

#[test]
fn after_a_pause_everybody_has_time_to_be_heard() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.set_answers_pings(viewer, false);
    world.run_for(59_000);
    world.forgive();
    world.run_for(30_900);
    assert!(!world.is_half_closed(viewer) && !world.is_closed(viewer));
    world.run_for(10_000);
    assert!(world.is_closed(viewer), "but not for ever");
}

#[test]
fn after_a_pause_a_request_has_its_time_once_more_and_one_that_is_read_meanwhile_counts() {
    let text = request("POST", "/api/tasks/t/started", &json!({"total": 3}));
    let (first, rest) = text.as_bytes().split_at(text.len() - 4);
    let mut world = World::new(|_| {});
    let [paused, unread] = [(); 2].map(|()| {
        let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
        world.say(peer, first);
        peer
    });
    world.run_for(59_000);
    world.forgive();
    world.run_for(59_000);
    world.say(paused, rest);
    assert_eq!(answers(&mut world, paused), [200]);
    world.long_turn(10_000, |_| {});
    world.turn(|world| world.spare(&[unread]));
    world.say(unread, rest);
    assert_eq!(answers(&mut world, unread), [200]);
}
