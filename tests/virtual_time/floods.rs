//! Peers that send more than they need to: each has its share of a turn, in messages as well as bytes, and what it makes
//! the server keep for it is bounded.

use super::masked::{PING, PONG, TEXT, masked, masked_frame};
use super::world::Heard;
use super::world::{PeerId, World, request};
use joblight::internals::engine::Services;
use serde_json::{Value, json};

/// What a peer may bring in one turn: messages, frames, requests or lines.
const SHARE: usize = 256;

fn pings(count: usize) -> Vec<u8> {
    let ping = |n: usize| masked(PING, &(n as u32).to_be_bytes());
    (0..count).flat_map(ping).collect()
}

fn closes(heard: &[(u64, Heard)]) -> Vec<u16> {
    let codes = heard.iter().filter_map(|(_, heard)| match heard {
        Heard::Close(code) => Some(*code),
        _ => None,
    });
    codes.collect()
}

#[test]
fn a_few_pings_are_answered_one_by_one_and_of_more_the_newest() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.say(viewer, &pings(16));
    let payload = |n: u32| n.to_be_bytes().to_vec();
    let first: Vec<Vec<u8>> = (0..16).map(payload).collect();
    assert_eq!(world.pongs(viewer), first);
    world.run_for(60_000);
    world.pongs(viewer);
    world.say(viewer, &pings(100));
    let answered = world.pongs(viewer);
    assert_eq!(answered.len(), 17);
    assert_eq!(answered[..16], first);
    assert_eq!(answered[16], payload(99));
}

#[test]
fn a_goodbye_is_the_last_word_also_behind_many_pings() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    let goodbye = masked(super::masked::CLOSE, &1000_u16.to_be_bytes());
    world.say(viewer, &[pings(40), goodbye].concat());
    let heard = world.heard(viewer);
    assert_eq!(
        heard.last().map(|(_, last)| last),
        Some(&Heard::Close(1000))
    );
    assert_eq!(world.pongs(viewer).len(), 17);
}

#[test]
fn twenty_control_frames_a_second_are_borne_and_more_are_not() {
    for opcode in [PING, PONG] {
        let mut world = World::new(|_| {});
        let (steady, burst, hasty) = (world.viewer(), world.viewer(), world.viewer());
        let frames = |count: usize| masked(opcode, b"x").repeat(count);
        for _ in 0..600 {
            world.say(steady, &frames(20));
            world.run_for(1_000);
        }
        assert_eq!(closes(&world.heard(steady)), [0_u16; 0]);
        for _ in 0..3 {
            world.say(burst, &frames(200));
            world.run_for(10_000);
        }
        assert_eq!(closes(&world.heard(burst)), [0_u16; 0]);
        world.heard(hasty);
        for _ in 0..11 {
            world.say(hasty, &frames(21));
            world.run_for(900);
        }
        let heard = world.heard(hasty);
        assert_eq!(closes(&heard), [4429], "{opcode}");
        let told = heard.iter().find_map(|(_, heard)| match heard {
            Heard::Message(told) if told["type"] == "disconnected" => Some(told.clone()),
            _ => None,
        });
        let told = told.expect("a client of the payload dialect is told");
        assert_eq!(told["payload"]["code"], 4429);
        assert_eq!(told["payload"]["reconnect"], true);
        assert!(told["payload"]["delayMs"].as_u64() >= Some(1_000), "{told}");
        assert!(world.is_closed(hasty));
    }
}

#[test]
fn every_kind_of_websocket_is_held_to_that() {
    for path in ["/ws", "/", "/echo", "/backend"] {
        let mut world = World::new(|config| config.websocket.echo_path = "/echo".to_owned());
        let peer = world.upgrade(path, "");
        let both = [masked(PING, b""), masked(PONG, b"")].concat();
        world.say(peer, &both.repeat(100));
        assert_eq!(closes(&world.heard(peer)), [0_u16; 0], "{path}");
        world.say(peer, &both);
        assert_eq!(closes(&world.heard(peer)), [4429], "{path}");
    }
}

#[test]
fn pongs_that_were_asked_for_do_not_count() {
    let mut world = World::new(|config| config.websocket.heartbeat_interval = 40);
    let viewer = world.watcher("t");
    for step in 0..600 {
        world.report("t", "started", json!({"restart": true, "total": step + 1}));
        world.run_for(100);
    }
    assert_eq!(closes(&world.heard(viewer)), [0_u16; 0]);
    assert!(!world.is_closed(viewer));
}

#[test]
fn what_pings_make_the_server_keep_counts_whole() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.stall(viewer, 0);
    for _ in 0..2_000 {
        world.say(viewer, &masked(PING, b"").repeat(16));
    }
    let chunks = world.engine.inspect().unsent_messages();
    assert!(chunks < 300, "{chunks} pongs are kept");
}

/// What answers that a peer leaves unread may cost: bytes, and what keeping each of them takes.
#[test]
fn short_answers_that_nobody_reads_are_bounded_by_what_they_take() {
    let mut world = World::new(|config| {
        config.websocket.echo_path = "/echo".to_owned();
        config.websocket.max_outbox_size = 64 * 1024;
    });
    let echo = world.upgrade("/echo", "");
    world.stall(echo, 0);
    for _ in 0..400 {
        world.say(echo, &masked(TEXT, b"").repeat(200));
    }
    let chunks = world.engine.inspect().unsent_messages();
    assert!(chunks < 1_100, "{chunks} answers are kept");
}

/// One peer that says all of `bytes` at once; what the server reads of it in that turn is not all.
fn is_cut(world: &mut World, peer: PeerId, bytes: &[u8]) {
    world.say(peer, bytes);
    assert!(!world.is_read(peer), "the rest waits for its turn");
    world.run_for(0);
    assert!(world.is_read(peer), "and is not forgotten");
}

fn messages_received(world: &mut World) -> u64 {
    let now = world.now();
    let stats = world
        .engine
        .command(now, |context| context.websocket_stats());
    stats.messages.total_received
}

#[test]
fn tiny_messages_have_a_share_of_a_turn() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    let message = masked(TEXT, br#"{"type":"ping"}"#);
    let before = messages_received(&mut world);
    world.say(viewer, &message.repeat(1_000));
    let taken = messages_received(&mut world) - before;
    assert_eq!(taken as usize, SHARE);
    world.run_for(0);
    assert_eq!(world.messages(viewer).len(), 1_000, "in turn, all of them");
}

#[test]
fn fragments_have_a_share_of_a_turn() {
    let fragment = |payload: &[u8]| masked_frame(0, payload);
    for payload in [&b""[..], b" "] {
        let mut world = World::new(|_| {});
        let viewer = world.viewer();
        let mut bytes = masked_frame(TEXT, br#"{"type":"ping"}"#);
        bytes.extend(fragment(payload).repeat(1_000));
        is_cut(&mut world, viewer, &bytes);
        world.say(viewer, &masked(0, b""));
        assert_eq!(world.messages(viewer).len(), 1);
    }
}

#[test]
fn pipelined_requests_have_a_share_of_a_turn() {
    let mut world = World::new(|_| {});
    let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
    let health = request("GET", "/health", &Value::Null);
    world.say(peer, health.repeat(1_000).as_bytes());
    assert_eq!(world.heard(peer).len(), SHARE);
    world.run_for(0);
    assert_eq!(world.heard(peer).len(), 1_000 - SHARE);
}

#[test]
fn chunks_and_lines_have_a_share_of_a_turn() {
    let head = "POST /api/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
                Content-Type: application/x-ndjson\r\n\r\n";
    let lines = "0\n".repeat(1_000);
    let whole = format!("{:x}\r\n{lines}\r\n0\r\n\r\n", lines.len());
    let bits = format!("{}0\r\n\r\n", "1\r\n0\r\n1\r\n\n\r\n".repeat(1_000));
    for body in [whole, bits] {
        let mut world = World::new(|_| {});
        let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
        is_cut(&mut world, peer, format!("{head}{body}").as_bytes());
        let [(_, Heard::Answer(400, problem))] = &world.heard(peer)[..] else {
            panic!("no answer");
        };
        let detail = problem["detail"].as_str().expect("a reason");
        assert!(detail.starts_with("none of 1000 lines"), "{detail}");
    }
}

#[test]
fn local_producers_have_a_share_of_a_turn() {
    let mut world = World::new(|_| {});
    let producer = world.connect(Services::INGEST, [127, 0, 0, 1]);
    let event =
        |n: usize| format!("{{\"type\":\"task_progress\",\"payload\":{{\"taskId\":\"t{n}\"}}}}\n");
    let lines: String = (0..1_000).map(event).collect();
    world.say(producer, lines.as_bytes());
    let tasks = |world: &World| world.engine.inspect().task_ids().count();
    assert_eq!(tasks(&world), SHARE);
    world.run_for(0);
    assert_eq!(tasks(&world), 1_000);
}

#[test]
fn who_says_little_is_served_between_those_who_say_much() {
    let mut world = World::new(|_| {});
    let floods: Vec<PeerId> = (0..20).map(|_| world.viewer()).collect();
    let calm = world.connect(Services::HTTP, [127, 0, 0, 1]);
    let tiny = masked(TEXT, b"0").repeat(2_000);
    world.turn(|world| {
        for flood in &floods {
            world.feed(*flood, &tiny);
        }
        world.feed(calm, request("GET", "/health", &Value::Null).as_bytes());
    });
    assert_eq!(world.heard(calm).len(), 1, "answered in the same turn");
    for flood in &floods {
        let taken = world.messages(*flood).len();
        assert!(taken <= SHARE, "{taken}");
    }
    let before = messages_received(&mut world);
    world.turn(|_| {});
    let taken = messages_received(&mut world) - before;
    assert!(taken <= 4_096, "{taken} in one turn for all together");
    world.run_for(0);
    for flood in floods {
        assert!(world.is_read(flood));
    }
}

#[test]
fn lines_that_were_read_from_a_producer_count_when_the_server_ends() {
    let mut world = World::new(|_| {});
    let producer = world.connect(Services::INGEST, [127, 0, 0, 1]);
    let line = |task| {
        let event = json!({"type": "task_progress", "payload": {"taskId": format!("t{task}")}});
        format!("{event}\n")
    };
    let lines: String = (0..1_000).map(line).collect();
    world.say(producer, lines.as_bytes());
    world.shut_down();
    assert_eq!(world.engine.inspect().task_ids().count(), 1_000);
}
