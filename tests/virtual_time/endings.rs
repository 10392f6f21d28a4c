//! Limits of a minute, and the server's own end (contract sections 8 and 9).

use super::masked::{CLOSE, masked};
use super::world::Heard;
use super::world::{PeerId, World, limit_connections, limit_messages};
use joblight::internals::engine::Services;
use serde_json::{Value, json};

#[test]
fn messages_come_in_a_burst_and_then_at_their_rate() {
    let mut world = World::new(|config| limit_messages(config, 10));
    let viewer = world.viewer();
    world.run_for(5_000);
    let ping = |world: &mut World| {
        world.send(viewer, &json!({"type": "ping"}));
        let message = world.messages(viewer).pop().expect("an answer");
        message["payload"]["code"]
            .as_str()
            .unwrap_or("pong")
            .to_owned()
    };
    for _ in 0..10 {
        assert_eq!(ping(&mut world), "pong");
    }
    world.run_for(5_999);
    assert_eq!(ping(&mut world), "rate_limited");
    world.run_for(1);
    assert_eq!(ping(&mut world), "pong", "a tenth of a minute later");
    assert_eq!(ping(&mut world), "rate_limited");
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["messages"]["totalReceived"], 13);
    assert_eq!(statistics["messages"]["receivedPerMinute"], 13);
    world.run_for(61_000);
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["messages"]["receivedPerMinute"], 0);
}

#[test]
fn whoever_does_not_stop_is_closed() {
    let mut world = World::new(|config| limit_messages(config, 10));
    let viewer = world.viewer();
    for _ in 0..20 {
        world.send(viewer, &json!({"type": "ping"}));
    }
    let heard = world.heard(viewer);
    assert_eq!(
        heard.last().map(|(_, heard)| heard),
        Some(&Heard::Close(4429))
    );
    let (_, Heard::Message(notice)) = &heard[heard.len() - 2] else {
        panic!("{heard:?}")
    };
    assert_eq!(notice["payload"]["code"], 4429);
    assert_eq!(notice["payload"]["reconnect"], true);
}

#[test]
fn connections_are_limited_by_address() {
    let mut world = World::new(|config| limit_connections(config, 3));
    let status = |world: &mut World| {
        let peer = world.upgrade("/ws", "");
        let heard = world.heard(peer);
        if !world.is_closed(peer) {
            world.leave(peer);
        }
        match &heard[0].1 {
            Heard::Answer(status, _) => *status,
            _ => 101,
        }
    };
    for expected in [101, 101, 101, 429, 429] {
        assert_eq!(status(&mut world), expected);
        world.run_for(100);
    }
    world.run_for(60_000);
    assert_eq!(status(&mut world), 101);
    world.run_for(180_000);
    world.assert_empty();
}

fn goodbye(world: &mut World, viewer: PeerId) -> Value {
    match &world.heard(viewer)[..] {
        [(_, Heard::Message(message)), (_, Heard::Close(1001))] => message.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_end_is_announced_and_spread() {
    let mut world = World::new(|_| {});
    let viewers: Vec<PeerId> = (0..20).map(|_| world.viewer()).collect();
    world.shut_down();
    let mut delays = Vec::new();
    for viewer in viewers {
        let message = goodbye(&mut world, viewer);
        let payload = &message["payload"];
        assert_eq!(message["type"], "disconnected");
        assert_eq!(
            (&payload["code"], &payload["reconnect"]),
            (&json!(1001), &json!(true))
        );
        delays.push(payload["delayMs"].as_u64().expect("a delay"));
        assert!(world.is_closed(viewer));
    }
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 10, "spread, not at once: {delays:?}");
    assert!(!world.listens);
    assert!(world.stopped, "everybody has gone, nothing is waited for");
}

#[test]
fn whoever_does_not_go_has_until_the_time_out() {
    let mut world = World::new(|config| config.server.shutdown_timeout = 3_000);
    let (polite, deaf, stubborn) = (world.viewer(), world.viewer(), world.viewer());
    world.stall(deaf, 5);
    world.set_leaves(stubborn, false);
    world.shut_down();
    assert!(world.is_closed(polite) && !world.is_closed(deaf) && !world.is_closed(stubborn));
    world.say(stubborn, &masked(CLOSE, &1001_u16.to_be_bytes()));
    assert!(!world.stopped);
    world.run_for(2_999);
    assert!(!world.stopped);
    world.run_for(1);
    assert!(world.stopped && world.is_closed(deaf) && world.is_closed(stubborn));
}

#[test]
fn a_request_under_way_is_answered_and_new_ones_are_told_to_wait() {
    let mut world = World::new(|_| {});
    let busy = world.connect(Services::BOTH, [127, 0, 0, 1]);
    let idle = world.connect(Services::BOTH, [127, 0, 0, 1]);
    world.say(busy, b"GET /health HTTP/1.1\r\nHost: local");
    world.shut_down();
    assert!(!world.is_closed(idle), "a health check may still ask");
    world.say(busy, b"host\r\n\r\n");
    let heard = world.heard(busy);
    assert!(
        matches!(heard[..], [(_, Heard::Answer(503, _))]),
        "{heard:?}"
    );
    assert!(world.is_closed(busy) && world.is_closed(idle) && world.stopped);
}

#[test]
fn a_second_signal_and_no_grace_end_it_at_once() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.set_leaves(viewer, false);
    world.shut_down();
    assert!(!world.stopped);
    world.shut_down();
    assert!(world.stopped);
    let mut world = World::new(|config| config.server.shutdown_timeout = 0);
    let viewer = world.viewer();
    world.set_leaves(viewer, false);
    world.shut_down();
    world.run_for(1);
    assert!(world.stopped, "0: no grace");
}
