//! Rooms that exist only because viewers have asked for them: what they may take from others, and what becomes of them.

use super::kept::{Store, durable, restarted, say};
use super::visit::{Visit, publish, settle};
use super::world::World;
use joblight::config::Auto;
use joblight::internals::engine::Services;
use serde_json::{Value, json};

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

/// A viewer asks for rooms; which of them it is denied.
fn subscribe(world: &mut World, visit: &Visit, rooms: &[String]) -> Vec<Value> {
    world.send(visit.peer, &json!({"type": "subscribe", "rooms": rooms}));
    let ack = world.messages(visit.peer).remove(0);
    assert_eq!(ack["type"], "subscription_ack");
    let denied = ack["payload"]["denied"].as_array().expect("an array");
    denied.iter().map(|denied| denied["room"].clone()).collect()
}

fn rooms(world: &World) -> usize {
    world.engine.inspect().rooms().len()
}

fn check(world: &World) {
    world.engine.inspect().check_invariants();
}

#[test]
fn whoever_asks_for_names_takes_no_room_from_producers_and_their_viewers() {
    let mut world = World::new(|config| config.websocket.max_rooms = 40);
    say(&mut world, "known", 1);
    for attacker in 0..10 {
        let visit = Visit::on(&mut world, "/ws", "");
        let denied = subscribe(&mut world, &visit, &names(&format!("{attacker}-"), 30));
        assert_eq!(denied.len(), if attacker == 0 { 20 } else { 30 });
    }
    assert_eq!(rooms(&world), 11, "a quarter of all, and the producer's");
    let visit = Visit::new(&mut world, &["known"]);
    for number in 0..39 {
        let path = format!("/api/rooms/worker{number}/broadcast");
        let (status, _) = world.call("POST", &path, &json!({"payload": 1}));
        assert_eq!(status, 200, "{number}");
        check(&world);
    }
    let path = "/api/rooms/one-more/broadcast";
    assert_eq!(world.call("POST", path, &json!({"payload": 1})).0, 503);
    assert_eq!(rooms(&world), 40);
    publish(&mut world, "known", 2);
    assert_eq!(visit.heard(&mut world), ["known 2"]);
}

#[test]
fn a_refused_item_takes_no_room_from_viewers() {
    let mut world = World::new(|config| {
        config.websocket.max_rooms = 2;
        config.websocket.max_viewer_rooms = Auto::Number(0);
        config.broadcaster.max_tasks = 1;
    });
    world.report("alive", "started", json!({}));
    let visit = Visit::new(&mut world, &["mine"]);
    let line = "{\"type\":\"document_generated\",\"payload\":{\"taskId\":\"other\"}}\n";
    let head = format!(
        "POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        line.len()
    );
    let producer = world.connect(Services::HTTP, [127, 0, 0, 1]);
    world.say(producer, (head + line).as_bytes());
    world.turn(|_| {});
    assert_eq!(world.messages(visit.peer), [json!(null); 0]);
    assert_eq!(rooms(&world), 2);
    publish(&mut world, "mine", 1);
    assert_eq!(visit.heard(&mut world), ["mine 1"]);
}

#[test]
fn whoever_must_leave_a_room_for_a_producer_is_told_and_the_oldest_room_goes_first() {
    let mut world = World::new(|config| {
        config.websocket.max_rooms = 3;
        config.websocket.max_viewer_rooms = Auto::Number(0);
    });
    let (one, other) = (
        Visit::new(&mut world, &["a", "b"]),
        Visit::new(&mut world, &["a", "c"]),
    );
    publish(&mut world, "d", 1);
    for visit in [&one, &other] {
        let told = world.messages(visit.peer);
        let payload = json!({
            "code": "limit_exceeded",
            "message": "limit exceeded: websocket.max_rooms",
            "rooms": ["a"],
        });
        assert_eq!(
            (&told[0]["type"], &told[0]["payload"]),
            (&json!("error"), &payload)
        );
    }
    check(&world);
    assert_eq!(subscribe(&mut world, &one, &["a".to_owned()]), [json!("a")]);
    // One that a producer speaks in is a producer's from now on.
    publish(&mut world, "b", 1);
    assert_eq!(one.heard(&mut world), ["b 1"]);
    publish(&mut world, "e", 1);
    assert_eq!(other.heard(&mut world), ["error"], "c is gone");
    assert!(one.heard(&mut world).is_empty());
    assert_eq!(
        world
            .call("POST", "/api/rooms/f/broadcast", &json!({"payload": 1}))
            .0,
        503
    );
    check(&world);
}

#[test]
fn several_events_in_one_request_may_take_the_places_of_viewers_rooms() {
    let mut world = World::new(|config| {
        config.websocket.max_rooms = 4;
        config.websocket.max_viewer_rooms = Auto::Number(3);
    });
    let _visit = Visit::new(&mut world, &["a", "b", "c"]);
    let note = |room: &str| json!({"type": "note", "room": room, "payload": 1});
    let many = json!([note("b"), note("d"), note("e"), note("f"), note("g")]);
    assert_eq!(world.call("POST", "/api/events", &many).0, 503);
    assert_eq!(rooms(&world), 3, "nothing was taken");
    let array = json!([note("c"), note("d"), note("e"), note("f")]);
    assert_eq!(world.call("POST", "/api/events", &array).0, 200);
    assert_eq!(rooms(&world), 4);
    check(&world);
}

#[test]
fn the_last_viewer_takes_the_room_along_and_its_session_keeps_the_name() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a", "b", "task:t"]);
    let other = Visit::new(&mut world, &["b"]);
    settle(&mut world);
    world.leave(visit.peer);
    check(&world);
    assert_eq!(rooms(&world), 1, "b has another viewer");
    publish(&mut world, "a", 1);
    publish(&mut world, "b", 2);
    world.report("t", "started", json!({}));
    let again = visit.again(&mut world);
    assert!(again.resumed);
    let recovered = json!({"a": true, "b": true, "task:t": true});
    assert_eq!(again.recovered(), recovered);
    assert_eq!(
        again.missed(),
        ["a 1", "b 2", "task_started", "task_progress"]
    );
    publish(&mut world, "a", 3);
    assert_eq!(again.heard(&mut world), ["a 3"]);
    assert_eq!(other.heard(&mut world), ["b 2"]);
    check(&world);
}

#[test]
fn a_room_that_came_and_went_meanwhile_may_have_been_missed() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a", "task:t"]);
    settle(&mut world);
    world.leave(visit.peer);
    world.report("t", "started", json!({}));
    world.call("DELETE", "/api/tasks/t", &Value::Null);
    assert_eq!(rooms(&world), 0);
    let again = visit.again(&mut world);
    assert_eq!(again.recovered()["task:t"], false);
    // What was gone before it left, it has not missed.
    settle(&mut world);
    world.leave(again.peer);
    let again = visit.again(&mut world);
    assert_eq!(again.recovered(), json!({"a": true, "task:t": true}));
}

#[test]
fn whoever_comes_back_and_finds_no_place_is_told_which_rooms_it_is_not_in() {
    let mut world = World::new(|config| {
        config.websocket.max_rooms = 8;
        config.websocket.max_viewer_rooms = Auto::Number(2);
    });
    let visit = Visit::new(&mut world, &["a", "b"]);
    world.leave(visit.peer);
    let _taker = Visit::new(&mut world, &["c"]);
    let again = visit.again(&mut world);
    let payload = &again.first[0]["payload"];
    assert_eq!(payload["rooms"], json!(["a"]));
    let denied = json!([{"room": "b", "code": "limit_exceeded"}]);
    assert_eq!(payload["denied"], denied);
    assert_eq!(payload["recovered"], json!({"a": true}));
    check(&world);
}

#[test]
fn sessions_that_keep_the_most_names_end_first_when_all_keep_too_many() {
    let mut world = World::new(|config| {
        config.websocket.max_rooms = 0;
        config.websocket.max_viewer_rooms = Auto::Number(100);
    });
    let modest = Visit::new(&mut world, &["m1", "m2"]);
    world.leave(modest.peer);
    let mut greedy = Vec::new();
    for number in 0..5 {
        let visit = Visit::on(&mut world, "/ws", "");
        subscribe(&mut world, &visit, &names(&format!("{number}-"), 40));
        world.leave(visit.peer);
        check(&world);
        assert!(world.engine.inspect().kept_names() <= 100);
        greedy.push(visit);
    }
    assert!(modest.again(&mut world).resumed);
    let resumed = greedy.iter().map(|visit| visit.again(&mut world).resumed);
    assert_eq!(resumed.filter(|resumed| *resumed).count(), 2);
}

#[test]
fn a_restart_makes_no_room_of_a_name_before_its_viewer_is_back() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a", "b", "c"]);
    say(&mut world, "c", 1);
    assert_eq!(visit.heard(&mut world), ["c 1"]);
    settle(&mut world);
    world.leave(visit.peer);
    kept.take(&mut world);
    let mut world = restarted(2, &kept, |_| {});
    assert_eq!(rooms(&world), 1, "c has a log");
    check(&world);
    say(&mut world, "b", 2);
    let again = visit.again(&mut world);
    assert_eq!(again.recovered(), json!({"a": true, "b": true, "c": true}));
    assert_eq!(again.missed(), ["b 2"]);
    kept.take(&mut world);
    let mut world = restarted(3, &kept, |_| {});
    let again = visit.again(&mut world);
    let mut rooms = again.first[0]["payload"]["rooms"].clone();
    rooms
        .as_array_mut()
        .expect("an array")
        .sort_by_key(Value::to_string);
    assert_eq!(rooms, json!(["a", "b", "c"]));
    check(&world);
}

#[test]
fn the_room_of_a_known_task_is_no_viewers_room() {
    let mut world = World::new(|config| {
        config.websocket.max_rooms = 4;
        config.websocket.max_viewer_rooms = Auto::Number(1);
    });
    for task in ["t", "u"] {
        world.report(task, "progress", json!({"progress": 5}));
    }
    let visit = Visit::new(&mut world, &["task:t", "task:u", "a"]);
    check(&world);
    assert_eq!(
        subscribe(&mut world, &visit, &["b".to_owned()]),
        [json!("b")]
    );
    // Nor is one whose task begins while somebody is in it.
    world.send(visit.peer, &json!({"type": "leave_room", "room": "a"}));
    visit.enter(&mut world, &["task:v"]);
    world.report("v", "progress", json!({"progress": 5}));
    world.messages(visit.peer);
    check(&world);
    visit.enter(&mut world, &["a"]);
    for room in ["x", "y"] {
        let path = format!("/api/rooms/{room}/broadcast");
        let (status, _) = world.call("POST", &path, &json!({"payload": 1}));
        assert_eq!(status, if room == "x" { 200 } else { 503 });
    }
    check(&world);
}

#[test]
fn a_client_that_was_put_into_a_room_by_a_call_stays_there() {
    let mut world = World::new(|config| config.websocket.max_rooms = 2);
    let visit = Visit::new(&mut world, &["a"]);
    let path = format!("/api/clients/{}/rooms/vip", visit.id);
    assert!(world.call("PUT", &path, &Value::Null).0 < 300);
    check(&world);
    publish(&mut world, "w", 1);
    assert_eq!(visit.heard(&mut world), ["error"], "a is gone");
    let path = "/api/rooms/x/broadcast";
    assert_eq!(world.call("POST", path, &json!({"payload": 1})).0, 503);
    publish(&mut world, "vip", 2);
    assert_eq!(visit.heard(&mut world), ["vip 2"]);
    check(&world);
}

#[test]
fn clients_of_the_data_dialect_find_a_place_for_the_room_that_all_are_in() {
    let mut world = World::new(|config| {
        config.websocket.max_rooms = 1;
    });
    let visit = Visit::new(&mut world, &["a"]);
    let editor = world.upgrade("/", "");
    publish(&mut world, "all", 1);
    assert_eq!(world.messages(editor).len(), 1);
    assert_eq!(visit.heard(&mut world), ["error"]);
    check(&world);
}
