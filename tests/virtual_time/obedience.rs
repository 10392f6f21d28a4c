//! Clients that do exactly what they are told when the server sends them away (contract section 9): they get in when there
//! is room, and do not storm meanwhile.

use super::masked::{TEXT, masked};
use super::visit::Visit;
use super::world::Heard;
use super::world::{PeerId, World, limit_connections, limit_messages};
use joblight::Config;
use joblight::internals::engine::Services;
use serde_json::{Value, json};

const ORIGIN: &str = "Origin: http://localhost:8080\r\n";

/// What a handshake has come to.
#[derive(Debug, PartialEq)]
enum Outcome {
    In,
    /// Sent away, to come back after so many milliseconds.
    Away {
        code: u16,
        delay_ms: u64,
    },
}

/// Connects, with what a page sends or without, and reads what comes of it.
fn knock(world: &mut World, address: [u8; 4], target: &str, headers: &str) -> (PeerId, Outcome) {
    let peer = world.connect(Services::BOTH, address);
    world.ask_upgrade(peer, target, headers);
    let heard: Vec<Heard> = world
        .heard(peer)
        .into_iter()
        .map(|(_, heard)| heard)
        .collect();
    let outcome = match &heard[..] {
        [Heard::Answer(status, problem)] => {
            assert_eq!(problem["status"], *status);
            let seconds = world.retry_after(peer).expect("when to come back");
            assert!(seconds >= 1, "{problem}");
            Outcome::Away {
                code: *status,
                delay_ms: seconds * 1000,
            }
        }
        [Heard::Message(notice), Heard::Close(code)] => {
            let payload = notice.get("payload").unwrap_or(&notice["data"]);
            assert_eq!(
                (&notice["type"], &payload["code"]),
                (&json!("disconnected"), &json!(code))
            );
            assert_eq!(payload["reconnect"], true, "{notice}");
            Outcome::Away {
                code: *code,
                delay_ms: payload["delayMs"].as_u64().expect("a delay"),
            }
        }
        [] => Outcome::In,
        [Heard::Message(greeting), ..] if greeting["type"] == "connected" => Outcome::In,
        other => panic!("{other:?}"),
    };
    if outcome != Outcome::In && !world.is_closed(peer) {
        world.leave(peer);
    }
    (peer, outcome)
}

/// A client that does what it is told.
#[derive(Debug)]
struct Client {
    address: [u8; 4],
    headers: &'static str,
    peer: Option<PeerId>,
    next_at: u64,
    attempts: Vec<u64>,
}

/// Many of them.
struct Crowd(Vec<Client>);

impl Crowd {
    /// All come at once, half of them from pages.
    fn new(count: usize, address: impl Fn(usize) -> [u8; 4]) -> Self {
        let client = |number| Client {
            address: address(number),
            headers: ["", ORIGIN][number % 2],
            peer: None,
            next_at: 0,
            attempts: Vec::new(),
        };
        Self((0..count).map(client).collect())
    }

    /// Lets everybody who is outside do what it was told, until a moment.
    fn run_until(&mut self, world: &mut World, end: u64) {
        loop {
            let outside = self.0.iter_mut().filter(|client| client.peer.is_none());
            let Some(next) = outside.min_by_key(|client| client.next_at) else {
                return;
            };
            if next.next_at > end {
                return world.run_for(end - world.millis());
            }
            world.run_for(next.next_at.saturating_sub(world.millis()));
            next.attempts.push(world.millis());
            match knock(world, next.address, "/ws", next.headers) {
                (peer, Outcome::In) => next.peer = Some(peer),
                (_, Outcome::Away { delay_ms, .. }) => next.next_at = world.millis() + delay_ms,
            }
        }
    }

    fn is_in(&self) -> usize {
        self.0.iter().filter(|client| client.peer.is_some()).count()
    }

    fn attempts(&self) -> usize {
        self.0.iter().map(|client| client.attempts.len()).sum()
    }

    /// Those who came in leave for good.
    fn go_home(&mut self, world: &mut World) -> usize {
        let before = self.0.len();
        for client in &mut self.0 {
            if let Some(peer) = client.peer {
                world.leave(peer);
            }
        }
        self.0.retain(|client| client.peer.is_none());
        before - self.0.len()
    }

    /// Nobody comes more often than once a second.
    fn check_pace(&self) {
        for client in &self.0 {
            let mut gaps = client.attempts.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(gaps.all(|gap| gap >= 1000), "{client:?}");
        }
    }
}

fn address(number: usize) -> [u8; 4] {
    [10, 0, (number / 250) as u8, (number % 250) as u8 + 1]
}

#[test]
fn a_full_server_is_not_stormed_and_lets_everybody_in_who_waits() {
    let mut world = World::new(|config| config.websocket.max_clients = 20);
    let mut crowd = Crowd::new(320, address);
    let mut came_in = 0;
    for round in 1..=40 {
        crowd.run_until(&mut world, round * 10_000);
        crowd.check_pace();
        let bound = 320 + round as usize * 10 * 60;
        assert!(crowd.attempts() < bound, "{} attempts", crowd.attempts());
        came_in += crowd.go_home(&mut world);
        if crowd.0.is_empty() {
            break;
        }
    }
    assert_eq!(came_in, 320, "everybody got in");
}

#[test]
fn a_server_that_stays_full_is_asked_ever_less_often_by_each() {
    let mut world = World::new(|config| config.websocket.max_clients = 1);
    let _inside = world.viewer();
    let mut crowd = Crowd::new(400, address);
    crowd.run_until(&mut world, 100_000);
    crowd.check_pace();
    assert_eq!(crowd.is_in(), 0);
    let attempts = crowd.attempts();
    assert!(
        (400 * 3..=60 * 100).contains(&attempts),
        "{attempts} attempts"
    );
    let health = world.document("/health");
    assert_eq!(health["websocket"]["connections"], 1, "they are no clients");
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["total"], 1, "{statistics}");
    assert_eq!(
        statistics["connections"]["refused"], attempts,
        "{statistics}"
    );
    assert_eq!(
        world.engine.inspect().connections(),
        1,
        "nothing is left of them"
    );
}

#[test]
fn a_crowd_behind_one_address_comes_in_as_fast_as_it_may() {
    let limit = 30;
    let mut world = World::new(|config| limit_connections(config, limit));
    let mut crowd = Crowd::new(200, |_| [10, 0, 0, 1]);
    let mut minute = 0;
    while crowd.is_in() < 200 {
        minute += 1;
        crowd.run_until(&mut world, minute * 60_000);
        crowd.check_pace();
        assert!(minute <= 10, "{} came in", crowd.is_in());
    }
    assert!(crowd.attempts() < 200 * 4, "{} attempts", crowd.attempts());
    // Nobody else has to wait for them.
    let (_, outcome) = knock(&mut world, [10, 0, 0, 2], "/ws", "");
    assert_eq!(outcome, Outcome::In);
}

#[test]
fn being_told_that_the_server_is_full_uses_nothing_up() {
    let mut world = World::new(|config| {
        config.websocket.max_clients = 1;
        limit_connections(config, 3);
    });
    let inside = world.viewer();
    let mut crowd = Crowd::new(2, |_| [10, 0, 0, 1]);
    crowd.run_until(&mut world, 120_000);
    assert!(crowd.attempts() > 20, "{}", crowd.attempts());
    world.leave(inside);
    crowd.run_until(&mut world, 123_000);
    assert_eq!(crowd.is_in(), 1, "{crowd:?}", crowd = crowd.0);
}

#[test]
fn one_address_that_storms_a_full_server_keeps_no_page_waiting() {
    for headers in ["", ORIGIN] {
        let mut world = World::new(|config| config.websocket.max_clients = 1);
        let _inside = world.viewer();
        for _ in 0..7_000 {
            let (_, outcome) = knock(&mut world, [10, 0, 0, 1], "/ws", headers);
            assert_ne!(outcome, Outcome::In);
        }
        let (_, outcome) = knock(&mut world, [10, 0, 0, 2], "/ws", ORIGIN);
        let Outcome::Away { delay_ms, .. } = outcome else {
            panic!("the server is full");
        };
        assert!(delay_ms <= 20_000, "{headers}: {delay_ms}");
    }
}

/// Of those who wait longest some have given up, so the line has an end; beyond it the wait is a matter of chance.
#[test]
fn a_crowd_beyond_the_line_comes_back_in_the_second_of_two_minutes() {
    let mut world = World::new(|config| config.websocket.max_clients = 1);
    let _inside = world.viewer();
    let mut delays = Vec::new();
    for number in 0..7_000 {
        let (_, outcome) = knock(&mut world, address(number), "/ws", ORIGIN);
        let Outcome::Away { delay_ms, .. } = outcome else {
            panic!("the server is full");
        };
        delays.push(delay_ms);
    }
    let in_one_second = |begin: u64| {
        let window = begin..begin + 1000;
        delays.iter().filter(|delay| window.contains(delay)).count()
    };
    let most_before = (1_000..58_000).step_by(500).map(in_one_second).max();
    assert_eq!(most_before, Some(25), "others have as many");
    assert!(
        delays[6_000..]
            .iter()
            .all(|delay| (60_000..=121_000).contains(delay))
    );
}

#[test]
fn being_told_that_there_is_no_room_uses_nothing_up() {
    let mut world = World::new(|config| {
        config.websocket.max_rooms = 1;
        limit_connections(config, 2);
    });
    world.report("a", "started", json!({}));
    for headers in [ORIGIN, "", ORIGIN] {
        let (_, outcome) = knock(&mut world, [10, 0, 0, 1], "/", headers);
        let Outcome::Away { code, .. } = outcome else {
            panic!("there is no room for `all`");
        };
        assert!([1013, 503].contains(&code), "{code}");
    }
    let (_, outcome) = knock(&mut world, [10, 0, 0, 1], "/ws", "");
    assert_eq!(outcome, Outcome::In);
    // Nor does whoever comes too often make the room.
    world.call("DELETE", "/api/tasks/a", &Value::Null);
    knock(&mut world, [10, 0, 0, 1], "/ws", "");
    assert_ne!(knock(&mut world, [10, 0, 0, 1], "/", "").1, Outcome::In);
    assert_eq!(world.engine.inspect().rooms().len(), 0);
}

#[test]
fn whoever_reloads_in_anger_is_not_kept_out_for_long() {
    let mut world = World::new(|config| limit_connections(config, 10));
    let mut last = 0;
    for _ in 0..500 {
        if let (_, Outcome::Away { delay_ms, .. }) = knock(&mut world, [10, 0, 0, 1], "/ws", ORIGIN)
        {
            last = delay_ms;
        }
    }
    assert!((1000..=122_000).contains(&last), "{last}");
    world.run_for(last);
    let (_, outcome) = knock(&mut world, [10, 0, 0, 1], "/ws", ORIGIN);
    assert_eq!(outcome, Outcome::In);
}

/// A full and a limiting server, with room for one.
fn crowded() -> [(World, [u16; 2]); 2] {
    let full = World::new(|config| config.websocket.max_clients = 1);
    let limiting = World::new(|config| limit_connections(config, 1));
    [(full, [1013, 503]), (limiting, [4429, 429])]
}

#[test]
fn a_page_is_told_in_its_dialect_and_others_by_their_status() {
    let message_pack = format!("{ORIGIN}Sec-WebSocket-Protocol: joblight.msgpack\r\n");
    let deflate = format!("{ORIGIN}Sec-WebSocket-Extensions: permessage-deflate\r\n");
    for (mut world, [code, status]) in crowded() {
        let local = [127, 0, 0, 1];
        assert_eq!(knock(&mut world, local, "/ws", ORIGIN).1, Outcome::In);
        for (target, headers, expected) in [
            ("/ws", ORIGIN, code),
            ("/", ORIGIN, code),
            ("/ws", &message_pack, code),
            ("/", &message_pack, code),
            ("/ws?batch=1", &deflate, code),
            ("/ws?session=nonsense", ORIGIN, code),
            ("/ws", "", status),
            ("/", "", status),
        ] {
            let (_, outcome) = knock(&mut world, local, target, headers);
            let Outcome::Away { code, delay_ms } = outcome else {
                panic!("{target} {headers}");
            };
            assert_eq!(code, expected, "{target} {headers}");
            assert!(delay_ms >= 1000, "{target} {headers}: {delay_ms}");
        }
    }
}

#[test]
fn the_echo_endpoint_sends_pages_away_by_the_code_alone() {
    let mut world = World::new(|config| {
        config.websocket.echo_path = "/echo".to_owned();
        limit_connections(config, 1);
    });
    let mut heard = |headers| {
        let peer = world.upgrade("/echo", headers);
        world.heard(peer).pop().map(|(_, heard)| heard)
    };
    assert_eq!(heard(ORIGIN), None);
    assert_eq!(heard(ORIGIN), Some(Heard::Close(4429)));
    assert!(matches!(heard(""), Some(Heard::Answer(429, _))));
}

#[test]
fn goodbyes_that_nobody_reads_are_bounded_and_end() {
    let mut world = World::new(|config| config.websocket.max_clients = 1);
    let _inside = world.viewer();
    let mut accepted = 0;
    for _ in 0..3_000 {
        let peer = world.connect(Services::BOTH, [10, 0, 0, 1]);
        world.set_leaves(peer, false);
        world.ask_upgrade(peer, "/ws", ORIGIN);
        match &world.heard(peer)[..] {
            [(_, Heard::Answer(503, _))] => world.leave(peer),
            [(_, Heard::Message(_)), (_, Heard::Close(1013))] => accepted += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((256..=1024).contains(&accepted), "{accepted}");
    let peers = world.engine.inspect().connections();
    assert_eq!(peers, 1 + accepted);
    world.run_for(5_000);
    assert_eq!(world.engine.inspect().connections(), 1);
    let (_, outcome) = knock(&mut world, [10, 0, 0, 1], "/ws", ORIGIN);
    assert!(matches!(outcome, Outcome::Away { code: 1013, .. }));
}

#[test]
fn what_a_page_says_after_the_goodbye_is_not_heard() {
    for (mut world, [code, _]) in crowded() {
        let _inside = world.viewer();
        let peer = world.connect(Services::BOTH, [127, 0, 0, 1]);
        world.set_leaves(peer, false);
        world.ask_upgrade(peer, "/ws", ORIGIN);
        assert_eq!(world.heard(peer).len(), 2);
        world.send(peer, &json!({"type": "subscribe", "rooms": ["a"]}));
        world.say(peer, &masked(TEXT, b"no JSON"));
        assert_eq!(world.heard(peer), [], "{code}");
        let rooms = world.document("/api/rooms");
        assert_eq!(rooms["rooms"], json!([]));
    }
}

/// The last `disconnected` of a peer, whose close frame must follow it.
fn goodbye(world: &mut World, peer: PeerId) -> Value {
    let mut heard = world.heard(peer).into_iter().map(|(_, heard)| heard);
    let notice = heard.find_map(|heard| match heard {
        Heard::Message(message) if message["type"] == "disconnected" => Some(message),
        _ => None,
    });
    let payload = notice.expect("a goodbye")["payload"].clone();
    let code = payload["code"].as_u64().expect("a code") as u16;
    assert_eq!(heard.collect::<Vec<_>>(), [Heard::Close(code)]);
    payload
}

#[track_caller]
fn check_spread(goodbyes: &[Value], code: u16) {
    let mut delays: Vec<u64> = Vec::new();
    for payload in goodbyes {
        assert_eq!(
            (&payload["code"], &payload["reconnect"]),
            (&json!(code), &json!(true))
        );
        delays.push(payload["delayMs"].as_u64().expect("a delay"));
    }
    assert!(
        delays.iter().all(|delay| *delay >= 1000),
        "{code}: {delays:?}"
    );
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > goodbyes.len() / 2, "{code}: {delays:?}");
}

#[test]
fn every_goodbye_that_asks_to_come_back_says_when() {
    for code in [1001, 1011, 1012, 1013, 4408, 4429, 4430] {
        let mut world = World::new(|_| {});
        let visits: Vec<Visit> = (0..20).map(|_| Visit::new(&mut world, &[])).collect();
        let mut goodbyes = Vec::new();
        for visit in visits {
            let path = format!("/api/clients/{}?code={code}", visit.id);
            assert_eq!(world.call("DELETE", &path, &Value::Null).0, 204);
            goodbyes.push(goodbye(&mut world, visit.peer));
        }
        check_spread(&goodbyes, code);
    }
    for code in [1000, 1008, 4401, 4403] {
        let mut world = World::new(|_| {});
        let visit = Visit::new(&mut world, &[]);
        let path = format!("/api/clients/{}?code={code}", visit.id);
        world.call("DELETE", &path, &Value::Null);
        let payload = goodbye(&mut world, visit.peer);
        assert_eq!(
            (&payload["reconnect"], &payload["delayMs"]),
            (&json!(false), &json!(0))
        );
    }
}

fn goodbyes(
    change: impl FnOnce(&mut Config),
    end: impl FnOnce(&mut World, &[PeerId]),
) -> Vec<Value> {
    let mut world = World::new(change);
    let viewers: Vec<PeerId> = (0..20).map(|_| world.viewer()).collect();
    end(&mut world, &viewers);
    let viewers = viewers.into_iter();
    viewers.map(|viewer| goodbye(&mut world, viewer)).collect()
}

#[test]
fn the_servers_end_and_silence_and_slowness_say_when_to_come_back() {
    check_spread(&goodbyes(|_| {}, |world, _| world.shut_down()), 1001);
    let silent = |world: &mut World, viewers: &[PeerId]| {
        viewers
            .iter()
            .for_each(|viewer| world.set_answers_pings(*viewer, false));
        world.run_for(100_000);
    };
    check_spread(&goodbyes(|_| {}, silent), 4408);
    let slow = |world: &mut World, viewers: &[PeerId]| {
        for viewer in viewers {
            world.send(*viewer, &json!({"type": "join_room", "room": "a"}));
            world.stall(*viewer, 0);
        }
        world.post("/api/rooms/a/broadcast", json!({"payload": 1}));
        world.run_for(30_000);
        viewers.iter().for_each(|viewer| world.read(*viewer, None));
    };
    check_spread(
        &goodbyes(|config| config.websocket.max_backlog_age = 30_000, slow),
        4430,
    );
}

#[test]
fn a_talker_that_does_what_it_is_told_may_talk_again() {
    let mut world = World::new(|config| limit_messages(config, 10));
    for early_ms in [0, 20_000, 50_000] {
        let visit = Visit::new(&mut world, &[]);
        world.send(visit.peer, &json!({"type": "ping"}));
        world.run_for(early_ms);
        for _ in 0..20 {
            world.send(visit.peer, &json!({"type": "ping"}));
        }
        let payload = goodbye(&mut world, visit.peer);
        assert_eq!(
            (&payload["code"], &payload["reconnect"]),
            (&json!(4429), &json!(true))
        );
        let delay_ms = payload["delayMs"].as_u64().expect("a delay");
        assert!(
            (1_000..=6_000 + 1_000).contains(&delay_ms),
            "until the next token: {delay_ms} after {early_ms}"
        );
        world.run_for(delay_ms);
        let again = visit.again(&mut world);
        assert!(again.resumed);
        world.send(again.peer, &json!({"type": "ping"}));
        assert_eq!(again.heard(&mut world), ["pong"]);
        world.leave(again.peer);
    }
}

#[test]
fn a_takeover_tells_the_old_connection_to_stay_away() {
    for headers in ["", "Sec-WebSocket-Protocol: joblight.msgpack\r\n"] {
        let mut world = World::new(|_| {});
        let visit = Visit::on(&mut world, "/ws?batch=1", headers);
        let again = visit.again(&mut world);
        let payload = goodbye(&mut world, visit.peer);
        let expected = json!({"code": 1008, "reason": "replaced by a newer connection", "reconnect": false, "delayMs": 0});
        assert_eq!(payload, expected);
        assert_eq!(
            again.heard(&mut world),
            Vec::<String>::new(),
            "none of its business"
        );
        world.leave(again.peer);
        assert!(visit.again(&mut world).resumed, "the session goes on");
    }
}

#[test]
fn a_session_comes_back_to_a_server_that_was_full() {
    let mut world = World::new(|config| config.websocket.max_clients = 1);
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    let other = world.viewer();
    let target = format!("/ws?session={}", visit.secret);
    let Outcome::Away { delay_ms, .. } = knock(&mut world, [127, 0, 0, 1], &target, ORIGIN).1
    else {
        panic!("it is full");
    };
    world.leave(other);
    world.run_for(delay_ms);
    assert!(visit.again(&mut world).resumed);
}
