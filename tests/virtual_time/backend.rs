//! The application's links in time: whose turn it is, who waits how long, and what becomes of those who wait for the gone.

use super::world::Heard;
use super::world::{PeerId, World, limit_connections, limit_messages};
use joblight::Config;
use serde_json::{Value, json};

fn world(change: impl FnOnce(&mut Config)) -> World {
    World::new(|config| {
        config.routes.types = vec!["chat.*".to_owned()];
        change(config);
    })
}

/// A link of the application, which says nothing of itself.
fn backend(world: &mut World) -> PeerId {
    let backend = world.upgrade("/backend", "");
    assert_eq!(world.heard(backend), []);
    backend
}

fn ask(world: &mut World, viewer: PeerId, id: u64) {
    let message = json!({"type": "chat.send", "payload": {"n": id}, "id": id});
    world.send(viewer, &message);
}

/// The one message that a peer has heard.
fn only(world: &mut World, peer: PeerId) -> Value {
    let mut messages = world.messages(peer);
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

/// The `requestId` of the one message that a backend has heard.
fn request(world: &mut World, backend: PeerId) -> String {
    let message = only(world, backend);
    let name = message["requestId"].as_str();
    name.unwrap_or_else(|| panic!("a requestId: {message}"))
        .to_owned()
}

fn assert_error(message: &Value, code: &str, text: &str, reply_to: u64) {
    assert_eq!(message["type"], "error", "{message}");
    assert_eq!(message["payload"]["code"], code, "{message}");
    assert_eq!(message["payload"]["message"], text, "{message}");
    assert_eq!(message["payload"]["replyTo"], reply_to, "{message}");
}

const NO_ANSWER: &str = "the application did not answer chat.send in time";
const GONE: &str = "the application went away before it answered chat.send";
const NOBODY: &str = "no application is connected that takes chat.send";

#[test]
fn several_backends_take_turns() {
    let mut world = world(|_| {});
    let viewer = world.viewer();
    let backends: Vec<PeerId> = (0..3).map(|_| backend(&mut world)).collect();
    for id in 0..7 {
        ask(&mut world, viewer, id);
    }
    let mut names = Vec::new();
    for (turn, backend) in backends.iter().enumerate() {
        let messages = world.messages(*backend);
        let numbers: Vec<u64> = messages
            .iter()
            .map(|message| message["payload"]["n"].as_u64().expect("a number"))
            .collect();
        let expected: Vec<u64> = (0..7).filter(|id| *id as usize % 3 == turn).collect();
        assert_eq!(numbers, expected);
        names.extend(
            messages
                .iter()
                .map(|message| message["requestId"].to_string()),
        );
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 7, "each request has a name of its own");
}

#[test]
fn each_message_waits_as_long_as_configured_and_one_timer_does_for_all() {
    let mut world = world(|config| config.routes.timeout = 5_000);
    let (viewer, backend) = (world.viewer(), backend(&mut world));
    let idle = world.engine.inspect().timers();
    for id in 0..3 {
        ask(&mut world, viewer, id);
        world.run_for(1_000);
    }
    assert_eq!(world.engine.inspect().timers(), idle + 1);
    let requests = world.messages(backend);
    world.send(
        backend,
        &json!({"requestId": requests[1]["requestId"], "payload": 1}),
    );
    assert_eq!(only(&mut world, viewer)["payload"], 1);
    world.run_for(1_999);
    assert_eq!(world.messages(viewer), [Value::Null; 0]);
    world.run_for(1);
    let error = only(&mut world, viewer);
    assert_error(&error, "internal", NO_ANSWER, 0);
    assert_eq!(World::moment(&error), 5_000);
    world.run_for(2_000);
    let error = only(&mut world, viewer);
    assert_error(&error, "internal", NO_ANSWER, 2);
    assert_eq!(World::moment(&error), 7_000);
    assert_eq!(world.engine.inspect().timers(), idle);
    world.send(
        backend,
        &json!({"requestId": requests[2]["requestId"], "payload": 1}),
    );
    let complaint = only(&mut world, backend);
    assert_eq!(complaint["payload"]["code"], "not_found");
    assert_eq!(complaint["requestId"], requests[2]["requestId"]);
    assert_eq!(world.messages(viewer), [Value::Null; 0], "it is too late");
}

#[test]
fn an_answer_disarms_the_timer() {
    let mut world = world(|_| {});
    let (viewer, backend) = (world.viewer(), backend(&mut world));
    ask(&mut world, viewer, 1);
    let name = request(&mut world, backend);
    world.send(backend, &json!({"requestId": name, "payload": {}}));
    world.leave(viewer);
    world.leave(backend);
    world.assert_empty();
}

#[test]
fn without_a_time_limit_an_answer_may_take_a_year() {
    let mut world = world(|config| config.routes.timeout = 0);
    let (viewer, backend) = (world.viewer(), backend(&mut world));
    ask(&mut world, viewer, 1);
    let name = request(&mut world, backend);
    world.run_for(365 * 86_400_000);
    world.messages(viewer);
    world.send(backend, &json!({"requestId": name, "payload": "late"}));
    assert_eq!(only(&mut world, viewer)["payload"], "late");
}

#[test]
fn an_answer_never_reaches_a_stranger_and_a_gone_sender_is_no_error() {
    let mut world = world(|_| {});
    let (sender, backend) = (world.viewer(), backend(&mut world));
    let member = world.viewer();
    world.send(member, &json!({"type": "join_room", "room": "r"}));
    world.messages(member);
    for id in 0..3 {
        ask(&mut world, sender, id);
    }
    let requests = world.messages(backend);
    world.leave(sender);
    let stranger = world.viewer();
    let name = |index: usize| requests[index]["requestId"].clone();
    world.send(
        backend,
        &json!({"requestId": name(0), "payload": "private"}),
    );
    world.send(
        backend,
        &json!({"requestId": name(1), "error": {"message": "private"}}),
    );
    world.send(
        backend,
        &json!({"requestId": name(2), "room": "r", "payload": "said"}),
    );
    assert_eq!(world.messages(backend), [Value::Null; 0], "no complaint");
    assert_eq!(world.messages(stranger), [Value::Null; 0]);
    let said = only(&mut world, member);
    assert_eq!(
        (&said["type"], &said["payload"]),
        (&json!("chat.send"), &json!("said"))
    );
    assert_eq!(world.engine.inspect().backend_requests(), 0);
}

#[test]
fn what_a_gone_sender_left_behind_times_out_in_silence() {
    let mut world = world(|_| {});
    let (sender, backend) = (world.viewer(), backend(&mut world));
    ask(&mut world, sender, 1);
    world.leave(sender);
    let stranger = world.viewer();
    world.run_for(10_000);
    assert_eq!(world.messages(stranger), [Value::Null; 0]);
    world.leave(stranger);
    world.leave(backend);
    world.assert_empty();
}

#[test]
fn when_a_backend_goes_its_messages_fail_and_the_others_go_on() {
    let mut world = world(|_| {});
    let viewer = world.viewer();
    let (first, second) = (backend(&mut world), backend(&mut world));
    ask(&mut world, viewer, 1);
    ask(&mut world, viewer, 2);
    world.messages(first);
    world.leave(first);
    assert_error(&only(&mut world, viewer), "internal", GONE, 1);
    let name = request(&mut world, second);
    world.send(second, &json!({"requestId": name, "payload": "done"}));
    assert_eq!(only(&mut world, viewer)["replyTo"], 2);
    ask(&mut world, viewer, 3);
    request(&mut world, second);
    world.leave(second);
    assert_error(&only(&mut world, viewer), "internal", GONE, 3);
    ask(&mut world, viewer, 4);
    assert_error(&only(&mut world, viewer), "not_found", NOBODY, 4);
    world.leave(viewer);
    world.assert_empty();
}

#[test]
fn so_many_wait_and_whoever_has_left_makes_way() {
    let mut world = world(|config| {
        config.routes.max_pending = 2;
        config.routes.timeout = 0;
    });
    let (viewer, guest) = (world.viewer(), world.viewer());
    let backend = backend(&mut world);
    ask(&mut world, viewer, 1);
    ask(&mut world, guest, 2);
    ask(&mut world, viewer, 3);
    let full = "limit exceeded: routes.max_pending";
    assert_error(&only(&mut world, viewer), "limit_exceeded", full, 3);
    world.leave(guest);
    ask(&mut world, viewer, 4);
    assert_eq!(world.messages(viewer), [Value::Null; 0]);
    assert_eq!(world.engine.inspect().backend_requests(), 2);
    let asked = world.messages(backend);
    let numbers: Vec<_> = asked
        .iter()
        .map(|request| &request["payload"]["n"])
        .collect();
    assert_eq!(numbers, [1, 2, 4]);
    world.leave(backend);
    assert_eq!(world.messages(viewer).len(), 2);
    world.leave(viewer);
    world.assert_empty();
}

/// A message of so many bytes, as a viewer sends it.
fn long(id: u64, bytes: usize) -> Value {
    json!({"type": "chat.send", "payload": "x".repeat(bytes), "id": id})
}

/// The ids of the senders' messages that a backend has heard, by their payloads' lengths.
fn lengths(world: &mut World, backend: PeerId) -> Vec<usize> {
    let messages = world.messages(backend).into_iter();
    let length = |message: Value| message["payload"].as_str().map_or(0, str::len);
    messages.map(length).collect()
}

#[test]
fn a_backend_that_does_not_read_is_closed_and_those_who_wait_are_told() {
    let mut world = world(|config| {
        config.websocket.max_outbox_size = 100_000;
        config.routes.timeout = 0;
    });
    let (viewer, other, backend) = (world.viewer(), world.viewer(), backend(&mut world));
    world.stall(backend, 0);
    for id in 1..=4 {
        world.send(viewer, &long(id, 40_000));
    }
    world.send(other, &long(5, 10));
    assert_eq!(world.messages(viewer), [Value::Null; 0], "it waits");
    assert_eq!(world.engine.inspect().backend_requests(), 2);
    world.run_for(59_999);
    assert_eq!(world.engine.inspect().backend_links(), 1);
    world.run_for(2);
    assert_eq!(world.engine.inspect().backend_links(), 0);
    let errors = world.messages(viewer);
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert_error(&errors[0], "internal", GONE, 1);
    assert_error(&errors[1], "internal", GONE, 2);
    assert_error(&errors[2], "not_found", NOBODY, 3);
    assert_error(&errors[3], "not_found", NOBODY, 4);
    assert_error(&only(&mut world, other), "not_found", NOBODY, 5);
    world.read(backend, None);
    let heard = world.heard(backend);
    let last = heard.last().map(|(_, heard)| heard);
    assert_eq!(last, Some(&Heard::Close(4430)), "{heard:?}");
}

#[test]
fn whoever_finds_the_application_behind_waits_in_the_order_of_arrival() {
    let mut world = world(|config| config.websocket.max_outbox_size = 100_000);
    let (first, second, third) = (world.viewer(), world.viewer(), world.viewer());
    let backend = backend(&mut world);
    world.stall(backend, 1);
    world.send(first, &long(1, 90_001));
    world.send(first, &long(2, 90_002));
    world.send(first, &json!({"type": "ping", "id": 3}));
    world.send(second, &long(4, 4));
    world.send(third, &long(5, 90_005));
    world.send(second, &long(6, 6));
    assert_eq!(
        world.messages(first),
        [Value::Null; 0],
        "the ping waits behind it"
    );
    let unsent = world.unsent_bytes(backend);
    assert!(unsent < 100_000, "{unsent} bytes");
    world.leave(third);
    world.read(backend, None);
    world.run_for(0);
    assert_eq!(lengths(&mut world, backend), [90_001, 90_002, 4, 6]);
    assert_eq!(only(&mut world, first)["type"], "pong");
    for peer in [first, second, backend] {
        world.leave(peer);
    }
    world.run_for(20_000);
    world.assert_empty();
}

#[test]
fn a_message_goes_to_a_link_that_has_room() {
    let mut world = world(|config| config.websocket.max_outbox_size = 100_000);
    let viewer = world.viewer();
    let (stuck, free) = (backend(&mut world), backend(&mut world));
    world.stall(stuck, 0);
    for id in 0..6 {
        world.send(viewer, &long(id, 60_000));
    }
    assert_eq!(lengths(&mut world, free), [60_000; 5]);
    world.leave(stuck);
    assert_error(&only(&mut world, viewer), "internal", GONE, 0);
}

#[test]
fn a_wait_does_not_count_as_the_applications_and_a_new_link_ends_it() {
    let mut world = world(|config| {
        config.websocket.max_outbox_size = 100_000;
        config.routes.timeout = 5_000;
    });
    let (viewer, other) = (world.viewer(), world.viewer());
    let stuck = backend(&mut world);
    world.stall(stuck, 0);
    world.send(viewer, &long(1, 90_000));
    world.send(other, &long(2, 90_000));
    world.run_for(4_000);
    let free = world.upgrade("/backend", "");
    assert_eq!(lengths(&mut world, free), [90_000]);
    world.run_for(1_000);
    assert_error(&only(&mut world, viewer), "internal", NO_ANSWER, 1);
    world.run_for(3_999);
    assert_eq!(world.messages(other), [Value::Null; 0]);
    world.run_for(1);
    assert_error(&only(&mut world, other), "internal", NO_ANSWER, 2);
}

#[test]
fn two_long_messages_in_a_row_do_not_end_the_link() {
    let mut world = world(|config| config.websocket.max_message_size = 2_000_000);
    let viewer = world.viewer();
    let backend = backend(&mut world);
    world.stall(backend, 10_000);
    let (mut heard, mut said) = (Vec::new(), 0);
    while heard.len() < 20 {
        if world.is_read(viewer) && said < 20 {
            world.send(viewer, &long(said, 1_000_000));
            said += 1;
        }
        let unsent = world.unsent_bytes(backend);
        assert!(unsent < 1_100_000, "{unsent} bytes");
        world.read(backend, Some(100_000));
        world.run_for(10);
        heard.extend(lengths(&mut world, backend));
        assert!(world.millis() < 60_000, "{}", heard.len());
    }
    assert_eq!(heard, [1_000_000; 20]);
}

#[test]
fn what_is_wrong_with_its_answers_does_not_end_the_link() {
    let mut world = world(|config| config.websocket.max_outbox_size = 20_000);
    let backend = backend(&mut world);
    world.stall(backend, 0);
    for _ in 0..4_000 {
        world.send(backend, &json!({"requestId": "nobody's", "payload": 1}));
    }
    let unsent = world.unsent_bytes(backend);
    assert!(unsent < 300_000, "{unsent} bytes");
    world.read(backend, None);
    world.run_for(0);
    let complaints = world.messages(backend);
    assert_eq!(complaints.len(), 4_000);
    assert_eq!(world.engine.inspect().backend_links(), 1);
}

#[test]
fn an_application_that_is_behind_is_heard() {
    let mut world = world(|config| config.websocket.max_outbox_size = 100_000);
    let viewer = world.viewer();
    let backend = backend(&mut world);
    ask(&mut world, viewer, 1);
    let name = request(&mut world, backend);
    world.stall(backend, 0);
    world.send(viewer, &long(2, 90_000));
    world.send(backend, &json!({"requestId": name, "payload": "yes"}));
    assert_eq!(only(&mut world, viewer)["payload"], "yes");
}

#[test]
fn a_silent_backend_is_found_out_as_clients_are() {
    let mut world = world(|config| config.routes.timeout = 0);
    let (viewer, backend) = (world.viewer(), backend(&mut world));
    world.set_answers_pings(backend, false);
    ask(&mut world, viewer, 1);
    world.run_for(60_000);
    let heard = world.heard(backend);
    assert_eq!(heard.last(), Some(&(60_000, Heard::Close(4408))));
    assert_error(&only(&mut world, viewer), "internal", GONE, 1);
}

#[test]
fn backends_are_no_clients() {
    let mut world = world(|config| {
        config.websocket.max_clients = 1;
        limit_messages(config, 2);
        limit_connections(config, 1);
    });
    let backends: Vec<PeerId> = (0..3).map(|_| backend(&mut world)).collect();
    let viewer = world.viewer();
    for number in 0..20 {
        world.send(
            backends[0],
            &json!({"all": true, "type": "news", "payload": number}),
        );
    }
    assert_eq!(world.messages(viewer).len(), 20);
    assert_eq!(world.messages(backends[1]), [Value::Null; 0]);
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["active"], 1);
    assert_eq!(statistics["connections"]["total"], 1);
}

#[test]
fn when_the_server_ends_so_does_the_link() {
    let mut world = world(|_| {});
    let (viewer, backend) = (world.viewer(), backend(&mut world));
    ask(&mut world, viewer, 1);
    world.shut_down();
    let heard = world.heard(backend);
    let last = heard.last().map(|(_, heard)| heard);
    assert_eq!(last, Some(&Heard::Close(1001)), "{heard:?}");
    world.run_for(1_000);
    assert!(world.is_closed(backend) && world.stopped);
    assert_eq!(world.engine.inspect().backend_requests(), 0);
}
