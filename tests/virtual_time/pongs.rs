//! Clients that never confirm what has arrived: they are asked, twice in vain, and then no more often than they are asked
//! for a sign of life.

use super::visit::Visit;
use super::world::World;
use serde_json::json;

const MINUTES: usize = 60;

/// The pings of an hour in which something happens ten times a second, each answered by what `answer` makes of it.
fn pings_of_an_hour(heartbeat_ms: u64, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) -> usize {
    let mut world = World::new(|config| config.websocket.heartbeat_interval = heartbeat_ms);
    let visit = Visit::new(&mut world, &["r"]);
    world.set_answers_pings(visit.peer, false);
    let mut count = 0;
    for minute in 0..MINUTES * 60 {
        if minute % 6 == 0 {
            world.post("/api/rooms/r/broadcast", json!({"payload": minute}));
        }
        for _ in 0..10 {
            world.run_for(100);
            for ping in world.pings(visit.peer) {
                count += 1;
                if let Some(pong) = answer(&ping) {
                    world.pong(visit.peer, &pong);
                }
            }
        }
        if minute % 20 == 0 {
            world.send(visit.peer, &json!({"type": "ping"}));
        }
        world.heard(visit.peer);
    }
    assert!(!world.is_closed(visit.peer));
    count
}

type Answer = fn(&[u8]) -> Option<Vec<u8>>;

const FRUITLESS: [(&str, Answer); 6] = [
    ("empty", |_| Some(Vec::new())),
    ("cut", |ping| Some(ping[..ping.len().min(9)].to_vec())),
    ("re-encoded", |ping| {
        let digits: String = ping.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(digits.into_bytes())
    }),
    ("of another round", |ping| {
        let mut pong = ping.to_vec();
        if let Some(round) = pong.get_mut(8) {
            *round = round.wrapping_add(77);
        }
        Some(pong)
    }),
    ("longer", |ping| Some([ping, b"!"].concat())),
    ("none", |_| None),
];

#[test]
fn after_two_tries_in_vain_a_client_is_asked_once_a_heartbeat() {
    for (name, answer) in FRUITLESS {
        let count = pings_of_an_hour(30_000, answer);
        assert!(count <= 2 * MINUTES + 8, "{name}: {count} pings in an hour");
    }
}

#[test]
fn without_heartbeats_it_is_asked_every_thirty_seconds() {
    for (name, answer) in FRUITLESS {
        let count = pings_of_an_hour(0, answer);
        assert!(count <= 2 * MINUTES + 8, "{name}: {count} pings in an hour");
        let least = if name == "none" { 1 } else { MINUTES };
        assert!(count >= least, "{name}: {count}: it is not given up");
    }
}

#[test]
fn a_client_that_answers_well_after_all_is_asked_as_before() {
    let mut world = World::new(|config| config.websocket.heartbeat_interval = 0);
    let visit = Visit::new(&mut world, &["r"]);
    world.set_answers_pings(visit.peer, false);
    let mut vain = 0;
    for _ in 0..20 {
        world.post("/api/rooms/r/broadcast", json!({"payload": 1}));
        world.run_for(1_000);
        for _ in world.pings(visit.peer) {
            vain += 1;
            world.pong(visit.peer, b"");
        }
    }
    assert_eq!(vain, 2);
    world.run_for(30_000);
    let asked = world.pings(visit.peer);
    assert_eq!(asked.len(), 1);
    world.pong(visit.peer, &asked[0]);
    for _ in 0..5 {
        world.post("/api/rooms/r/broadcast", json!({"payload": 1}));
        world.run_for(1_000);
        let asked = world.pings(visit.peer);
        assert_eq!(asked.len(), 1);
        world.pong(visit.peer, &asked[0]);
    }
    world.leave(visit.peer);
    assert_eq!(
        visit.again(&mut world).missed(),
        [""; 0],
        "all of it has arrived"
    );
}

#[test]
fn an_answer_to_a_question_that_was_overtaken_is_not_in_vain() {
    let mut world = World::new(|config| config.websocket.heartbeat_interval = 0);
    let visit = Visit::new(&mut world, &["r"]);
    world.set_answers_pings(visit.peer, false);
    let again = json!({"type": "subscribe", "rooms": ["r"], "since": {"r": "start"}});
    for _ in 0..5 {
        world.post("/api/rooms/r/broadcast", json!({"payload": 1}));
        world.run_for(1_000);
        let asked = world.pings(visit.peer);
        assert_eq!(asked.len(), 1, "at once");
        world.send(visit.peer, &again);
        world.pong(visit.peer, &asked[0]);
        world.run_for(1_000);
        let asked = world.pings(visit.peer);
        assert_eq!(asked.len(), 1, "asked anew, at once");
        world.pong(visit.peer, &asked[0]);
    }
}

#[test]
fn whoever_leaves_while_it_is_not_asked_leaves_nothing_behind() {
    let mut world = World::new(|config| config.websocket.heartbeat_interval = 0);
    let visit = Visit::new(&mut world, &["task:t"]);
    world.set_answers_pings(visit.peer, false);
    for _ in 0..4 {
        world.report("t", "started", json!({"restart": true}));
        world.run_for(1_000);
        for _ in world.pings(visit.peer) {
            world.pong(visit.peer, b"");
        }
    }
    world.leave(visit.peer);
    world.call("DELETE", "/api/tasks/t", &serde_json::Value::Null);
    world.assert_empty();
}
