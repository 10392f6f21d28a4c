//! Who is alive: seed 001's rule, the time-outs around it, and a handshake that never comes.

use super::world::Heard;
use super::world::{PeerId, World};
use joblight::internals::engine::Services;
use serde_json::json;

fn pings(world: &mut World, peer: PeerId) -> Vec<u64> {
    let heard = world.heard(peer).into_iter();
    heard
        .filter_map(|(at, heard)| (heard == Heard::Ping).then_some(at))
        .collect()
}

#[test]
fn a_ping_comes_each_interval_and_a_pong_keeps_the_connection() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.run_for(29_999);
    assert_eq!(pings(&mut world, viewer), [0; 0]);
    world.run_for(10 * 60_000);
    let expected: Vec<u64> = (1..=20).map(|count| count * 30_000).collect();
    assert_eq!(pings(&mut world, viewer), expected);
    assert!(!world.is_closed(viewer));
}

#[test]
fn silence_until_the_next_ping_ends_it() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.set_answers_pings(viewer, false);
    world.run_for(59_999);
    assert_eq!(pings(&mut world, viewer), [30_000]);
    assert!(!world.is_half_closed(viewer) && !world.is_closed(viewer));
    world.run_for(1);
    let last = world.heard(viewer);
    assert_eq!(last.last(), Some(&(60_000, Heard::Close(4408))), "{last:?}");
    world.run_for(1_000);
    assert!(world.is_closed(viewer));
    world.assert_empty();
}

#[test]
fn any_frame_is_a_sign_of_life() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.set_answers_pings(viewer, false);
    world.run_for(45_000);
    world.send(viewer, &json!({"type": "ping"}));
    world.run_for(44_999);
    assert_eq!(pings(&mut world, viewer), [30_000, 60_000]);
    world.run_for(1);
    assert_timed_out(&mut world, viewer, 90_000);
}

#[test]
fn a_gone_peer_that_reads_nothing_is_let_go_too() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.stall(viewer, 0);
    // Its ping waits unread for `websocket.max_backlog_age`, and then the goodbye does.
    world.run_for(30_000 + 60_000 + 5_001);
    assert!(world.is_closed(viewer));
    world.assert_empty();
}

#[test]
fn a_shorter_time_out_ends_it_before_the_next_ping() {
    let mut world = World::new(|config| config.websocket.connection_timeout = 5_000);
    let (dead, alive) = (world.viewer(), world.viewer());
    world.set_answers_pings(dead, false);
    world.run_for(34_999);
    assert_eq!(pings(&mut world, dead), [30_000]);
    world.run_for(1);
    assert_timed_out(&mut world, dead, 35_000);
    world.run_for(60_000);
    assert_eq!(pings(&mut world, alive), [30_000, 60_000, 90_000]);
    assert!(!world.is_closed(alive));
}

#[test]
fn without_pings_the_time_out_alone_counts() {
    let mut world = World::new(|config| {
        config.websocket.heartbeat_interval = 0;
        config.websocket.connection_timeout = 5_000;
    });
    let (silent, talkative) = (world.viewer(), world.viewer());
    for _ in 0..5 {
        world.run_for(999);
        world.send(talkative, &json!({"type": "ping"}));
    }
    world.run_for(5);
    assert_timed_out(&mut world, silent, 5_000);
    assert!(!world.is_closed(talkative));
    assert_eq!(pings(&mut world, talkative), [0; 0]);
}

#[test]
fn with_neither_nothing_ever_wakes() {
    let mut world = World::new(|config| {
        config.websocket.heartbeat_interval = 0;
        config.websocket.connection_timeout = 0;
    });
    let viewer = world.viewer();
    assert_eq!(world.engine.poll_timeout(), None);
    world.run_for(365 * 86_400_000);
    world.send(viewer, &json!({"type": "ping", "payload": {"n": 1}}));
    assert_eq!(world.messages(viewer)[0]["payload"], json!({"n": 1}));
}

#[test]
fn a_handshake_that_does_not_come_is_answered_408() {
    let mut world = World::new(|config| config.websocket.connection_timeout = 5_000);
    let half = world.connect(Services::BOTH, [127, 0, 0, 1]);
    let mute = world.connect(Services::BOTH, [127, 0, 0, 1]);
    world.say(half, b"GET /ws HTTP/1.1\r\nHost: loc");
    for _ in 0..4 {
        world.run_for(1_000);
        world.say(half, b"a");
    }
    world.run_for(999);
    assert_eq!(world.heard(half), []);
    assert!(!world.is_closed(mute));
    world.run_for(1);
    let heard = world.heard(half);
    assert!(
        matches!(heard[..], [(5_000, Heard::Answer(408, _))]),
        "{heard:?}"
    );
    assert!(world.is_closed(half));
    assert!(
        world.is_closed(mute),
        "whoever asked for nothing gets no answer"
    );
    assert_eq!(world.heard(mute), []);
    world.assert_empty();
}

#[test]
fn a_quiet_keep_alive_connection_is_closed_without_a_word() {
    let mut world = World::new(|config| config.websocket.connection_timeout = 5_000);
    let peer = world.connect(Services::BOTH, [127, 0, 0, 1]);
    world.run_for(2_000);
    world.say(peer, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(matches!(
        world.heard(peer)[..],
        [(_, Heard::Answer(200, _))]
    ));
    world.run_for(3_500);
    assert!(!world.is_closed(peer), "its last request is 3.5 s old");
    world.run_for(6_500);
    assert!(world.is_closed(peer));
    assert_eq!(world.heard(peer), []);
    world.assert_empty();
}

/// The server has said why, and closed.
fn assert_timed_out(world: &mut World, viewer: PeerId, at: u64) {
    let heard = world.heard(viewer);
    let [(told_at, Heard::Message(told)), last] = &heard[..] else {
        panic!("no goodbye: {heard:?}");
    };
    assert_eq!(
        (told["type"].as_str(), *told_at),
        (Some("disconnected"), at)
    );
    assert_eq!(told["payload"]["code"], 4408);
    assert_eq!(*last, (at, Heard::Close(4408)));
}
