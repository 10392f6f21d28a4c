//! Whose share a connection and a message are counted against (contract section 8): addresses behind proxies, sessions, and
//! what answers cost.

use super::visit::Visit;
use super::world::Heard;
use super::world::{PeerId, World, limit_connections, limit_messages};
use joblight::Config;
use joblight::internals::engine::Services;
use serde_json::{Value, json};
use std::net::IpAddr;

fn proxied(config: &mut Config) {
    config.server.trusted_proxies = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "unix"]
        .map(str::to_owned)
        .into();
}

/// How an upgrade ended: 101, or the status of the answer; a connection that is no WebSocket is left.
fn knock(world: &mut World, address: Option<&str>, headers: &str) -> (PeerId, u16) {
    let address: Option<IpAddr> = address.map(|text| text.parse().expect("an address"));
    let peer = world.connect_from(Services::BOTH, address);
    (peer, ask(world, peer, "/ws", headers))
}

fn ask(world: &mut World, peer: PeerId, target: &str, headers: &str) -> u16 {
    world.ask_upgrade(peer, target, headers);
    let status = match world.heard(peer).first() {
        Some((_, Heard::Answer(status, _))) => *status,
        _ => 101,
    };
    if status != 101 && !world.is_closed(peer) {
        world.leave(peer);
    }
    status
}

fn status(world: &mut World, address: Option<&str>, headers: &str) -> u16 {
    knock(world, address, headers).1
}

#[test]
fn behind_a_proxy_each_address_has_a_share_and_the_proxy_none() {
    let mut world = World::new(|config| {
        proxied(config);
        limit_connections(config, 2);
    });
    let local = Some("127.0.0.1");
    for viewer in [
        "203.0.113.1",
        "203.0.113.2",
        "2001:db8:0:1::1",
        "198.51.100.1:99",
    ] {
        let header = format!("X-Forwarded-For: {viewer}\r\n");
        for expected in [101, 101, 429] {
            assert_eq!(status(&mut world, local, &header), expected, "{viewer}");
        }
    }
    let same = "X-Forwarded-For: 2001:db8:0:1:ffff::9, 10.1.1.1\r\n";
    assert_eq!(
        status(&mut world, local, same),
        429,
        "one host has a whole /64"
    );
    // Another proxy, and the same viewer.
    assert_eq!(
        status(&mut world, None, "X-Forwarded-For: 203.0.113.1\r\n"),
        429
    );
    assert_eq!(
        status(&mut world, Some("::1"), "X-Forwarded-For: 203.0.113.1\r\n"),
        429
    );
    for headers in [
        "",
        "X-Forwarded-For: unknown\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n",
        "X-Real-IP: 203.0.113.1\r\n",
    ] {
        for address in [local, Some("10.2.3.4"), Some("::ffff:127.0.0.1"), None] {
            for _ in 0..5 {
                assert_eq!(status(&mut world, address, headers), 101, "{headers}");
            }
        }
    }
}

#[test]
fn strangers_are_not_believed() {
    let mut world = World::new(|config| {
        proxied(config);
        limit_connections(config, 1);
    });
    let address = Some("203.0.113.1");
    assert_eq!(
        status(&mut world, address, "X-Forwarded-For: 198.51.100.1\r\n"),
        101
    );
    for headers in [
        "X-Forwarded-For: 198.51.100.2\r\n",
        "X-Forwarded-For: 127.0.0.1\r\n",
        "Forwarded: for=127.0.0.1\r\n",
    ] {
        assert_eq!(status(&mut world, address, headers), 429, "{headers}");
    }
    // What a client says of itself stands before what the proxy adds.
    let added = |claim: &str| format!("X-Forwarded-For: {claim}, 192.0.2.9\r\n");
    assert_eq!(
        status(&mut world, Some("127.0.0.1"), &added("1.1.1.1")),
        101
    );
    assert_eq!(
        status(&mut world, Some("127.0.0.1"), &added("unknown")),
        429
    );
}

#[test]
fn a_kept_connection_of_a_proxy_carries_requests_of_many() {
    let mut world = World::new(|config| {
        proxied(config);
        limit_connections(config, 1);
    });
    let (first, _) = knock(
        &mut world,
        Some("127.0.0.1"),
        "X-Forwarded-For: 203.0.113.1\r\n",
    );
    let shared = world.connect(Services::BOTH, [127, 0, 0, 1]);
    world.ask_upgrade(shared, "/ws", "X-Forwarded-For: 203.0.113.1\r\n");
    assert!(matches!(
        world.heard(shared)[..],
        [(_, Heard::Answer(429, _))]
    ));
    assert_eq!(
        ask(
            &mut world,
            shared,
            "/ws",
            "X-Forwarded-For: 203.0.113.2\r\n"
        ),
        101
    );
    let clients = world.document("/api/clients");
    let mut addresses: Vec<&str> = clients["clients"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|client| client["address"].as_str())
        .collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["203.0.113.1", "203.0.113.2"]);
    world.leave(first);
}

#[test]
fn one_header_is_read_and_which_is_configured() {
    for (name, value) in [
        ("Forwarded", "for=\"203.0.113.1:4711\""),
        ("X-Real-IP", "203.0.113.1"),
    ] {
        let mut world = World::new(|config| {
            proxied(config);
            config.server.client_address_header = name.to_owned();
            limit_connections(config, 1);
        });
        let header = format!("{name}: {value}\r\nX-Forwarded-For: 198.51.100.1\r\n");
        let statuses = [(); 2].map(|()| status(&mut world, Some("127.0.0.1"), &header));
        assert_eq!(statuses, [101, 429], "{name}");
    }
}

#[test]
fn who_comes_back_to_its_session_is_not_counted() {
    let mut world = World::new(|config| limit_connections(config, 1));
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    for _ in 0..5 {
        let again = visit.again(&mut world);
        assert!(again.resumed);
        let over = visit.again(&mut world);
        assert!(over.resumed, "while its old connection is there as well");
        world.leave(over.peer);
    }
    assert_eq!(
        status(&mut world, Some("127.0.0.1"), ""),
        429,
        "a new client is counted"
    );
    let target = format!("/ws?session={}x", visit.secret);
    let peer = world.connect(Services::BOTH, [127, 0, 0, 1]);
    assert_eq!(
        ask(&mut world, peer, &target, ""),
        429,
        "and so is one that makes a session up"
    );
}

#[test]
fn a_reconnection_refills_nothing() {
    let mut world = World::new(|config| limit_messages(config, 10));
    let visit = Visit::new(&mut world, &[]);
    let said = |world: &mut World, peer: PeerId| {
        world.send(peer, &json!({"type": "ping"}));
        world.messages(peer).pop().expect("an answer")["type"].clone()
    };
    for _ in 0..9 {
        assert_eq!(said(&mut world, visit.peer), "pong");
    }
    assert_eq!(said(&mut world, visit.peer), "error");
    let over = visit.again(&mut world);
    assert_eq!(
        said(&mut world, over.peer),
        "error",
        "its old connection was there"
    );
    world.leave(over.peer);
    let again = visit.again(&mut world);
    assert_eq!(said(&mut world, again.peer), "error", "it was away");
    world.leave(again.peer);
    world.run_for(12_500);
    let rested = visit.again(&mut world);
    let answers = [(); 3].map(|()| said(&mut world, rested.peer));
    assert_eq!(
        answers,
        [json!("pong"), json!("pong"), json!("error")],
        "two tokens came meanwhile"
    );
    world.leave(rested.peer);
    world.run_for(400_000);
    world.assert_empty();
}

#[test]
fn long_answers_cost_more_messages() {
    let text = "x".repeat(16 * 1024);
    let left = |message: Value| {
        let mut world = World::new(|config| limit_messages(config, 10));
        for _ in 0..5 {
            world.post("/api/rooms/r/broadcast", json!({"payload": text}));
        }
        let viewer = world.viewer();
        world.send(viewer, &message);
        world.messages(viewer);
        let mut left = 0;
        loop {
            world.send(viewer, &json!({"type": "ping"}));
            match world.messages(viewer)[0]["type"] == "pong" {
                true => left += 1,
                false => return left,
            }
        }
    };
    assert_eq!(left(json!({"type": "ping"})), 9);
    assert_eq!(
        left(json!({"type": "history", "room": "r", "since": "start"})),
        4
    );
    assert_eq!(
        left(json!({"type": "history", "room": "r", "since": "start", "limit": 2})),
        7
    );
    assert_eq!(
        left(json!({"type": "subscribe", "rooms": ["r"], "since": {"r": "start"}})),
        4
    );
    assert_eq!(
        left(json!({"type": "ping", "payload": {"text": "x".repeat(33_000)}})),
        7
    );
}

#[test]
fn one_address_does_not_take_every_place() {
    let mut world = World::new(|config| {
        proxied(config);
        config.websocket.max_clients_per_address = 2;
    });
    let address = Some("203.0.113.1");
    let (first, _) = knock(&mut world, address, "");
    let visit = Visit::on(&mut world, "/ws", "X-Forwarded-For: 203.0.113.1\r\n");
    assert_eq!(status(&mut world, address, ""), 429);
    assert_eq!(
        status(
            &mut world,
            Some("127.0.0.1"),
            "X-Forwarded-For: 203.0.113.1\r\n"
        ),
        429
    );
    assert_eq!(status(&mut world, Some("203.0.113.2"), ""), 101);
    for _ in 0..5 {
        assert_eq!(
            status(&mut world, Some("127.0.0.1"), ""),
            101,
            "a proxy has no share"
        );
    }
    // A page hears it, and when to come back.
    let page = world.connect_from(
        Services::BOTH,
        address.map(|text| text.parse().expect("an address")),
    );
    world.ask_upgrade(page, "/", "Origin: http://localhost\r\n");
    let heard: Vec<Heard> = world
        .heard(page)
        .into_iter()
        .map(|(_, heard)| heard)
        .collect();
    let [Heard::Message(notice), Heard::Close(4429)] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(notice["data"]["reason"], "too many clients");
    assert!(
        notice["data"]["delayMs"].as_u64() >= Some(1_000),
        "{notice}"
    );
    // Whoever takes over its own connection takes no other's place.
    let again = visit.again(&mut world);
    assert!(again.resumed);
    world.leave(again.peer);
    let mut inside = Vec::new();
    for _ in 0..3 {
        inside.push(knock(&mut world, address, ""));
    }
    let statuses: Vec<u16> = inside.iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, [101, 429, 429]);
    world.leave(first);
    assert_eq!(status(&mut world, address, ""), 101);
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["refused"], 5, "{statistics}");
}

#[test]
fn one_address_does_not_take_every_connection() {
    let mut world = World::new(|config| {
        proxied(config);
        config.server.max_connections_per_address = 3;
    });
    let connect = |world: &mut World, address: [u8; 4]| world.connect(Services::BOTH, address);
    let stranger = [203, 0, 113, 1];
    let kept = [(); 3].map(|()| connect(&mut world, stranger));
    for _ in 0..40 {
        let peer = connect(&mut world, stranger);
        match &world.heard(peer)[..] {
            [(_, Heard::Answer(503, problem))] => {
                assert_eq!(problem["code"], "limit_exceeded");
                assert!(
                    problem["detail"]
                        .as_str()
                        .expect("a detail")
                        .contains("server.max_connections_per_address")
                );
                assert_eq!(world.retry_after(peer), Some(5));
            }
            other => panic!("{other:?}"),
        }
        assert!(world.is_closed(peer));
    }
    assert_eq!(world.engine.inspect().connections(), 3);
    world.run_for(10_000);
    assert_eq!(world.engine.inspect().connections(), 3);
    for _ in 0..10 {
        let other = connect(&mut world, [203, 0, 113, 2]);
        assert_eq!(world.heard(other), []);
        world.leave(other);
        let proxy = connect(&mut world, [127, 0, 0, 1]);
        assert_eq!(world.heard(proxy), []);
    }
    world.leave(kept[0]);
    let peer = connect(&mut world, stranger);
    assert_eq!(world.heard(peer), []);
}

#[test]
fn whoever_goes_on_beyond_that_is_told_no_more_and_holds_nothing() {
    let mut world = World::new(|config| config.server.max_connections_per_address = 2);
    for _ in 0..200 {
        let peer = world.connect(Services::BOTH, [203, 0, 113, 1]);
        world.set_leaves(peer, false);
        // The first look at a connection that is new comes when it says something.
        world.say(peer, b"GET / HTTP/1.1\r\n");
    }
    let peers = world.engine.inspect().connections();
    assert!((2..=2 + 16).contains(&peers), "{peers}");
    world.run_for(10_000);
    let peers = world.engine.inspect().connections();
    assert!(peers <= 2 + 16, "{peers}");
    world.run_for(600_000);
    world.assert_empty();
}
