//! Readers that are behind: what waits for them in the logs, and what they are told (contract sections 5.1 and 5.2).

use super::visit::{Visit, brief, publish};
use super::world::World;
use serde_json::{Value, json};

const LETTERS: [&str; 3] = ["a", "b", "c"];

#[test]
fn in_several_rooms_everything_comes_in_order_when_it_drains() {
    let mut world = World::new(|config| {
        config.websocket.max_outbox_size = 1_000;
        config.broadcaster.broadcast_interval = 0;
    });
    let visit = Visit::new(&mut world, &["a", "b", "c", "task:t"]);
    let quick = Visit::new(&mut world, &["a", "b", "c", "task:t"]);
    world.stall(visit.peer, 10);
    let mut expected = Vec::new();
    for number in 0..60 {
        let room = LETTERS[number % 3];
        publish(&mut world, room, number);
        expected.push(format!("{room} {number}"));
        if number % 7 == 0 {
            visit.write_to(&mut world, json!(number));
            expected.push(format!("letter {number}"));
        }
        if number % 10 == 0 {
            world.report("t", "started", json!({"attempt": number + 1}));
            expected.push("task_started".into());
        }
        world.report("t", "progress", json!({"current": number}));
    }
    assert!(world.unsent_bytes(visit.peer) < 2_000);
    let mut heard = Vec::new();
    while world.unsent_bytes(visit.peer) > 0 {
        world.read(visit.peer, Some(333));
        heard.extend(visit.heard(&mut world));
    }
    heard.retain(|message| message != "task_progress");
    assert_eq!(heard, expected);
    world.read(visit.peer, None);
    publish(&mut world, "a", 60);
    assert_eq!(visit.heard(&mut world), ["a 60"]);
    assert!(quick.heard(&mut world).len() > 60);
}

#[test]
fn past_the_ring_a_slow_reader_is_told() {
    let mut world = World::new(|config| {
        config.websocket.max_outbox_messages = 3;
        config.websocket.message_queue_size = 5;
    });
    let visit = Visit::new(&mut world, &["a", "b", "task:t"]);
    world.stall(visit.peer, 0);
    publish(&mut world, "b", 0);
    for number in 0..20 {
        publish(&mut world, "a", number);
    }
    world.report("t", "started", json!({}));
    publish(&mut world, "b", 1);
    world.read(visit.peer, None);
    let heard = world.messages(visit.peer);
    let kinds = brief(&heard);
    let told = kinds.iter().position(|kind| kind == "subscription_ack");
    let told = told.expect("it is told");
    let recovered = json!({"a": false, "b": true, "task:t": true});
    assert_eq!(heard[told]["payload"]["recovered"], recovered);
    let there = ["a 15", "a 16", "a 17", "a 18", "a 19"];
    assert_eq!(kinds[told + 1..told + 6], there);
    assert_eq!(kinds[told + 6..], ["task_started", "b 1"]);
    publish(&mut world, "a", 20);
    assert_eq!(visit.heard(&mut world), ["a 20"]);
}

#[test]
fn a_wish_of_a_slow_reader_repeats_nothing_and_comes_in_order() {
    let mut world = World::new(|config| config.websocket.max_outbox_messages = 2);
    let since =
        world.post("/api/rooms/task:t/broadcast", json!({"payload": 0}))["position"].clone();
    world.report("t", "started", json!({}));
    let visit = Visit::new(&mut world, &["a"]);
    world.stall(visit.peer, 0);
    for number in 0..9 {
        publish(&mut world, "a", number);
    }
    let wish = json!({"type": "subscribe", "taskIds": ["t"], "since": {"task:t": since}});
    world.send(visit.peer, &wish);
    world.report("t", "completed", json!({}));
    world.read(visit.peer, None);
    let heard = visit.heard(&mut world);
    let of_a: Vec<&String> = heard.iter().filter(|kind| kind.starts_with('a')).collect();
    assert_eq!(
        of_a,
        [
            "a 0", "a 1", "a 2", "a 3", "a 4", "a 5", "a 6", "a 7", "a 8"
        ]
    );
    let rest: Vec<&String> = heard.iter().filter(|kind| !kind.starts_with('a')).collect();
    assert_eq!(
        rest,
        [
            "subscription_ack",
            "task_started",
            "task_completed",
            "task_progress"
        ]
    );
}

#[test]
fn who_reads_anything_within_the_time_limit_stays_and_who_reads_nothing_goes() {
    let mut world = World::new(|config| {
        config.websocket.max_backlog_age = 50_000;
        config.websocket.max_outbox_size = 300_000;
    });
    let visit = Visit::new(&mut world, &["a"]);
    world.stall(visit.peer, 0);
    for _ in 0..20 {
        publish(&mut world, "a", "x".repeat(1_000));
    }
    for _ in 0..10 {
        world.run_for(45_000);
        world.read(visit.peer, Some(100));
    }
    assert!(!world.is_closed(visit.peer));
    world.run_for(100_000 + 6_000);
    assert!(world.is_closed(visit.peer));
    assert!(visit.again(&mut world).resumed);
}

#[test]
fn a_connection_that_is_given_much_at_once_has_as_much_time() {
    for (max_backlog_age, is_closed) in [(50_000, true), (0, false)] {
        let mut world = World::new(|config| config.websocket.max_backlog_age = max_backlog_age);
        for task in ["t", "u", "v"] {
            world.report(task, "progress", json!({"meta": "x".repeat(90_000)}));
        }
        let visit = Visit::new(&mut world, &[]);
        world.run_for(29_000);
        world.stall(visit.peer, 0);
        world.send(
            visit.peer,
            &json!({"type": "subscribe", "taskIds": ["t", "u", "v"]}),
        );
        world.run_for(49_000);
        assert!(!world.is_half_closed(visit.peer) && !world.is_closed(visit.peer));
        world.run_for(60_000);
        assert_eq!(world.is_closed(visit.peer), is_closed);
        if !is_closed {
            world.read(visit.peer, None);
            assert!(visit.heard(&mut world).len() >= 4);
        }
    }
}

#[test]
fn what_all_are_told_reaches_slow_readers_too() {
    let mut world = World::new(|config| config.websocket.max_outbox_messages = 2);
    let visit = Visit::new(&mut world, &["a"]);
    world.stall(visit.peer, 0);
    for number in 0..5 {
        world.post(
            "/api/broadcast",
            json!({"type": "letter", "payload": number}),
        );
    }
    world.read(visit.peer, None);
    let heard = visit.heard(&mut world);
    assert_eq!(
        heard,
        ["letter 0", "letter 1", "letter 2", "letter 3", "letter 4"]
    );
}

#[test]
fn a_reader_of_workspaces_misses_no_change_without_knowing() {
    let mut world = World::new(|config| config.websocket.max_outbox_messages = 10);
    let (author, reader) = (world.upgrade("/", ""), world.upgrade("/", ""));
    world.stall(reader, 0);
    for number in 0..30 {
        let name = format!("n{number}");
        world.send(
            author,
            &json!({"type": "workspace.create", "data": {"name": name}}),
        );
    }
    world.read(reader, None);
    let messages = world.messages(reader);
    let last = messages
        .last()
        .map_or(Value::Null, |last| last["type"].clone());
    let is_told = messages.len() == 30 || last == "disconnected";
    assert!(is_told, "{} of 30, then {last}", messages.len());
}

#[test]
fn an_acknowledged_position_is_not_beyond_what_still_comes() {
    let mut world = World::new(|config| config.websocket.max_outbox_messages = 2);
    let visit = Visit::new(&mut world, &["a"]);
    world.stall(visit.peer, 0);
    for number in 0..9 {
        publish(&mut world, "a", number);
    }
    world.send(visit.peer, &json!({"type": "join_room", "room": "b"}));
    world.read(visit.peer, None);
    let heard = world.messages(visit.peer);
    let told = heard
        .iter()
        .position(|message| message["type"] == "subscription_ack")
        .expect("an answer");
    let position = heard[told]["payload"]["positions"]["a"]
        .as_str()
        .expect("a position");
    let (_, offset) = position.split_once(':').expect("a position");
    let offset: u64 = offset.parse().expect("a number");
    let late: Vec<u64> = heard[told..]
        .iter()
        .filter(|message| message["room"] == "a")
        .map(|message| message["offset"].as_u64().expect("a number"))
        .filter(|late| *late <= offset)
        .collect();
    assert_eq!(
        late, [0; 0],
        "the client was told that it is at {offset} already"
    );
}

#[test]
fn messages_for_all_come_in_order() {
    let mut world = World::new(|config| config.websocket.max_outbox_messages = 2);
    let visit = Visit::new(&mut world, &["a"]);
    world.stall(visit.peer, 0);
    for number in 0..4 {
        world.post(
            "/api/broadcast",
            json!({"type": "letter", "payload": number}),
        );
    }
    world.read(visit.peer, Some(150));
    for number in 4..8 {
        world.post(
            "/api/broadcast",
            json!({"type": "letter", "payload": number}),
        );
    }
    world.read(visit.peer, None);
    let heard = visit.heard(&mut world);
    let expected: Vec<String> = (0..8).map(|number| format!("letter {number}")).collect();
    assert_eq!(heard, expected);
}

#[test]
fn without_sessions_a_letter_that_was_sent_is_let_go() {
    let mut world = World::new(|config| {
        config.websocket.session_ttl = 0;
        config.websocket.max_outbox_messages = 2;
    });
    let visit = Visit::new(&mut world, &["a"]);
    world.stall(visit.peer, 0);
    for number in 0..9 {
        visit.write_to(&mut world, json!("x".repeat(10_000 + number)));
    }
    world.read(visit.peer, None);
    assert_eq!(visit.heard(&mut world).len(), 9);
    world.run_for(100_000);
    let waiting = world
        .engine
        .inspect()
        .clients()
        .filter(|client| !client.direct_messages.is_empty())
        .count();
    assert_eq!(
        waiting, 0,
        "what has been sent is held until the client leaves"
    );
}

#[test]
fn states_for_which_a_turn_has_no_room_come_when_the_connection_has_drained() {
    let mut world = World::new(|config| config.broadcaster.broadcast_interval = 0);
    let tasks: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
    let rooms: Vec<String> = tasks.iter().map(|task| format!("task:{task}")).collect();
    let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
    for task in &tasks {
        world.report(task, "started", json!({"total": 10}));
    }
    let visit = Visit::new(&mut world, &rooms);
    for current in 1..=2 {
        let large = format!("{current}").repeat(40_000);
        let events = tasks.iter().map(|task| {
            let payload = json!({"taskId": task, "current": current, "message": large});
            json!({"type": "task_progress", "payload": payload})
        });
        world.stall(visit.peer, 0);
        world.post("/api/events", events.collect());
        assert!(
            world.unsent_bytes(visit.peer) < tasks.len() * large.len(),
            "one turn has no room for all"
        );
        world.read(visit.peer, None);
        let mut told: Vec<(String, u64)> = Vec::new();
        for message in world.messages(visit.peer) {
            let payload = &message["payload"];
            let task = payload["taskId"].as_str().expect("a task").to_owned();
            told.push((task, payload["current"].as_u64().expect("a count")));
        }
        told.sort();
        let expected = tasks.iter().map(|task| (task.clone(), current));
        assert_eq!(told, expected.collect::<Vec<_>>());
    }
}
