//! Sessions: clients that leave and come back to what they missed (contract section 5.5), and those that do not.

use super::visit::{Visit, brief, publish, settle};
use super::world::Heard;
use super::world::World;
use joblight::config::Publish;
use serde_json::{Value, json};

#[test]
fn whoever_comes_back_hears_what_was_missed_in_order_and_nothing_twice() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a", "b", "task:t"]);
    publish(&mut world, "a", 1);
    publish(&mut world, "b", 2);
    visit.write_to(&mut world, json!(3));
    settle(&mut world);
    assert_eq!(visit.heard(&mut world), ["a 1", "b 2", "letter 3"]);
    world.leave(visit.peer);
    publish(&mut world, "b", 4);
    publish(&mut world, "a", 5);
    world.report("t", "started", json!({"total": 9}));
    assert_eq!(visit.write_to(&mut world, json!(6)), 0);
    world.post(
        "/api/events",
        json!({"type": "document_generated", "payload": {"taskId": "t", "n": 1}}),
    );
    publish(&mut world, "a", 7);
    world.report("t", "progress", json!({"current": 3}));
    world.run_for(10_000);
    let again = visit.again(&mut world);
    assert!(again.resumed);
    assert_eq!(again.id, visit.id);
    assert_eq!(
        again.recovered(),
        json!({"a": true, "b": true, "task:t": true})
    );
    let missed = [
        "b 4",
        "a 5",
        "task_started",
        "letter 6",
        "document_generated",
        "a 7",
        "task_progress",
    ];
    assert_eq!(again.missed(), missed);
    let state = &again.first.last().expect("the state")["payload"];
    assert_eq!(
        (&state["snapshot"], &state["current"]),
        (&json!(true), &json!(3))
    );
    publish(&mut world, "b", 8);
    assert_eq!(again.heard(&mut world), ["b 8"]);
    settle(&mut world);
    world.leave(again.peer);
    let third = again.again(&mut world);
    assert_eq!(third.missed(), ["task_progress"], "nothing but the state");
}

#[test]
fn what_was_not_confirmed_is_sent_again() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a"]);
    publish(&mut world, "a", 1);
    settle(&mut world);
    world.set_answers_pings(visit.peer, false);
    publish(&mut world, "a", 2);
    visit.write_to(&mut world, json!(3));
    settle(&mut world);
    world.leave(visit.peer);
    assert_eq!(visit.again(&mut world).missed(), ["a 2", "letter 3"]);
}

#[test]
fn of_the_messages_for_one_client_the_newest_wait() {
    let mut world = World::new(|config| config.websocket.message_queue_size = 3);
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    for number in 0..5 {
        visit.write_to(&mut world, json!(number));
    }
    publish(&mut world, "a", 9);
    let again = visit.again(&mut world);
    assert_eq!(again.missed(), ["letter 2", "letter 3", "letter 4", "a 9"]);
    settle(&mut world);
    let waiting = world
        .engine
        .inspect()
        .clients()
        .filter(|client| !client.direct_messages.is_empty())
        .count();
    assert_eq!(waiting, 0, "what has arrived is let go");
}

#[test]
fn whoever_stays_away_too_long_begins_anew() {
    let mut world = World::new(|config| config.websocket.session_ttl = 1_000);
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    world.run_for(999);
    let again = visit.again(&mut world);
    assert!(again.resumed);
    world.leave(again.peer);
    world.run_for(1_000);
    assert_eq!(world.clients_away(), 0);
    let late = visit.again(&mut world);
    assert!(!late.resumed && late.first.is_empty());
    assert_ne!(late.id, visit.id);
    let client = world.document(&format!("/api/clients/{}", late.id));
    assert_eq!(client["rooms"], json!([]));
    world.leave(late.peer);
    world.run_for(1_000);
    world.assert_empty();
}

#[test]
fn there_may_be_no_sessions() {
    let mut world = World::new(|config| config.websocket.session_ttl = 0);
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    assert!(!visit.again(&mut world).resumed);
    let path = format!("/api/clients/{}/send", visit.id);
    let (status, _) = world.call("POST", &path, &json!({"type": "x", "payload": 1}));
    assert_eq!(status, 404);
    let pings = world.pings(visit.peer);
    assert_eq!(pings.len(), 0, "nobody is asked what nobody will need");
}

#[test]
fn no_other_secret_will_do() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a"]);
    let other = Visit::new(&mut world, &["b"]);
    world.leave(visit.peer);
    let mixed = format!("{}{}", &visit.secret[..16], &other.secret[16..]);
    let cut = &visit.secret[..40];
    let longer = format!("{}0", visit.secret);
    let wrong = [
        "",
        "x",
        "%F0%9F%92%A9%F0%9F%92%A9%F0%9F%92%A9%F0%9F%92%A9a",
        "+",
        &mixed,
        cut,
        &longer,
        &"f".repeat(48),
    ];
    for secret in wrong {
        let stranger = Visit::on(&mut world, &format!("/ws?session={secret}"), "");
        assert!(!stranger.resumed && stranger.first.is_empty(), "{secret}");
        world.leave(stranger.peer);
    }
    let data = world.upgrade(&format!("/?session={}", visit.secret), "");
    assert_eq!(world.messages(data), Vec::<Value>::new());
    assert!(visit.again(&mut world).resumed, "the right one still does");
}

#[test]
fn the_newer_connection_takes_over() {
    let mut world = World::new(|config| config.websocket.max_outbox_size = 2_000);
    let visit = Visit::new(&mut world, &["a", "b"]);
    publish(&mut world, "a", 0);
    settle(&mut world);
    visit.heard(&mut world);
    world.stall(visit.peer, 40);
    for number in 1..30 {
        publish(&mut world, if number % 2 == 0 { "a" } else { "b" }, number);
    }
    let again = visit.again(&mut world);
    assert!(again.resumed);
    let expected: Vec<String> = (1..30)
        .map(|number| format!("{} {number}", if number % 2 == 0 { "a" } else { "b" }))
        .collect();
    assert_eq!(again.missed(), expected);
    publish(&mut world, "a", 30);
    assert_eq!(again.heard(&mut world), ["a 30"]);
    world.read(visit.peer, None);
    let old = world.heard(visit.peer);
    assert_eq!(
        old.last().map(|(_, heard)| heard),
        Some(&Heard::Close(1008))
    );
    world.run_for(10_000);
    assert!(world.is_closed(visit.peer));
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["backlogged"], 0);
    let clients = world.document("/api/clients");
    assert_eq!(clients["clients"].as_array().map(Vec::len), Some(1));
    publish(&mut world, "b", 31);
    assert_eq!(again.heard(&mut world), ["b 31"]);
    world.leave(again.peer);
    world.run_for(7 * 24 * 3_600_000);
    world.assert_empty();
}

#[test]
fn what_the_old_connection_says_counts_no_more() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a"]);
    world.set_leaves(visit.peer, false);
    world.set_answers_pings(visit.peer, false);
    publish(&mut world, "a", 1);
    settle(&mut world);
    let pings = world.pings(visit.peer);
    let again = visit.again_reading(&mut world, 0);
    world.pong(visit.peer, &pings[0]);
    world.send(visit.peer, &json!({"type": "leave_room", "room": "a"}));
    world.leave(again);
    assert_eq!(visit.again(&mut world).missed(), ["a 1"]);
}

#[test]
fn a_full_server_still_knows_whose_place_it_is() {
    let mut world = World::new(|config| config.websocket.max_clients = 1);
    let visit = Visit::new(&mut world, &["a"]);
    let status = |world: &mut World, target: &str| {
        let peer = world.upgrade(target, "");
        match &world.heard(peer)[..] {
            [(_, Heard::Answer(status, _))] => *status,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(status(&mut world, "/ws"), 503);
    let again = visit.again(&mut world);
    assert!(again.resumed);
    world.leave(again.peer);
    let other = Visit::new(&mut world, &["b"]);
    let target = format!("/ws?session={}", visit.secret);
    assert_eq!(status(&mut world, &target), 503);
    world.leave(other.peer);
    assert!(visit.again(&mut world).resumed, "it was kept meanwhile");
}

#[test]
fn a_room_that_was_left_does_not_come_back() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a", "b", "c"]);
    world.send(visit.peer, &json!({"type": "leave_room", "room": "a"}));
    world.post("/api/rooms/b/broadcast", json!({"payload": 0}));
    let (status, _) = world.call(
        "DELETE",
        &format!("/api/clients/{}/rooms/c", visit.id),
        &Value::Null,
    );
    assert_eq!(status, 204);
    settle(&mut world);
    world.leave(visit.peer);
    for room in ["a", "b", "c"] {
        publish(&mut world, room, 1);
    }
    let again = visit.again(&mut world);
    assert_eq!(again.recovered(), json!({"b": true}));
    assert_eq!(again.missed(), ["b 1"]);
}

#[test]
fn those_that_left_first_make_room() {
    let mut world = World::new(|config| config.websocket.max_sessions = 2);
    let visits: Vec<Visit> = (0..4).map(|_| Visit::new(&mut world, &["a"])).collect();
    world.leave(visits[0].peer);
    let first = visits[0].again(&mut world);
    for peer in [visits[1].peer, visits[2].peer, first.peer] {
        world.leave(peer);
    }
    assert_eq!(world.clients_away(), 2);
    assert!(!visits[1].again(&mut world).resumed);
    assert!(visits[2].again(&mut world).resumed);
    assert!(visits[0].again(&mut world).resumed);
}

#[test]
fn a_goodbye_for_good_ends_the_session_and_others_do_not() {
    for (code, resumes) in [
        (1000, false),
        (4403, false),
        (1012, true),
        (1001, true),
        (4430, true),
    ] {
        let mut world = World::new(|_| {});
        let visit = Visit::new(&mut world, &["a"]);
        let path = format!("/api/clients/{}?code={code}", visit.id);
        assert_eq!(world.call("DELETE", &path, &Value::Null).0, 204);
        publish(&mut world, "a", 1);
        let again = visit.again(&mut world);
        assert_eq!(again.resumed, resumes, "{code}");
        assert_eq!(brief(&again.first).contains(&"a 1".to_owned()), resumes);
    }
}

#[test]
fn clients_that_are_away_are_not_counted() {
    let mut world = World::new(|_| {});
    let (here, gone) = (
        Visit::new(&mut world, &["task:t"]),
        Visit::new(&mut world, &["task:t", "a"]),
    );
    world.leave(gone.peer);
    let answer = world.report("t", "started", json!({}));
    assert_eq!(answer["watchers"], 1);
    let answer = world.post("/api/rooms/a/broadcast", json!({"payload": 1}));
    assert_eq!(answer["delivered"], 0);
    let clients = world.document("/api/clients")["clients"].clone();
    assert_eq!(clients.as_array().map(Vec::len), Some(1));
    assert_eq!(clients[0]["clientId"], here.id);
    assert_eq!(
        world
            .call("GET", &format!("/api/clients/{}", gone.id), &Value::Null)
            .0,
        404
    );
    let members = world.document("/api/rooms/task:t/clients");
    assert_eq!(members["clients"], json!([here.id]));
    let rooms = world.document("/api/rooms")["rooms"].clone();
    let count = |name: &str| {
        let rooms = rooms.as_array().expect("a list");
        let room = rooms.iter().find(|room| room["room"] == name);
        room.expect("the room")["clients"].clone()
    };
    assert_eq!((count("task:t"), count("a")), (json!(1), json!(0)));
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["active"], 1, "{statistics}");
    assert_eq!(world.document("/health")["websocket"]["connections"], 1);
}

#[test]
fn batches_and_message_pack_come_back_as_well() {
    let mut world = World::new(|config| config.broadcaster.batch_size = 4);
    let visit = Visit::new(&mut world, &["a"]);
    settle(&mut world);
    world.leave(visit.peer);
    for number in 0..6 {
        publish(&mut world, "a", number);
    }
    let path = format!("/ws?batch=1&session={}", visit.secret);
    let header = "Sec-WebSocket-Protocol: joblight.msgpack\r\n";
    let peer = world.upgrade(&path, header);
    let heard: Vec<Heard> = world
        .heard(peer)
        .into_iter()
        .map(|(_, heard)| heard)
        .collect();
    assert!(
        heard
            .iter()
            .any(|heard| matches!(heard, Heard::Batch(2..=4))),
        "{heard:?}"
    );
    let messages: Vec<Value> = heard
        .into_iter()
        .filter_map(|heard| match heard {
            Heard::Message(message) => Some(message),
            _ => None,
        })
        .collect();
    let expected = [
        "connected",
        "subscription_ack",
        "a 0",
        "a 1",
        "a 2",
        "a 3",
        "a 4",
        "a 5",
    ];
    assert_eq!(brief(&messages), expected);
    settle(&mut world);
    world.leave(peer);
    publish(&mut world, "a", 6);
    assert_eq!(visit.again(&mut world).missed(), ["a 6"]);
}

#[test]
fn nobody_hears_himself_at_once_or_when_he_comes_back() {
    let mut world = World::new(|config| config.websocket.publish = Publish::Members);
    let (visit, other) = (
        Visit::new(&mut world, &["a"]),
        Visit::new(&mut world, &["a"]),
    );
    for speaker in [&visit, &other] {
        let message = json!({"type": "room_broadcast", "room": "a", "message": 1});
        world.send(speaker.peer, &message);
    }
    let from = |messages: &[Value]| -> Vec<Value> {
        let from = messages.iter().map(|message| &message["payload"]["from"]);
        from.cloned().collect()
    };
    assert_eq!(from(&world.messages(visit.peer)), [json!(other.id)]);
    world.leave(visit.peer);
    let again = visit.again(&mut world);
    assert_eq!(from(&again.first[1..]), [json!(other.id)]);
}
