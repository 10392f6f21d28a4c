//! Bodies that nobody will read: the head alone says so, and is answered at once.

use super::world::Heard;
use super::world::{PeerId, World};
use joblight::internals::engine::Services;
use serde_json::Value;

const KEY: &str = "Authorization: Bearer k\r\n";

fn world() -> World {
    World::new(|config| {
        config.http.api_key = "k".to_owned();
        config.server.allowed_hosts = vec!["x".to_owned()];
    })
}

fn head(line: &str, headers: &str) -> String {
    let host = if headers.contains("Host:") {
        ""
    } else {
        "Host: x\r\n"
    };
    format!("{line} HTTP/1.1\r\n{host}{headers}\r\n")
}

/// The status of the only answer, and the code of its problem.
fn only(world: &mut World, peer: PeerId) -> Option<(u16, Value)> {
    match &world.heard(peer)[..] {
        [] => None,
        [(_, Heard::Answer(status, body))] => Some((*status, body["code"].clone())),
        other => panic!("{other:?}"),
    }
}

/// What a head without its body is answered.
fn answer(services: Services, head: &str) -> (World, PeerId, Option<u16>) {
    let mut world = world();
    let peer = world.connect(services, [127, 0, 0, 1]);
    world.say(peer, head.as_bytes());
    let status = only(&mut world, peer).map(|(status, _)| status);
    (world, peer, status)
}

const REFUSED: [(Services, &str, &str, u16); 14] = [
    (Services::WEBSOCKET, "POST /", "", 426),
    (Services::WEBSOCKET, "POST /ws", "", 426),
    (Services::WEBSOCKET, "POST /api/events", KEY, 404),
    (Services::WEBSOCKET, "GET /health", "", 404),
    (Services::HTTP, "POST /nothing", KEY, 404),
    (Services::HTTP, "POST /%ff", KEY, 400),
    (Services::HTTP, "PUT /api/events", KEY, 405),
    (Services::HTTP, "POST /api/tasks", KEY, 405),
    (Services::HTTP, "POST /api/events", "", 401),
    (
        Services::HTTP,
        "POST /api/events",
        "Authorization: Bearer j\r\n",
        401,
    ),
    (Services::HTTP, "POST /api/tasks/t/started", "", 401),
    (Services::HTTP, "POST /api/events", "Host: y\r\n", 421),
    (Services::HTTP, "OPTIONS /nothing", "", 404),
    (Services::BOTH, "POST /backend", KEY, 426),
];

const BODIES: [&str; 5] = [
    "Content-Length: 50\r\n",
    "Content-Length: 900000\r\n",
    "Content-Length: 90000000\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Length: 50\r\nExpect: 100-continue\r\n",
];

#[test]
fn a_request_that_will_be_refused_is_refused_by_its_head() {
    for (services, line, headers, expected) in REFUSED {
        for body in BODIES {
            let head = head(line, &format!("{headers}{body}"));
            let (world, peer, status) = answer(services, &head);
            assert_eq!(status, Some(expected), "{head}");
            let is_short = body == BODIES[0];
            assert_eq!(world.is_half_closed(peer), !is_short, "{head}");
            assert!(world.engine.inspect().unfinished_bytes() == 0, "{head}");
        }
    }
}

#[test]
fn what_follows_such_a_head_is_not_kept_and_no_request() {
    let (mut world, peer, _) = answer(Services::WEBSOCKET, &head("POST /", BODIES[1]));
    for _ in 0..20 {
        world.say(
            peer,
            "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
                .repeat(900)
                .as_bytes(),
        );
    }
    assert_eq!(only(&mut world, peer), None);
    assert!(world.engine.inspect().unfinished_bytes() == 0);
}

#[test]
fn a_short_body_is_read_past_and_the_connection_goes_on() {
    let head = head("POST /nothing", "Content-Length: 50\r\n");
    let (mut world, peer, status) = answer(Services::HTTP, &head);
    assert_eq!(status, Some(404));
    world.say(peer, &[b'x'; 20]);
    world.say(
        peer,
        &[&[b'x'; 30][..], b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"].concat(),
    );
    assert_eq!(only(&mut world, peer).map(|(status, _)| status), Some(200));
    world.say(peer, format!("{head}{}", "y".repeat(50)).as_bytes());
    assert_eq!(only(&mut world, peer).map(|(status, _)| status), Some(404));
    assert!(!world.is_half_closed(peer));
    world.run_for(130_000);
    assert!(world.is_closed(peer));
    assert_eq!(only(&mut world, peer), None, "silently");
}

#[test]
fn a_call_without_a_body_reads_past_a_short_one_and_refuses_a_long_one() {
    for line in [
        "GET /health",
        "GET /api/tasks",
        "DELETE /api/tasks/t",
        "OPTIONS /health",
    ] {
        let short = head(line, &format!("{KEY}Content-Length: 50\r\n"));
        let (mut world, peer, status) = answer(Services::HTTP, &short);
        assert_eq!(status, None, "{line}: its end is to come");
        world.say(peer, &[b'x'; 50]);
        assert!(only(&mut world, peer).is_some() && !world.is_half_closed(peer));
        for body in [
            "Content-Length: 20000\r\n",
            "Content-Length: 20000\r\nExpect: 100-continue\r\n",
        ] {
            let (world, peer, status) =
                answer(Services::HTTP, &head(line, &format!("{KEY}{body}")));
            assert_eq!(status, Some(413), "{line}");
            assert!(world.is_half_closed(peer));
        }
        let chunked = head(line, &format!("{KEY}Transfer-Encoding: chunked\r\n"));
        let (mut world, peer, status) = answer(Services::HTTP, &chunked);
        assert_eq!(status, None);
        for _ in 0..30 {
            world.say(peer, format!("3e8\r\n{}\r\n", "x".repeat(1_000)).as_bytes());
            assert!(world.engine.inspect().unfinished_bytes() < 2_000);
        }
        assert_eq!(only(&mut world, peer).map(|(status, _)| status), Some(413));
    }
}

#[test]
fn a_body_that_is_wanted_is_waited_for() {
    let line = "POST /api/tasks/t/progress";
    let expecting = head(
        line,
        &format!("{KEY}Content-Length: 14\r\nExpect: 100-continue\r\n"),
    );
    let mut world = world();
    let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
    world.say(peer, expecting.as_bytes());
    let heard = world.heard(peer);
    assert!(
        matches!(heard[..], [(_, Heard::Answer(100, _))]),
        "{heard:?}"
    );
    world.say(peer, br#"{"progress":5}"#);
    assert_eq!(only(&mut world, peer).map(|(status, _)| status), Some(200));
    let (world, peer, status) = answer(
        Services::HTTP,
        &head(
            line,
            &format!("{KEY}Content-Length: 1048577\r\nExpect: 100-continue\r\n"),
        ),
    );
    assert_eq!(status, Some(413));
    assert!(world.is_half_closed(peer));
}
