//! WebSockets that have come before the store was read: they are let in, told, counted and sent away like all others.

use super::kept::{Store, batch, durable, tell};
use super::visit::Visit;
use super::world::Heard;
use super::world::{PeerId, World, limit_connections};
use joblight::Config;
use joblight::internals::engine::Input;
use serde_json::{Value, json};

/// A server whose store has refused to open.
fn waiting(change: impl FnOnce(&mut Config)) -> World {
    let mut world = World::with_seed(2, change);
    let now = world.now();
    world.turn(|world| world.engine.handle_input(now, Input::StoreOpening));
    let reason = "kept.db: in use".to_owned();
    world.turn(|world| world.engine.handle_input(now, Input::StoreUnopened(reason)));
    world
}

/// The store is read, and keeps the one batch that this records.
fn open(world: &mut World, kept: &mut Store) {
    let now = world.now();
    let restored = kept.restored();
    world.turn(|world| world.engine.handle_input(now, Input::StoreSlice(&restored)));
    world.turn(|world| world.engine.handle_input(now, Input::StoreRead));
    let facts = batch(world).expect("facts");
    kept.keep(world, facts);
}

/// The code and the payload of the goodbye that a peer has heard.
fn goodbye(world: &mut World, peer: PeerId) -> (u16, Value) {
    let heard = world.heard(peer);
    let code = heard.iter().find_map(|(_, heard)| match heard {
        Heard::Close(code) => Some(*code),
        _ => None,
    });
    let notice = heard.iter().find_map(|(_, heard)| match heard {
        Heard::Message(message) if message["type"] == "disconnected" => Some(message),
        _ => None,
    });
    let notice = notice.unwrap_or(&Value::Null);
    let payload = notice.get("payload").unwrap_or(&notice["data"]).clone();
    (code.expect("a close frame"), payload)
}

#[test]
fn whoever_comes_while_guests_wait_waits_behind_them() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    kept.take(&mut world);
    let mut world = waiting(|_| {});
    let target = format!("/ws?session={}", visit.secret);
    for _ in 0..300 {
        world.upgrade("/ws", "");
    }
    let stale = world.upgrade(&target, "");
    open(&mut world, &mut kept);
    assert!(world.messages(stale).is_empty(), "it waits still");
    let live = world.upgrade(&target, "");
    world.run_for(10);
    assert!(!world.is_closed(live), "it is the newer one");
    assert_eq!(world.messages(live)[0]["payload"]["resumed"], true);
    assert_eq!(goodbye(&mut world, stale).0, 1008);
}

#[test]
fn guests_are_told_when_to_come_back_after_a_shutdown() {
    let mut world = waiting(|_| {});
    let pack = "Sec-WebSocket-Protocol: joblight.msgpack\r\n";
    let guests: Vec<PeerId> = [("/ws", ""), ("/", ""), ("/ws?batch=1", ""), ("/ws", pack)]
        .into_iter()
        .cycle()
        .take(40)
        .map(|(target, headers)| world.upgrade(target, headers))
        .collect();
    let connection = world.upgrade("/backend", "");
    world.shut_down();
    let mut delays = Vec::new();
    for guest in guests {
        let (code, payload) = goodbye(&mut world, guest);
        assert_eq!((code, &payload["code"]), (1001, &json!(1001)), "{payload}");
        assert_eq!(payload["reconnect"], true);
        delays.push(payload["delayMs"].as_u64().expect("a delay"));
    }
    delays.sort_unstable();
    delays.dedup();
    assert!(delays[0] >= 1000 && delays.len() > 20, "spread: {delays:?}");
    assert_eq!(goodbye(&mut world, connection), (1001, Value::Null));
}

#[test]
fn a_guest_without_a_sign_of_life_is_told_so() {
    let mut world = waiting(|_| {});
    let guest = world.upgrade("/ws", "");
    world.set_answers_pings(guest, false);
    world.run_for(100_000);
    let (code, payload) = goodbye(&mut world, guest);
    assert_eq!((code, &payload["code"]), (4408, &json!(4408)), "{payload}");
    assert!(payload["delayMs"].as_u64().expect("a delay") >= 1000);
}

#[test]
fn a_waiting_application_takes_no_clients_place() {
    let mut world = waiting(|config| config.websocket.max_clients = 2);
    world.upgrade("/ws", "");
    world.upgrade("/backend", "");
    let second = world.upgrade("/ws", "");
    let third = world.upgrade("/ws", "");
    let heard = world.heard(third);
    assert!(
        matches!(heard[..], [(_, Heard::Answer(503, _))]),
        "{heard:?}"
    );
    open(&mut world, &mut Store::default());
    assert_eq!(world.messages(second)[0]["type"], "connected");
}

#[test]
fn a_guest_that_finds_no_room_is_counted_as_refused_and_uses_nothing_up() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    tell(&mut world, "t", "started", json!({}));
    kept.take(&mut world);
    let mut world = waiting(|config| {
        config.websocket.max_rooms = 1;
        limit_connections(config, 2);
    });
    let guests = [(); 2].map(|()| world.upgrade("/", ""));
    open(&mut world, &mut kept);
    for guest in guests {
        let (code, payload) = goodbye(&mut world, guest);
        assert_eq!((code, &payload["code"]), (1013, &json!(1013)), "{payload}");
    }
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["refused"], 2, "{statistics}");
    world.viewer();
}
