//! What is begun and not ended: for how long it may stay so, and how much of it there may be.

use super::masked::{BINARY, PING, TEXT, masked, masked_frame};
use super::world::Heard;
use super::world::{PeerId, World, request};
use joblight::internals::engine::{Input, Services};
use serde_json::{Value, json};

/// A frame that begins a message and does not end it.
fn beginning(payload: &[u8]) -> Vec<u8> {
    masked_frame(TEXT, payload)
}

/// Lets seconds pass; in each of them a peer sends something.
fn dribble(world: &mut World, peer: PeerId, seconds: u64, bytes: &[u8]) {
    for _ in 0..seconds {
        world.say(peer, bytes);
        world.run_for(1_000);
    }
}

fn close_of(world: &mut World, peer: PeerId) -> Option<(u64, Heard)> {
    let heard = world.heard(peer).into_iter();
    let mut closes = heard.filter(|(_, heard)| matches!(heard, Heard::Close(_)));
    closes.next()
}

/// The status and code of the last answer.
fn answer(world: &mut World, peer: PeerId) -> Option<(u64, u16)> {
    match world.heard(peer).last() {
        Some((at, Heard::Answer(status, _))) => Some((*at, *status)),
        _ => None,
    }
}

#[test]
fn a_message_is_complete_in_time_whatever_trickles_in() {
    let part = masked_frame(0, b"x");
    let cut = &masked(BINARY, &[b' '; 100])[..20];
    for (first, more) in [
        (beginning(b"{"), part),
        (beginning(b""), masked_frame(0, b"")),
        (beginning(b"{"), masked(PING, b"")),
        (masked_frame(BINARY, b"1"), Vec::new()),
        (cut.to_vec(), b" ".to_vec()),
        (cut[..1].to_vec(), Vec::new()),
    ] {
        for path in ["/ws", "/", "/backend"] {
            let mut world = World::new(|_| {});
            let peer = world.upgrade(path, "");
            world.run_for(7_000);
            world.say(peer, &first);
            dribble(&mut world, peer, 59, &more);
            assert_eq!(close_of(&mut world, peer), None, "{first:?} {more:?}");
            world.run_for(1_000);
            let expected = Some((67_000, Heard::Close(4408)));
            assert_eq!(close_of(&mut world, peer), expected, "{first:?} {more:?}");
            world.run_for(10_000);
            world.assert_empty();
        }
    }
}

#[test]
fn each_message_has_that_time_for_itself() {
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    let end = masked(0, br#""type":"ping"}"#);
    for _ in 0..10 {
        world.say(viewer, &beginning(b"{"));
        world.run_for(50_000);
        // The next begins with the bytes that end this one.
        world.say(viewer, &[end.clone(), beginning(b"{")].concat());
        assert_eq!(world.messages(viewer).len(), 1);
        world.run_for(50_000);
        world.say(viewer, &end);
        assert_eq!(world.messages(viewer).len(), 1);
    }
    assert!(!world.is_closed(viewer));
}

#[test]
fn what_the_server_leaves_unread_is_not_late() {
    let mut world = World::new(|config| config.websocket.max_backlog_age = 0);
    let viewer = world.watcher("t");
    world.say(viewer, &beginning(b"{"));
    world.stall(viewer, 0);
    world.report("t", "started", json!({}));
    world.say(viewer, &masked(0, br#""type":"ping","id":1}"#));
    world.run_for(600_000);
    world.read(viewer, None);
    world.run_for(0);
    let messages = world.messages(viewer);
    assert!(
        messages.iter().any(|message| message["type"] == "pong"),
        "{messages:?}"
    );
}

#[test]
fn heads_and_bodies_are_complete_in_time() {
    let head =
        "POST /api/tasks/t/progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n";
    let chunked = "POST /api/tasks/t/progress HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (first, more) in [
        ("GET / HTTP/1.1\r\nX: ", "x"),
        (head, " "),
        (chunked, "1\r\n \r\n"),
        (chunked, ""),
    ] {
        let mut world = World::new(|_| {});
        let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
        // A connection that was used before is no other.
        for _ in 0..3 {
            world.run_for(39_000);
            world.say(peer, request("GET", "/health", &Value::Null).as_bytes());
        }
        world.heard(peer);
        world.run_for(3_000);
        world.say(peer, first.as_bytes());
        dribble(&mut world, peer, 59, more.as_bytes());
        assert_eq!(world.heard(peer), [], "{first}{more}");
        world.run_for(1_000);
        assert_eq!(
            answer(&mut world, peer),
            Some((180_000, 408)),
            "{first}{more}"
        );
        world.run_for(10_000);
        assert!(world.is_closed(peer));
        world.assert_empty();
    }
}

#[test]
fn a_stream_goes_on_as_long_as_its_lines_end() {
    let head = "POST /api/events HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
                Content-Type: application/x-ndjson\r\n\r\n";
    let line = "{\"type\":\"task_progress\",\"payload\":{\"taskId\":\"t\"}}\n";
    let mut world = World::new(|_| {});
    let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
    world.say(peer, head.as_bytes());
    for _ in 0..60 {
        let (one, other) = line.split_at(20);
        for part in [one, other] {
            world.say(peer, format!("{:x}\r\n{part}\r\n", part.len()).as_bytes());
            world.run_for(50_000);
        }
    }
    assert_eq!(world.heard(peer), []);
    world.run_for(5_000);
    world.say(peer, b"1\r\n{\r\n");
    dribble(&mut world, peer, 59, b"1\r\n \r\n");
    assert_eq!(world.heard(peer), []);
    world.run_for(1_000);
    assert_eq!(
        answer(&mut world, peer).map(|(_, status)| status),
        Some(408)
    );
}

#[test]
fn local_producers_may_take_their_time() {
    let mut world = World::new(|_| {});
    let producer = world.connect(Services::INGEST, [127, 0, 0, 1]);
    world.say(producer, b"{\"type\":\"task_progress\",");
    world.run_for(86_400_000);
    world.say(producer, b"\"payload\":{\"taskId\":\"t\"}}\n");
    assert_eq!(world.document("/api/tasks/t")["taskId"], "t");
}

#[test]
fn without_a_time_out_nothing_is_late() {
    let mut world = World::new(|config| {
        config.websocket.connection_timeout = 0;
        config.websocket.heartbeat_interval = 0;
    });
    let viewer = world.viewer();
    world.say(viewer, &beginning(b"{"));
    assert_eq!(world.engine.poll_timeout(), None);
}

/// Those of the peers that are not being closed.
fn open(world: &World, peers: &[PeerId]) -> Vec<usize> {
    let is_open =
        |index: &usize| !world.is_closed(peers[*index]) && !world.is_half_closed(peers[*index]);
    (0..peers.len()).filter(is_open).collect()
}

#[test]
fn of_too_much_that_is_unfinished_the_largest_goes_first() {
    let mut world = World::new(|config| config.websocket.max_message_size = 1_000_000);
    let small = world.viewer();
    world.say(small, &beginning(br#"{"type":"#));
    let large: Vec<PeerId> = (0..30).map(|_| world.upgrade("/", "")).collect();
    for (index, peer) in large.iter().enumerate() {
        world.say(*peer, &beginning(&vec![b' '; 800_000 + index]));
        assert!(world.engine.inspect().unfinished_bytes() <= 16 * 1024 * 1024);
    }
    let left = open(&world, &large);
    assert!((15..22).contains(&left.len()), "{left:?}");
    let gone = (0..30)
        .find(|index| !left.contains(index))
        .expect("some had to go");
    let heard = world.heard(large[gone]);
    assert_eq!(
        heard.last().map(|(_, last)| last),
        Some(&Heard::Close(1013))
    );
    world.say(small, &masked(0, br#""ping"}"#));
    assert_eq!(world.messages(small)[0]["type"], "pong");
    let statistics = world.document("/api/websocket/stats");
    let ended = statistics["connections"]["ended"]["unfinished"].as_u64();
    assert_eq!(ended, Some(30 - left.len() as u64), "{statistics}");
}

#[test]
fn requests_and_messages_are_counted_together() {
    let mut world = World::new(|config| {
        config.websocket.max_message_size = 4_000_000;
        config.http.max_body_size = 4_000_000;
    });
    let viewer = world.viewer();
    world.say(viewer, &beginning(&vec![b' '; 3_000_000]));
    let mut refused = Vec::new();
    let callers: Vec<PeerId> = (0..6)
        .map(|n| {
            let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
            let head =
                "POST /api/tasks/t/progress HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n";
            world.say(peer, head.as_bytes());
            world.say(peer, &vec![b' '; 3_400_000 + 1_000 * n]);
            peer
        })
        .collect();
    for caller in &callers {
        if let Some((_, status)) = answer(&mut world, *caller) {
            refused.push(status);
            assert_eq!(world.retry_after(*caller), Some(1));
        }
    }
    assert_eq!(refused, [503; 2]);
    assert_eq!(open(&world, &[viewer]), [0]);
    assert_eq!(open(&world, &callers), [0, 1, 2, 3]);
}

#[test]
fn where_long_messages_are_allowed_there_is_room_for_some() {
    let mut world = World::new(|config| config.websocket.max_message_size = 0);
    let peers: Vec<PeerId> = (0..6).map(|_| world.viewer()).collect();
    for peer in &peers {
        world.say(*peer, &beginning(&vec![b' '; 15_000_000]));
    }
    assert_eq!(open(&world, &peers).len(), 4);
}

#[test]
fn many_small_beginnings_count_by_what_they_take() {
    let mut world = World::new(|_| {});
    let first = world.viewer();
    world.say(first, &beginning(b"{"));
    for _ in 0..40_000 {
        let peer = world.connect(Services::WEBSOCKET, [127, 0, 0, 1]);
        world.say(peer, b"GET /");
        if world.engine.inspect().unfinished_bytes() > 200_000 {
            break;
        }
    }
    let peers = world.engine.inspect().connections();
    assert!(peers < 4_000, "{peers} beginnings took 200 kB");
    assert_eq!(open(&world, &[first]), [0]);
}

#[test]
fn what_the_store_is_waited_with_counts_too() {
    let mut world = World::new(|config| config.http.max_body_size = 4_000_000);
    let now = world.now();
    world.engine.handle_input(now, Input::StoreOpening);
    let viewer = world.upgrade("/ws", "");
    world.say(viewer, &beginning(&vec![b' '; 200_000]));
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
        let body = json!({"message": "x".repeat(1_000_000)});
        world.say(
            peer,
            request("POST", "/api/tasks/t/progress", &body).as_bytes(),
        );
        statuses.extend(answer(&mut world, peer).map(|(_, status)| status));
        assert!(world.engine.inspect().unfinished_bytes() <= 16 * 1024 * 1024);
    }
    assert!(!statuses.is_empty() && statuses.iter().all(|status| *status == 503));
    assert_eq!(open(&world, &[viewer]), [0]);
}

#[test]
fn a_producers_line_is_dropped_before_its_connection() {
    let mut world = World::new(|config| config.http.max_body_size = 4_000_000);
    let producers: Vec<PeerId> = (0..6)
        .map(|_| world.connect(Services::INGEST, [127, 0, 0, 1]))
        .collect();
    for producer in &producers {
        world.say(*producer, &vec![b' '; 3_500_000]);
        assert!(world.engine.inspect().unfinished_bytes() <= 16 * 1024 * 1024);
    }
    for (n, producer) in producers.iter().enumerate() {
        let line = json!({"type": "task_progress", "payload": {"taskId": format!("t{n}")}});
        world.say(*producer, format!("x\n{line}\n").as_bytes());
        let task = world.document(&format!("/api/tasks/t{n}"));
        assert_eq!(task["taskId"], format!("t{n}"), "it goes on");
    }
}

#[test]
fn a_message_is_complete_in_time_also_when_its_sender_is_cut_short() {
    // More than a turn's share, so that something is always left for the next.
    let parts: Vec<u8> = (0..300).flat_map(|_| masked_frame(0, b"")).collect();
    let mut world = World::new(|_| {});
    let viewer = world.viewer();
    world.say(viewer, &beginning(b"{"));
    for _ in 0..5 {
        world.run_for(11_000);
        world.say(viewer, &parts);
    }
    assert_eq!(close_of(&mut world, viewer), None);
    world.run_for(5_000);
    let expected = Some((60_000, Heard::Close(4408)));
    assert_eq!(close_of(&mut world, viewer), expected);
}
