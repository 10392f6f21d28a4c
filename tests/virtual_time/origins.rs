//! Which pages and hosts are served (contract section 8): one answer for every kind of request, whatever it asks for.

use super::world::Heard;
use super::world::World;
use joblight::Config;
use joblight::internals::engine::Services;
use serde_json::json;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Reads,
    Changes,
    Upgrades,
}

const EVENT: &str = "Content-Length: 36\r\n\r\n{\"type\":\"task_started\",\"taskId\":\"t\"}";

/// Every kind of request, over every path that one can take through the server: its name, and its text with `{}` where
/// the header lines under test go.
fn ways() -> Vec<(String, String, Kind)> {
    let mut ways = Vec::new();
    let mut add = |name: &str, request: String, kind| ways.push((name.to_owned(), request, kind));
    for target in [
        "/health",
        "/api/tasks",
        "/api/rooms/r/history",
        "/api/clients",
        "/nothing",
        "/ws",
        "/backend",
    ] {
        for method in ["GET", "OPTIONS"] {
            add(
                &format!("{method} {target}"),
                format!("{method} {target} HTTP/1.1\r\n{{}}\r\n"),
                Kind::Reads,
            );
        }
    }
    let preflight = "OPTIONS /api/events HTTP/1.1\r\n{}Access-Control-Request-Method: POST\r\n\r\n";
    add("preflight", preflight.to_owned(), Kind::Reads);
    for media in [
        "application/json",
        "text/plain",
        "application/x-ndjson",
        "application/cloudevents+json",
    ] {
        add(
            &format!("POST {media}"),
            format!("POST /api/events HTTP/1.1\r\n{{}}Content-Type: {media}\r\n{EVENT}"),
            Kind::Changes,
        );
    }
    add(
        "POST without a body",
        "POST /api/tasks/t/started HTTP/1.1\r\n{}Content-Length: 0\r\n\r\n".to_owned(),
        Kind::Changes,
    );
    for request in [
        "DELETE /api/tasks/none",
        "PUT /api/clients/none/rooms/r",
        "PATCH /api/tasks/none",
        "POST /nothing",
    ] {
        add(
            request,
            format!("{request} HTTP/1.1\r\n{{}}\r\n"),
            Kind::Changes,
        );
    }
    for target in ["/ws", "/", "/echo", "/backend", "/nothing"] {
        add(
            &format!("upgrade {target}"),
            format!(
                "GET {target} HTTP/1.1\r\n{{}}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ),
            Kind::Upgrades,
        );
    }
    ways
}

/// How a server is set up.
#[derive(Clone, Copy, Debug)]
struct Setup {
    host: &'static str,
    hosts: &'static [&'static str],
    origins: &'static [&'static str],
}

const HOME: Setup = Setup {
    host: "localhost",
    hosts: &[],
    origins: &["auto"],
};
const OPEN: Setup = Setup {
    host: "0.0.0.0",
    ..HOME
};
const NAMED: Setup = Setup {
    hosts: &["jobs.example", "localhost"],
    ..HOME
};

impl Setup {
    fn apply(self, config: &mut Config) {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        config.http.host = self.host.to_owned();
        config.websocket.echo_path = "/echo".to_owned();
        config.server.allowed_hosts = owned(self.hosts);
        config.server.allowed_origins = owned(self.origins);
    }
}

/// What is served: everything; 421 or 403 for everything; or only some of it.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Verdict {
    Served,
    UnknownHost,
    Foreign,
    /// It may read, and not change.
    Reads,
    /// It may read, and neither change nor connect.
    ReadsOnly,
}
use Verdict::{Foreign, Reads, ReadsOnly, Served, UnknownHost};

impl Verdict {
    fn status(self, kind: Kind) -> Option<u16> {
        match (self, kind) {
            (Served, _) | (Reads, Kind::Reads | Kind::Upgrades) | (ReadsOnly, Kind::Reads) => None,
            (UnknownHost, _) => Some(421),
            (Foreign, _) | (Reads, Kind::Changes) | (ReadsOnly, _) => Some(403),
        }
    }
}

/// The status with which a request is refused for its page or its host, if it is.
fn refusal(world: &mut World, unix: bool, request: &str) -> Option<u16> {
    let address = (!unix).then(|| [127, 0, 0, 1].into());
    let peer = world.connect_from(Services::BOTH, address);
    world.say(peer, request.as_bytes());
    let heard = world.heard(peer);
    if !world.is_closed(peer) {
        world.leave(peer);
    }
    match heard.first() {
        Some((_, Heard::Answer(status @ (421 | 403), body))) => {
            let code = if *status == 421 {
                "unknown_host"
            } else {
                "not_allowed"
            };
            assert!(body.is_null() || body["code"] == code, "{body}");
            Some(*status)
        }
        _ => None,
    }
}

#[track_caller]
fn check(setup: Setup, unix: bool, lines: &str, expected: Verdict) {
    let mut world = World::new(|config| setup.apply(config));
    let lines: String = lines.split('|').map(|line| format!("{line}\r\n")).collect();
    for (name, request, kind) in ways() {
        let request = request.replacen("{}", &lines, 1);
        let found = refusal(&mut world, unix, &request);
        assert_eq!(
            found,
            expected.status(kind),
            "{name} with {lines:?} at {setup:?}"
        );
    }
    if expected != Served {
        assert_eq!(
            world.document("/api/tasks")["tasks"],
            json!([]),
            "nothing has changed"
        );
    }
}

#[test]
fn at_home_no_name_can_be_rebound() {
    for host in [
        "localhost",
        "localhost:3000",
        "LOCALHOST.",
        "app.localhost",
        "127.0.0.1",
        "127.9.9.9:1",
        "[::1]:3000",
    ] {
        check(HOME, false, &format!("Host: {host}"), Served);
    }
    for host in ["192.168.1.5:3000", "[2001:db8::1]", "0.0.0.0:3000"] {
        check(HOME, false, &format!("Host: {host}"), Served);
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "jobs.example:3000",
        "",
    ] {
        check(HOME, false, &format!("Host: {host}"), UnknownHost);
        let same = format!("Host: {host}|Origin: http://{host}|Sec-Fetch-Site: same-origin");
        check(HOME, false, &same, UnknownHost);
    }
}

#[test]
fn at_home_pages_of_this_machine_are_served_and_no_others() {
    for page in [
        "http://localhost:5173",
        "https://localhost",
        "http://app.localhost:8080",
        "http://127.0.0.1:5500",
        "http://127.5.5.5",
        "http://[::1]:9",
    ] {
        check(
            HOME,
            false,
            &format!("Host: localhost:3000|Origin: {page}"),
            Served,
        );
        check(
            HOME,
            false,
            &format!("Host: 127.0.0.1:3000|Origin: {page}|Sec-Fetch-Site: same-site"),
            Served,
        );
    }
    for page in [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://evil-localhost",
        "null",
        "file://",
        "http://192.168.1.5",
        "chrome-extension://localhost",
        "http://localhost http://evil.example",
        "localhost",
        "",
        "http://localhost|Origin: https://evil.example",
    ] {
        check(
            HOME,
            false,
            &format!("Host: localhost:3000|Origin: {page}"),
            Foreign,
        );
    }
    // Forwarding headers say what they like.
    let forwarded = "Host: localhost|X-Forwarded-Host: evil.example|Origin: https://evil.example|X-Forwarded-For: 127.0.0.1";
    check(HOME, false, forwarded, Foreign);
    let forwarded = "Host: evil.example|X-Forwarded-Host: localhost|Forwarded: host=localhost";
    check(HOME, false, forwarded, UnknownHost);
    check(
        HOME,
        false,
        "Host: 192.168.1.5:3000|Origin: http://192.168.1.5:8080",
        Served,
    );
}

#[test]
fn what_a_browser_calls_cross_site_changes_nothing() {
    check(
        HOME,
        false,
        "Host: localhost|Sec-Fetch-Site: cross-site",
        ReadsOnly,
    );
    check(HOME, false, "Host: localhost|Sec-Fetch-Site: none", Served);
    let page = "Host: 127.0.0.1|Origin: http://localhost:5173|Sec-Fetch-Site: cross-site";
    check(HOME, false, page, Reads);
    for origins in [&["auto", "http://localhost:5173"][..], &["*"]] {
        check(Setup { origins, ..HOME }, false, page, Served);
    }
    let named = Setup {
        origins: &["https://app.example"],
        ..OPEN
    };
    let page = "Host: jobs.example|Origin: https://app.example|Sec-Fetch-Site: cross-site";
    check(named, false, page, Served);
    check(
        named,
        false,
        "Host: jobs.example|Sec-Fetch-Site: cross-site",
        ReadsOnly,
    );
}

#[test]
fn bound_to_the_network_every_name_is_served_and_proves_nothing() {
    for host in [
        "jobs.example",
        "joblight:3000",
        "localhost",
        "10.0.0.7:3000",
        "evil.example",
    ] {
        check(OPEN, false, &format!("Host: {host}"), Served);
    }
    for (host, page) in [
        ("10.0.0.7:3000", "http://10.0.0.7:8080"),
        ("[2001:db8::1]:3000", "http://[2001:DB8:0::1]"),
        ("localhost:3000", "http://localhost:5173"),
    ] {
        check(OPEN, false, &format!("Host: {host}|Origin: {page}"), Served);
    }
    for (host, page) in [
        ("evil.example:3000", "http://evil.example:3000"),
        ("jobs.example", "https://jobs.example"),
        ("10.0.0.7:3000", "http://localhost:5173"),
        ("10.0.0.7:3000", "http://10.0.0.8:3000"),
        ("10.0.0.7:3000", "null"),
        ("jobs.example", "http://127.0.0.1"),
    ] {
        check(
            OPEN,
            false,
            &format!("Host: {host}|Origin: {page}"),
            Foreign,
        );
    }
}

#[test]
fn named_hosts_are_served_and_their_pages_are() {
    for setup in [
        NAMED,
        Setup {
            host: "::",
            ..NAMED
        },
    ] {
        for host in [
            "jobs.example",
            "JOBS.example.:8443",
            "localhost",
            "a.localhost",
            "10.0.0.7:3000",
            "[::1]",
        ] {
            check(setup, false, &format!("Host: {host}"), Served);
        }
        for host in [
            "evil.example",
            "jobs.example.evil.example",
            "www.jobs.example",
        ] {
            check(setup, false, &format!("Host: {host}"), UnknownHost);
        }
        for (host, page) in [
            ("jobs.example", "https://jobs.example"),
            ("jobs.example:8443", "http://JOBS.example:1"),
            // A proxy that does not pass the name on.
            ("127.0.0.1:3000", "https://jobs.example"),
            ("localhost:3000", "http://localhost:5173"),
        ] {
            check(
                setup,
                false,
                &format!("Host: {host}|Origin: {page}"),
                Served,
            );
        }
        for (host, page) in [
            ("127.0.0.1:3000", "https://evil.example"),
            ("jobs.example", "http://127.0.0.1:5173"),
            ("jobs.example", "null"),
        ] {
            check(
                setup,
                false,
                &format!("Host: {host}|Origin: {page}"),
                Foreign,
            );
        }
    }
}

#[test]
fn a_list_of_origins_is_the_list() {
    let one = Setup {
        origins: &["https://app.example"],
        ..HOME
    };
    check(
        one,
        false,
        "Host: localhost|Origin: HTTPS://App.example:443",
        Served,
    );
    for page in [
        "http://localhost:5173",
        "http://app.example",
        "https://app.example:444",
        "null",
    ] {
        check(
            one,
            false,
            &format!("Host: localhost|Origin: {page}"),
            Foreign,
        );
    }
    let none = Setup {
        origins: &[],
        ..HOME
    };
    check(none, false, "Host: localhost", Served);
    check(
        none,
        false,
        "Host: localhost|Origin: http://localhost",
        Foreign,
    );
    let both = Setup {
        origins: &["auto", "https://app.example", "null"],
        ..HOME
    };
    for page in ["http://localhost:5173", "https://app.example", "null"] {
        check(
            both,
            false,
            &format!("Host: localhost|Origin: {page}"),
            Served,
        );
    }
    let any = Setup {
        origins: &["*"],
        ..HOME
    };
    check(
        any,
        false,
        "Host: localhost|Origin: https://anything.example",
        Served,
    );
    check(
        any,
        false,
        "Host: evil.example|Origin: https://evil.example",
        UnknownHost,
    );
}

#[test]
fn over_a_unix_socket_a_tool_names_what_it_likes_and_a_page_does_not() {
    for host in ["x", "joblight", "jobs.example", "localhost"] {
        check(HOME, true, &format!("Host: {host}"), Served);
    }
    check(
        HOME,
        true,
        "Host: localhost|Origin: http://localhost:5173",
        Served,
    );
    for (host, page) in [
        ("jobs.example", "https://jobs.example"),
        ("jobs.example", "http://localhost:5173"),
        ("localhost", "https://jobs.example"),
    ] {
        check(HOME, true, &format!("Host: {host}|Origin: {page}"), Foreign);
    }
    check(
        NAMED,
        true,
        "Host: jobs.example|Origin: https://jobs.example",
        Served,
    );
    check(NAMED, true, "Host: evil.example", UnknownHost);
}

#[test]
fn without_a_host_there_is_no_page() {
    for setup in [HOME, OPEN, NAMED] {
        let mut world = World::new(|config| setup.apply(config));
        let old = "GET /health HTTP/1.0\r\n\r\n";
        assert_eq!(refusal(&mut world, false, old), None, "{setup:?}");
        let absolute = "GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let expected = (setup.host == "localhost").then_some(421);
        assert_eq!(refusal(&mut world, false, absolute), expected, "{setup:?}");
    }
}

#[test]
fn what_is_refused_is_counted() {
    let mut world = World::new(|_| {});
    for line in [
        "Origin: null",
        "Origin: https://a.example",
        "Sec-Fetch-Site: same-origin",
    ] {
        let request = format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n");
        refusal(&mut world, false, &request);
    }
    let rebound = "GET /ws HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    refusal(&mut world, false, rebound);
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["foreign"], 3, "{statistics}");
}
