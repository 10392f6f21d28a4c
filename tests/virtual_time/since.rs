//! What a client gets that names a place in a log, or its start (contract section 5.4): on every way into a room.

use super::kept::{Store, durable, restarted};
use super::visit::{Visit, brief, position_of, publish, settle};
use super::world::{PeerId, World};
use joblight::Config;
use serde_json::{Value, json};

fn short_logs(config: &mut Config) {
    config.websocket.message_queue_size = 3;
}

/// What a subscription brings: what was recovered, and the messages behind the acknowledgement.
fn subscribe(world: &mut World, peer: PeerId, wish: Value) -> (Value, Vec<Value>) {
    let mut message = wish;
    message["type"] = json!("subscribe");
    world.send(peer, &message);
    let mut messages = world.messages(peer);
    let ack = messages.remove(0);
    assert_eq!(ack["type"], "subscription_ack", "{ack}");
    assert_eq!(ack["payload"]["denied"], json!([]));
    for message in &messages {
        let Some(room) = message["room"].as_str() else {
            continue;
        };
        let position = ack["payload"]["positions"][room].as_str();
        let (_, end) = position.and_then(|at| at.split_once(':')).expect("a place");
        let end: u64 = end.parse().expect("an offset");
        let offset = message["offset"].as_u64().expect("an offset");
        assert!(offset <= end, "beyond where it was said to be: {message}");
    }
    (ack["payload"]["recovered"].clone(), messages)
}

fn enter(
    world: &mut World,
    peer: PeerId,
    room: &str,
    since: impl Into<Value>,
) -> (Value, Vec<String>) {
    let wish = json!({"rooms": [room], "since": {room: since.into()}});
    let (recovered, messages) = subscribe(world, peer, wish);
    (recovered[room].clone(), brief(&messages))
}

fn generate(world: &mut World, task: &str, number: u64) {
    let payload = json!({"taskId": task, "n": number});
    let event = json!({"type": "document_generated", "payload": payload});
    world.post("/api/events", event);
}

#[test]
fn start_gives_the_whole_log_and_then_the_present() {
    let mut world = World::new(|_| {});
    for number in 1..=3 {
        publish(&mut world, "a", number);
    }
    let viewer = world.viewer();
    let (recovered, missed) = enter(&mut world, viewer, "a", "start");
    assert_eq!(
        (recovered, missed),
        (json!(true), vec!["a 1".into(), "a 2".into(), "a 3".into()])
    );
    publish(&mut world, "a", 4);
    assert_eq!(brief(&world.messages(viewer)), ["a 4"]);
}

#[test]
fn start_of_a_log_that_has_dropped_entries_gives_the_rest_and_says_so() {
    let mut world = World::new(short_logs);
    for number in 1..=5 {
        publish(&mut world, "a", number);
    }
    let viewer = world.viewer();
    let (recovered, missed) = enter(&mut world, viewer, "a", "start");
    assert_eq!(recovered, false);
    assert_eq!(missed, ["a 3", "a 4", "a 5"]);
    publish(&mut world, "a", 6);
    assert_eq!(brief(&world.messages(viewer)), ["a 6"]);
}

#[test]
fn a_room_that_is_new_has_lost_nothing() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    let (recovered, missed) = enter(&mut world, viewer, "a", "start");
    assert_eq!((recovered, missed.len()), (json!(true), 0));
    publish(&mut world, "a", 1);
    assert_eq!(brief(&world.messages(viewer)), ["a 1"]);
}

#[test]
fn a_position_that_means_nothing_here_brings_what_is_there() {
    let mut world = World::new(short_logs);
    let old = position_of(&mut world, "a");
    let unknown = json!("123456:1");
    for number in 1..=5 {
        publish(&mut world, "a", number);
    }
    let end = position_of(&mut world, "a");
    let (epoch, _) = end
        .as_str()
        .and_then(|end| end.split_once(':'))
        .expect("a position");
    let beyond = json!(format!("{epoch}:8"));
    for since in [old, unknown, beyond] {
        let viewer = world.viewer();
        let (recovered, missed) = enter(&mut world, viewer, "a", since.clone());
        assert_eq!(recovered, false, "{since}");
        assert_eq!(missed, ["a 4", "a 5", "a 0"], "{since}");
        publish(&mut world, "b", 0);
        assert_eq!(world.messages(viewer).len(), 0, "{since}");
    }
    let viewer = world.viewer();
    let (recovered, missed) = enter(&mut world, viewer, "nowhere", "123456:1");
    assert_eq!((recovered, missed.len()), (json!(false), 0));
}

#[test]
fn a_task_tells_its_documents_then_its_state_then_what_is_new() {
    let mut world = World::new(|_| {});
    world.report("t", "started", json!({"total": 4}));
    generate(&mut world, "t", 1);
    generate(&mut world, "t", 2);
    world.report("t", "progress", json!({"current": 2}));
    let viewer = world.viewer();
    let wish = json!({"taskIds": ["t"], "rooms": ["task:t"], "since": {"task:t": "start"}});
    let (recovered, messages) = subscribe(&mut world, viewer, wish);
    assert_eq!(recovered, json!({"task:t": true}));
    let kinds = [
        "task_started",
        "document_generated",
        "document_generated",
        "task_progress",
    ];
    assert_eq!(brief(&messages), kinds, "each once, though named twice");
    let state = &messages[3]["payload"];
    assert_eq!(
        (&state["snapshot"], &state["current"]),
        (&json!(true), &json!(2))
    );
    generate(&mut world, "t", 3);
    assert_eq!(brief(&world.messages(viewer)), ["document_generated"]);
}

#[test]
fn a_member_that_asks_for_the_start_gets_it() {
    let mut world = World::new(|_| {});
    world.report("t", "started", json!({"total": 4}));
    generate(&mut world, "t", 1);
    let visit = Visit::new(&mut world, &["task:t"]);
    generate(&mut world, "t", 2);
    settle(&mut world);
    world.leave(visit.peer);
    // The page was loaded again: it knows its session, and has forgotten its list.
    let again = visit.again(&mut world);
    assert_eq!(again.missed(), ["task_progress"]);
    let wish = json!({"taskIds": ["t"], "since": {"task:t": "start"}});
    let (recovered, messages) = subscribe(&mut world, again.peer, wish);
    assert_eq!(recovered, json!({"task:t": true}));
    let kinds = [
        "task_started",
        "document_generated",
        "document_generated",
        "task_progress",
    ];
    assert_eq!(brief(&messages), kinds);
    assert_eq!(messages[3]["payload"]["snapshot"], true);
    world.report("t", "progress", json!({"current": 3}));
    world.run_for(1_000);
    let delta = &world.messages(again.peer)[0];
    assert_eq!(delta["payload"].get("snapshot"), None, "{delta}");
    settle(&mut world);
    world.leave(again.peer);
    assert_eq!(again.again(&mut world).missed(), ["task_progress"]);
}

#[test]
fn a_member_without_a_place_in_mind_gets_nothing_twice() {
    let mut world = World::new(|_| {});
    publish(&mut world, "a", 1);
    let visit = Visit::new(&mut world, &["a"]);
    publish(&mut world, "a", 2);
    visit.heard(&mut world);
    let (recovered, messages) = subscribe(&mut world, visit.peer, json!({"rooms": ["a"]}));
    assert_eq!((recovered, messages.len()), (json!({}), 0));
}

#[test]
fn a_member_that_lags_and_names_where_it_will_be_misses_nothing() {
    let mut world = World::new(|config| config.websocket.max_outbox_size = 400);
    let visit = Visit::new(&mut world, &["a"]);
    settle(&mut world);
    world.stall(visit.peer, 0);
    for number in 0..20 {
        publish(&mut world, "a", number);
    }
    let end = position_of(&mut world, "a");
    let wish = json!({"type": "subscribe", "rooms": ["a"], "since": {"a": end}});
    world.send(visit.peer, &wish);
    world.read(visit.peer, None);
    world.run_for(1_000);
    let mut heard = visit.heard(&mut world);
    heard.retain(|message| message.starts_with("a "));
    let all: Vec<String> = (0..20)
        .chain([0])
        .map(|number| format!("a {number}"))
        .collect();
    assert_eq!(heard, all);
}

#[test]
fn a_slow_reader_gets_a_long_log_in_order_and_once() {
    let mut world = World::new(|config| config.websocket.max_outbox_size = 400);
    for number in 0..50 {
        publish(&mut world, "a", number);
    }
    let viewer = world.viewer();
    world.stall(viewer, 100);
    let wish = json!({"type": "subscribe", "rooms": ["a"], "since": {"a": "start"}});
    world.send(viewer, &wish);
    publish(&mut world, "a", 50);
    while world.unsent_bytes(viewer) > 0 {
        world.read(viewer, Some(300));
    }
    world.read(viewer, None);
    let heard = brief(&world.messages(viewer));
    let all = (0..=50).map(|number| format!("a {number}"));
    let all: Vec<String> = ["subscription_ack".to_owned()]
        .into_iter()
        .chain(all)
        .collect();
    assert_eq!(heard, all);
}

#[test]
fn a_session_that_has_lost_entries_gets_those_that_are_there() {
    let mut world = World::new(short_logs);
    let visit = Visit::new(&mut world, &["a", "b"]);
    settle(&mut world);
    world.leave(visit.peer);
    for number in 1..=5 {
        publish(&mut world, "a", number);
        publish(&mut world, "b", number);
    }
    let again = visit.again(&mut world);
    assert_eq!(again.recovered(), json!({"a": false, "b": false}));
    let there = ["a 3", "b 3", "a 4", "b 4", "a 5", "b 5"];
    assert_eq!(again.missed(), there);
    settle(&mut world);
    world.leave(again.peer);
    publish(&mut world, "a", 6);
    let third = again.again(&mut world);
    assert_eq!(third.recovered(), json!({"a": true, "b": true}));
    assert_eq!(third.missed(), ["a 6"]);
}

#[test]
fn a_loss_on_joining_that_may_not_have_arrived_is_told_again_with_all_that_is_there() {
    for room in ["a", "quiet"] {
        let mut world = World::new(|_| {});
        publish(&mut world, "a", 1);
        publish(&mut world, "a", 2);
        let visit = Visit::new(&mut world, &[]);
        world.set_answers_pings(visit.peer, false);
        let (recovered, first) = enter(&mut world, visit.peer, room, "123456:1");
        assert_eq!(recovered, false);
        world.leave(visit.peer);
        let again = visit.again(&mut world);
        assert_eq!(again.recovered()[room], false, "{room}");
        assert_eq!(again.missed(), first);
        settle(&mut world);
        world.leave(again.peer);
        let third = again.again(&mut world);
        assert_eq!(third.recovered()[room], true, "{room}: it has arrived");
        assert_eq!(third.missed().len(), 0);
    }
}

#[test]
fn a_reader_that_falls_behind_the_log_gets_what_is_left_of_it() {
    let mut world = World::new(|config| {
        short_logs(config);
        config.websocket.max_outbox_size = 200;
    });
    let visit = Visit::new(&mut world, &["a"]);
    settle(&mut world);
    world.stall(visit.peer, 0);
    for number in 0..20 {
        publish(&mut world, "a", number);
    }
    world.read(visit.peer, None);
    let heard = visit.heard(&mut world);
    let told = heard
        .iter()
        .position(|message| message == "subscription_ack");
    let told = told.unwrap_or_else(|| panic!("told of the loss: {heard:?}"));
    assert_eq!(heard[told + 1..], ["a 17", "a 18", "a 19"]);
    publish(&mut world, "a", 20);
    assert_eq!(visit.heard(&mut world), ["a 20"]);
}

#[test]
fn batches_and_message_pack_carry_it_too() {
    let mut world = World::new(short_logs);
    for number in 1..=5 {
        publish(&mut world, "a", number);
    }
    let header = "Sec-WebSocket-Protocol: joblight.msgpack\r\n";
    let peer = world.upgrade("/ws?batch=1", header);
    world.messages(peer);
    let (recovered, missed) = enter(&mut world, peer, "a", "start");
    assert_eq!(recovered, false);
    assert_eq!(missed, ["a 3", "a 4", "a 5"]);
}

/// Reports an event and waits for no answer.
fn tell(world: &mut World, event: Value) {
    world.turn(|world| world.take_event(&event));
}

/// A log holds so many entries, and a task may bring forth more.
#[test]
fn a_running_task_that_has_outgrown_its_log_admits_it() {
    let short_lived = |config: &mut Config| {
        config.broadcaster.keep_completed = 60_000;
        config.broadcaster.keep_failed = 60_000;
        config.websocket.message_queue_size = 1;
    };
    let mut world = durable(short_lived);
    let mut kept = Store::default();
    for task in ["t", "u"] {
        let payload = json!({"taskId": task});
        for kind in ["task_started", "document_generated"] {
            tell(&mut world, json!({"type": kind, "payload": payload}));
        }
    }
    kept.take(&mut world);
    world.run_for(200_000);
    let viewer = world.viewer();
    let (recovered, missed) = enter(&mut world, viewer, "task:t", "start");
    assert_eq!(
        (recovered, missed),
        (
            json!(false),
            vec!["document_generated".to_owned(), "task_progress".to_owned()]
        )
    );
    world.leave(viewer);
    kept.take(&mut world);
    let mut world = restarted(2, &kept, short_lived);
    for task in ["t", "u"] {
        let viewer = world.viewer();
        let (recovered, _) = enter(&mut world, viewer, &format!("task:{task}"), "start");
        assert_eq!(recovered, false, "{task}");
        world.leave(viewer);
        let payload = json!({"taskId": task});
        let ended = json!({"type": "task_completed", "payload": payload});
        tell(&mut world, ended);
    }
    kept.take(&mut world);
    world.run_for(3_600_000);
    kept.take(&mut world);
    world.assert_empty();
}

#[test]
fn a_task_named_without_its_room_is_pointed_out() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    let wish = json!({"type": "subscribe", "taskIds": ["t"], "since": {"t": "start"}});
    world.send(viewer, &wish);
    let error = &world.messages(viewer)[0]["payload"];
    assert_eq!(error["code"], "invalid_message");
    let message = error["message"].as_str().expect("a text");
    assert!(
        message.contains("since.t") && message.contains("task:t"),
        "{message}"
    );
    // What is not subscribed to may be named: an acknowledgement's positions may be sent back whole.
    let wish = json!({"type": "subscribe", "taskIds": ["t"], "rooms": ["t"], "since": {"t": "start", "x": "start"}});
    world.send(viewer, &wish);
    let ack = &world.messages(viewer)[0]["payload"];
    assert_eq!(ack["recovered"], json!({"t": true}));
}

#[test]
fn history_knows_the_start_on_both_ways() {
    let mut world = World::new(short_logs);
    for number in 1..=3 {
        publish(&mut world, "a", number);
    }
    let viewer = world.viewer();
    for is_complete in [true, false] {
        let page = world.document("/api/rooms/a/history?since=start");
        assert_eq!(page["complete"], is_complete);
        assert_eq!(page["messages"].as_array().map(Vec::len), Some(3));
        let wish = json!({"type": "history", "room": "a", "since": "start"});
        world.send(viewer, &wish);
        assert_eq!(world.messages(viewer)[0]["payload"], page);
        publish(&mut world, "a", 4);
    }
    let (status, problem) = world.call("GET", "/api/rooms/a/history?since=begin", &Value::Null);
    assert_eq!((status, &problem["field"]), (400, &json!("since")));
    assert!(
        problem["detail"].to_string().contains("`start`"),
        "{problem}"
    );
}
