//! A store that is not open yet: nothing is decided, nobody is sent away for good, and what was there before comes first.

use super::kept::{Store, batch, durable, say, stored};
use super::masked::{CLOSE, TEXT, masked};
use super::visit::{Visit, brief, settle};
use super::world::Heard;
use super::world::{PeerId, World, request};
use joblight::Config;
use joblight::internals::engine::{Input, Services};
use joblight::internals::hub::Record;
use joblight::internals::hub::Table;
use serde_json::{Value, json};

/// The opcode of a ping.
const PING: u8 = 9;

/// A server whose store is being opened.
fn opening(change: impl FnOnce(&mut Config)) -> World {
    let mut world = World::with_seed(2, change);
    let now = world.now();
    world.turn(|world| world.engine.handle_input(now, Input::StoreOpening));
    world
}

/// A server whose store has refused to open.
fn waiting(change: impl FnOnce(&mut Config)) -> World {
    let mut world = opening(change);
    refuse(&mut world, "kept.db: in use");
    world
}

fn refuse(world: &mut World, reason: &str) {
    let (now, reason) = (world.now(), reason.to_owned());
    world.turn(|world| world.engine.handle_input(now, Input::StoreUnopened(reason)));
}

/// The store opens and is read, as far as `count` slices.
fn read(world: &mut World, kept: &Store, size: usize, count: usize) {
    for slice in kept.slices(size).iter().take(count) {
        let now = world.now();
        world.turn(|world| world.engine.handle_input(now, Input::StoreSlice(slice)));
    }
}

/// The store opens, is read, and keeps what that records.
fn open(world: &mut World, kept: &mut Store) {
    read(world, kept, 2, usize::MAX);
    let now = world.now();
    world.turn(|world| world.engine.handle_input(now, Input::StoreRead));
    kept.take(world);
}

fn health(world: &mut World) -> Value {
    let health = world.document("/health");
    json!([
        health["status"],
        health["reasons"],
        health["storage"]["status"]
    ])
}

/// A request on a connection of its own.
fn ask(world: &mut World, method: &str, path: &str, body: &Value) -> PeerId {
    let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
    world.say(peer, request(method, path, body).as_bytes());
    peer
}

/// The statuses of the answers that a peer has heard.
fn statuses(world: &mut World, peer: PeerId) -> Vec<u16> {
    let heard = world.heard(peer).into_iter();
    heard
        .filter_map(|(_, heard)| match heard {
            Heard::Answer(status, _) => Some(status),
            _ => None,
        })
        .collect()
}

fn calls() -> Vec<(&'static str, &'static str, Value)> {
    let started = json!({"type": "task_started", "payload": {"taskId": "t"}});
    vec![
        ("POST", "/api/tasks/t/started", json!({})),
        ("POST", "/api/tasks/t/progress", json!({"progress": 5})),
        ("POST", "/api/tasks/t/completed", json!({})),
        ("POST", "/api/events", started.clone()),
        ("POST", "/api/events", json!([started])),
        ("POST", "/api/rooms/r/broadcast", json!({"payload": 1})),
        ("POST", "/api/broadcast", json!({"payload": 1})),
        ("POST", "/api/clients/client_ab/send", json!({"payload": 1})),
        ("PUT", "/api/clients/client_ab/rooms/r", Value::Null),
        ("DELETE", "/api/clients/client_ab/rooms/r", Value::Null),
        ("DELETE", "/api/clients/client_ab", Value::Null),
        ("DELETE", "/api/tasks/t", Value::Null),
        ("GET", "/api/tasks", Value::Null),
        ("GET", "/api/tasks/t", Value::Null),
        ("GET", "/api/rooms", Value::Null),
        ("GET", "/api/rooms/r/clients", Value::Null),
        ("GET", "/api/rooms/r/history", Value::Null),
        ("GET", "/api/clients", Value::Null),
        ("GET", "/api/clients/client_ab", Value::Null),
    ]
}

#[test]
fn every_call_about_what_is_kept_is_refused_and_changes_nothing() {
    let mut world = waiting(|_| {});
    assert_eq!(
        health(&mut world),
        json!(["degraded", ["storage"], "failing"])
    );
    for (method, path, body) in calls() {
        let (status, problem) = world.call(method, path, &body);
        let code = (status, &problem["code"]);
        assert_eq!(
            code,
            (503, &json!("storage_unavailable")),
            "{method} {path}: {problem}"
        );
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("kept.db: in use"), "{detail}");
    }
    world.document("/api/websocket/stats");
    world.document("/api/broadcaster/stats");
    let lines = world.connect(Services::HTTP, [127, 0, 0, 1]);
    let line = "{\"type\":\"task_started\",\"payload\":{\"taskId\":\"t\"}}\n";
    let head = format!(
        "POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        line.len()
    );
    world.say(lines, (head + line).as_bytes());
    assert_eq!(statuses(&mut world, lines), [503]);
    let refused = &world.document("/health")["storage"]["refused"];
    assert_eq!(*refused, calls().len() + 1);
    let mut kept = Store::default();
    open(&mut world, &mut kept);
    assert_eq!(health(&mut world), json!(["healthy", null, "ok"]));
    assert_eq!(world.document("/api/tasks")["tasks"], json!([]));
    assert_eq!(world.document("/api/rooms")["rooms"], json!([]));
}

#[test]
fn an_embedding_program_is_refused_as_well() {
    let mut world = waiting(|_| {});
    for text in world.refusals() {
        assert!(text.contains("not read yet: kept.db: in use"), "{text}");
    }
}

/// A start takes a moment: who comes in it is served and not refused.
#[test]
fn calls_wait_for_a_store_that_opens_at_once() {
    let mut world = opening(|_| {});
    assert_eq!(
        health(&mut world),
        json!(["degraded", ["storage"], "opening"])
    );
    let one = ask(&mut world, "POST", "/api/tasks/t/started", &json!({}));
    world.say(one, request("GET", "/api/tasks/t", &Value::Null).as_bytes());
    let lines = world.connect(Services::HTTP, [127, 0, 0, 1]);
    let line = "{\"type\":\"document_generated\",\"payload\":{\"taskId\":\"t\"}}\n";
    let head = format!(
        "POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        line.len()
    );
    world.say(lines, (head + line).as_bytes());
    let ended = ask(&mut world, "GET", "/api/tasks/none", &Value::Null);
    world.end(ended);
    assert!(statuses(&mut world, one).is_empty());
    open(&mut world, &mut Store::default());
    assert_eq!(statuses(&mut world, one), [200, 200]);
    assert_eq!(statuses(&mut world, lines), [200]);
    assert_eq!(statuses(&mut world, ended), [404]);
    assert!(world.is_closed(ended));
}

#[test]
fn calls_wait_no_longer_than_a_second_and_no_longer_than_the_first_try() {
    for fails in [false, true] {
        let mut world = opening(|_| {});
        let one = ask(&mut world, "POST", "/api/tasks/t/started", &json!({}));
        assert!(statuses(&mut world, one).is_empty());
        match fails {
            true => refuse(&mut world, "kept.db: in use"),
            false => world.run_for(1_000),
        }
        assert_eq!(statuses(&mut world, one), [503]);
        let other = ask(&mut world, "POST", "/api/tasks/t/started", &json!({}));
        assert_eq!(statuses(&mut world, other), [503]);
    }
}

#[test]
fn a_local_producer_is_not_read_before_the_store() {
    let mut world = waiting(|_| {});
    let producer = world.connect(Services::INGEST, [127, 0, 0, 1]);
    let line = |number: u64| {
        let payload = json!({"taskId": "t", "progress": number});
        json!({"type": "task_progress", "payload": payload}).to_string() + "\n"
    };
    for number in 1..=50 {
        world.say(producer, line(number).as_bytes());
    }
    let mut kept = Store::default();
    open(&mut world, &mut kept);
    assert_eq!(world.document("/api/tasks/t")["progress"], 50);
    world.say(producer, line(60).as_bytes());
    assert_eq!(world.document("/api/tasks/t")["progress"], 60);
}

/// Everything that was kept, and a client that was there.
fn before() -> (Store, Visit) {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a", "b"]);
    world.leave(visit.peer);
    world.turn(|world| {
        let payload = json!({"taskId": "t", "total": 9});
        world.take_event(&json!({"type": "task_started", "payload": payload}));
    });
    for number in 0..7 {
        say(&mut world, "a", number);
    }
    kept.take(&mut world);
    (kept, visit)
}

#[test]
fn viewers_wait_and_are_judged_when_the_store_is_there() {
    let (mut kept, visit) = before();
    let mut world = waiting(|_| {});
    let back = world.upgrade(&format!("/ws?session={}", visit.secret), "");
    let fresh = world.upgrade("/ws", "");
    let author = world.upgrade("/", "");
    for peer in [back, fresh, author] {
        assert!(world.messages(peer).is_empty(), "nothing is said yet");
    }
    world.send(fresh, &json!({"type": "subscribe", "taskIds": ["t"]}));
    world.send(fresh, &json!({"type": "ping", "payload": {"n": 1}}));
    world.send(
        author,
        &json!({"type": "workspace.create", "data": {"name": "W"}}),
    );
    world.send(back, &json!({"type": "leave_room", "room": "b"}));
    world.run_for(200_000);
    for peer in [back, fresh, author] {
        assert!(!world.is_closed(peer), "heartbeats keep it alive");
    }
    say_is_refused(&mut world);
    open(&mut world, &mut kept);
    let heard = world.messages(fresh);
    let kinds: Vec<_> = heard.iter().map(|message| &message["type"]).collect();
    // The task has been silent for long, which is said last.
    let expected = [
        "connected",
        "subscription_ack",
        "task_progress",
        "pong",
        "task_progress",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(heard[0]["payload"]["resumed"], false);
    assert_eq!(heard[2]["payload"]["total"], 9);
    let heard = world.messages(back);
    assert_eq!(heard[0]["payload"]["resumed"], true);
    assert_eq!(heard[0]["payload"]["clientId"], visit.id);
    assert_eq!(
        heard[1]["payload"]["recovered"],
        json!({"a": true, "b": true})
    );
    assert_eq!(
        brief(&heard[2..]),
        [
            "a 0",
            "a 1",
            "a 2",
            "a 3",
            "a 4",
            "a 5",
            "a 6",
            "subscription_ack"
        ]
    );
    assert_eq!(heard.last().unwrap()["payload"]["rooms"], json!(["a"]));
    assert_eq!(world.messages(author)[0]["type"], "workspace.created");
}

fn say_is_refused(world: &mut World) {
    let (status, _) = world.call("POST", "/api/rooms/a/broadcast", &json!({"payload": 99}));
    assert_eq!(status, 503);
}

#[test]
fn a_viewer_that_says_too_much_meanwhile_is_left_unread_and_loses_nothing() {
    let mut world = waiting(|_| {});
    let viewer = world.upgrade("/ws", "");
    let ping = |number: usize| {
        let padding = "x".repeat(3_000);
        let payload = json!({"n": number, "padding": padding});
        masked(
            TEXT,
            json!({"type": "ping", "payload": payload})
                .to_string()
                .as_bytes(),
        )
    };
    for number in 0..200 {
        world.say(viewer, &ping(number));
    }
    world.run_for(200_000);
    assert!(!world.is_closed(viewer));
    open(&mut world, &mut Store::default());
    let heard = world.messages(viewer);
    let numbers: Vec<_> = heard[1..]
        .iter()
        .map(|message| message["payload"]["n"].as_u64().unwrap() as usize)
        .collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
}

/// A client may send pings of its own, and leaves when nobody answers.
#[test]
fn pings_are_answered_and_goodbyes_heard_meanwhile() {
    let mut world = waiting(|_| {});
    let viewer = world.upgrade("/ws", "");
    world.heard(viewer);
    let before = world.transcript();
    world.say(viewer, &masked(PING, b"?"));
    assert_ne!(world.transcript(), before, "something is written");
    world.say(viewer, &masked(CLOSE, &1000_u16.to_be_bytes()));
    assert!(world.is_closed(viewer));
    let gone = world.upgrade("/ws", "");
    world.set_answers_pings(gone, false);
    world.run_for(100_000);
    assert!(world.is_closed(gone), "a dead one is found out");
    open(&mut world, &mut Store::default());
    assert_eq!(world.connected_clients(), 0);
}

#[test]
fn the_limit_of_clients_holds_for_those_who_have_waited() {
    let mut world = waiting(|config| config.websocket.max_clients = 2);
    let peers = [(); 3].map(|()| world.upgrade("/ws", ""));
    open(&mut world, &mut Store::default());
    settle(&mut world);
    assert_eq!(world.connected_clients(), 2);
    let heard = world.heard(peers[2]);
    let is_refused = |heard: &Heard| matches!(heard, Heard::Answer(503, _));
    assert!(
        heard.iter().any(|(_, heard)| is_refused(heard)),
        "{heard:?}"
    );
}

#[test]
fn a_crowd_that_has_waited_is_let_in_a_few_at_a_time() {
    let mut world = waiting(|_| {});
    let peers: Vec<PeerId> = (0..700).map(|_| world.upgrade("/ws", "")).collect();
    let mut kept = Store::default();
    let now = world.now();
    world.turn(|world| world.engine.handle_input(now, Input::StoreRead));
    let first = batch(&mut world).expect("facts");
    kept.keep(&mut world, first);
    assert_eq!(world.connected_clients(), 256);
    world.run_for(10);
    assert_eq!(world.connected_clients(), 700);
    for peer in peers {
        assert_eq!(world.messages(peer)[0]["type"], "connected");
    }
}

#[test]
fn the_applications_link_waits_with_what_it_says() {
    let (mut kept, visit) = before();
    let mut world = waiting(|_| {});
    let connection = world.upgrade("/backend", "");
    world.send(
        connection,
        &json!({"room": "a", "type": "note", "payload": "late"}),
    );
    assert!(world.messages(connection).is_empty());
    open(&mut world, &mut kept);
    let again = visit.again(&mut world);
    assert_eq!(again.first.last().unwrap()["payload"], "late");
}

#[test]
fn a_shutdown_does_not_wait_for_the_store() {
    for has_failed in [false, true] {
        let mut world = opening(|_| {});
        if has_failed {
            refuse(&mut world, "kept.db: in use");
        }
        let viewer = world.upgrade("/ws", "");
        let producer = world.connect(Services::INGEST, [127, 0, 0, 1]);
        world.say(producer, b"{}\n");
        let caller = world.connect(Services::HTTP, [127, 0, 0, 1]);
        let text = request("POST", "/api/tasks/t/started", &json!({}));
        world.say(caller, text.as_bytes());
        world.shut_down();
        let heard = world.heard(viewer);
        assert!(
            heard
                .iter()
                .any(|(_, heard)| matches!(heard, Heard::Close(1001))),
            "{heard:?}"
        );
        assert_eq!(statuses(&mut world, caller), [503]);
        world.run_for(20_000);
        assert!(world.stopped);
        assert!(
            world.engine.last_batch().is_none(),
            "of a store that was never read nothing is changed"
        );
    }
}

/// The file is damaged, and only its end shows it.
#[test]
fn a_store_that_fails_half_way_leaves_no_trace() {
    let (mut kept, visit) = before();
    let mut world = opening(|_| {});
    read(&mut world, &kept, 1, kept.slices(1).len() - 1);
    refuse(&mut world, "kept.db: damaged");
    let held = world.engine.inspect();
    assert_eq!((held.rooms().len(), held.task_ids().count()), (0, 0));
    assert!(batch(&mut world).is_none());
    world.run_for(3_600_000 * 2);
    assert!(batch(&mut world).is_none(), "nothing of it has grown old");
    // A copy from before is put in its place.
    kept.rows.retain(|(table, _), _| *table != Table::Task);
    open(&mut world, &mut kept);
    assert_eq!(world.document("/api/tasks")["tasks"], json!([]));
    let again = visit.again(&mut world);
    assert!(again.resumed);
}

/// What is read slice by slice is what is read at once.
#[test]
fn slices_of_any_size_give_the_same() {
    let (kept, visit) = before();
    let heard = [1, 2, 3, 1000].map(|size| {
        let mut kept = Store {
            rows: kept.rows.clone(),
            entries: kept.entries.clone(),
            ..Store::default()
        };
        let mut world = opening(|_| {});
        read(&mut world, &kept, size, usize::MAX);
        let now = world.now();
        world.turn(|world| world.engine.handle_input(now, Input::StoreRead));
        kept.take(&mut world);
        let tasks = world.document("/api/tasks");
        let rooms = world.document("/api/rooms")["rooms"]
            .as_array()
            .unwrap()
            .len();
        let again = visit.again(&mut world);
        (
            tasks,
            rooms,
            again.missed(),
            again.recovered(),
            kept.rows.len(),
        )
    });
    for other in &heard[1..] {
        assert_eq!(*other, heard[0]);
    }
}

/// A crash that follows at once must know the epochs that were told.
#[test]
fn service_begins_when_the_new_epochs_are_kept() {
    let (kept, visit) = before();
    let mut world = waiting(|_| {});
    let back = world.upgrade(&format!("/ws?session={}", visit.secret), "");
    read(&mut world, &kept, 5, usize::MAX);
    let now = world.now();
    world.turn(|world| world.engine.handle_input(now, Input::StoreRead));
    assert!(world.messages(back).is_empty(), "not kept yet");
    let first = batch(&mut world).expect("epochs");
    assert!(!first.records.contains(&Record::Clear));
    stored(&mut world, first.seq, Ok(()));
    assert_eq!(world.messages(back)[0]["payload"]["resumed"], true);
}

/// It could be read, so it is one that fails at work.
#[test]
fn a_store_that_takes_no_epochs_is_served_all_the_same() {
    let (kept, visit) = before();
    let mut world = waiting(|_| {});
    read(&mut world, &kept, 5, usize::MAX);
    let now = world.now();
    world.turn(|world| world.engine.handle_input(now, Input::StoreRead));
    let first = batch(&mut world).expect("epochs");
    stored(&mut world, first.seq, Err("full"));
    assert_eq!(
        health(&mut world),
        json!(["degraded", ["storage"], "failing"])
    );
    let again = visit.again(&mut world);
    assert_eq!(again.missed().len(), 7);
    say(&mut world, "a", 8);
    assert_eq!(again.heard(&mut world), ["a 8"], "live delivery goes on");
    world.run_for(1_000);
    let probe = batch(&mut world).expect("it is tried again");
    stored(&mut world, probe.seq, Ok(()));
    let all = batch(&mut world).expect("everything");
    assert_eq!(all.records[0], Record::Clear);
}
