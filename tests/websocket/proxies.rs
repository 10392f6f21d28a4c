//! Behind real proxies: which pages are served, and whose address counts (contract section 8). What a machine lacks is left
//! out, unless JOBLIGHT_TEST_ALL=1.

use crate::support::process::Directory;
use crate::support::{Answer, Http, Running, optional};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a proxy is started whose port somebody else has taken meanwhile.
const ATTEMPTS: usize = 5;
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A proxy that runs as long as this lives.
struct Proxy {
    child: Child,
    address: SocketAddr,
    _directory: Directory,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a proxy at a port that was free a moment ago, and waits until it takes connections.
fn start(launch: impl Fn(&Directory, SocketAddr) -> Command) -> Proxy {
    for _ in 0..ATTEMPTS {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let directory = Directory::new();
        let mut command = launch(&directory, address);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("the proxy starts");
        let mut proxy = Proxy {
            child,
            address,
            _directory: directory,
        };
        let began = Instant::now();
        while began.elapsed() < crate::support::LIMIT {
            let has_ended = proxy.child.try_wait().is_ok_and(|status| status.is_some());
            if has_ended {
                break;
            }
            let limit = Duration::from_secs(1);
            if TcpStream::connect_timeout(&address, limit).is_ok() {
                return proxy;
            }
            std::thread::yield_now();
        }
    }
    panic!("the proxy takes no connections");
}

/// nginx in front of a server, with these lines for every location.
fn nginx(server: &Running, lines: &str) -> Option<Proxy> {
    let Some(program) = optional::nginx() else {
        optional::skip("there is no nginx");
        return None;
    };
    let (http, websocket) = (server.http, server.websocket);
    Some(start(|directory, address| {
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {name};\n"))
            .concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}\
             server {{\nlisten {address};\nproxy_http_version 1.1;\n\
             location / {{ proxy_pass http://{http}; {lines} }}\n\
             location /ws {{ proxy_pass http://{websocket}; {lines}\n\
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; }}\n}}\n}}\n"
        );
        directory.write("nginx.conf", &text);
        let mut command = Command::new(&program);
        command
            .args([
                "-p",
                &directory.root().display().to_string(),
                "-c",
                "nginx.conf",
                "-e",
                "stderr",
            ])
            .stderr(Stdio::null());
        command
    }))
}

/// Caddy in front of a server; it passes the host on and upgrades by itself.
fn caddy(server: &Running) -> Option<Proxy> {
    let Some(program) = optional::caddy() else {
        println!("left out: there is no Caddy");
        return None;
    };
    let (http, websocket) = (server.http, server.websocket);
    Some(start(|directory, address| {
        let text = format!(
            "{{\nadmin off\nauto_https off\n}}\nhttp://:{} {{\nbind 127.0.0.1\nreverse_proxy /ws {websocket}\n\
             reverse_proxy {http}\n}}\n",
            address.port()
        );
        directory.write("Caddyfile", &text);
        let mut command = Command::new(&program);
        command
            .args(["run", "--config", "Caddyfile", "--adapter", "caddyfile"])
            .current_dir(directory.root())
            .env("HOME", directory.root())
            .stderr(Stdio::null());
        command
    }))
}

fn ask(proxy: &Proxy, target: &str, lines: &str) -> (Http, Answer) {
    let mut http = Http::connect(proxy.address);
    http.send(format!("GET {target} HTTP/1.1\r\n{lines}\r\n").as_bytes());
    let is_upgrade = lines.contains("Upgrade");
    let answer = http.answer(false);
    assert!(is_upgrade || answer.status != 101);
    (http, answer)
}

/// The statuses of a call and of an upgrade by a page, or by a program.
fn statuses(proxy: &Proxy, host: &str, page: Option<&str>) -> (u16, u16) {
    let origin = page.map_or_else(String::new, |page| format!("Origin: {page}\r\n"));
    let lines = format!("Host: {host}\r\n{origin}");
    let (_, call) = ask(proxy, "/api/tasks", &lines);
    let (_, upgrade) = ask(proxy, "/ws", &format!("{lines}{UPGRADE}"));
    (call.status, upgrade.status)
}

const PASSES_HOST: &str = "proxy_set_header Host $host;";
const PAGE: Option<&str> = Some("https://jobs.example");
const EVIL: Option<&str> = Some("https://evil.example");

#[test]
fn behind_nginx_a_page_is_served_whose_host_is_named() {
    let server = Running::start(|config| {
        config.server.allowed_hosts = vec!["jobs.example".to_owned()];
    });
    for lines in ["", PASSES_HOST] {
        let Some(proxy) = nginx(&server, lines) else {
            return;
        };
        assert_eq!(
            statuses(&proxy, "jobs.example", PAGE),
            (200, 101),
            "{lines}"
        );
        assert_eq!(
            statuses(&proxy, "jobs.example", None),
            (200, 101),
            "{lines}"
        );
        assert_eq!(
            statuses(&proxy, "jobs.example", EVIL),
            (403, 403),
            "{lines}"
        );
        assert_eq!(
            statuses(&proxy, "jobs.example", Some("null")),
            (403, 403),
            "{lines}"
        );
        let rebound = statuses(&proxy, "evil.example", EVIL);
        let expected = if lines.is_empty() { 403 } else { 421 };
        assert_eq!(rebound, (expected, expected), "{lines}");
    }
}

#[test]
fn behind_nginx_a_page_whose_host_nobody_has_named_is_told_what_to_add() {
    let server = Running::start(|_| {});
    for (lines, status, line) in [
        (
            "",
            403,
            "allowed_origins = [\"auto\", \"https://jobs.example\"]",
        ),
        (PASSES_HOST, 421, "allowed_hosts = [\"jobs.example\"]"),
    ] {
        let Some(proxy) = nginx(&server, lines) else {
            return;
        };
        assert_eq!(statuses(&proxy, "jobs.example", PAGE), (status, status));
        let head = "Host: jobs.example\r\nOrigin: https://jobs.example\r\n";
        let (_, answer) = ask(&proxy, "/api/tasks", head);
        let problem = answer.json();
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(line), "{detail}");
    }
}

#[test]
fn behind_nginx_each_viewer_has_its_own_share() {
    let server = Running::start(|config| {
        crate::support::limit_connections(config, 1);
        config.server.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    });
    let forward = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";
    let Some(proxy) = nginx(&server, forward) else {
        return;
    };
    let connect = |from: &str| {
        let lines = format!("Host: localhost\r\nX-Forwarded-For: {from}\r\n{UPGRADE}");
        ask(&proxy, "/ws", &lines)
    };
    let kept: Vec<(Http, Answer)> = ["203.0.113.1", "203.0.113.2", "2001:db8::1"]
        .map(connect)
        .into();
    assert!(kept.iter().all(|(_, answer)| answer.status == 101));
    for again in ["203.0.113.1", "10.0.0.1, 203.0.113.2", "[2001:db8::2]:99"] {
        assert_eq!(connect(again).1.status, 429, "{again}");
    }
    let clients = server.document("/api/clients");
    let mut addresses: Vec<&str> = clients["clients"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|client| client["address"].as_str())
        .collect();
    addresses.sort_unstable();
    assert_eq!(addresses, ["2001:db8::1", "203.0.113.1", "203.0.113.2"]);
}

#[test]
fn behind_caddy_a_page_is_served_whose_host_is_named() {
    let server = Running::start(|config| {
        config.server.allowed_hosts = vec!["jobs.example".to_owned()];
    });
    let Some(proxy) = caddy(&server) else { return };
    assert_eq!(statuses(&proxy, "jobs.example", PAGE), (200, 101));
    assert_eq!(statuses(&proxy, "jobs.example", EVIL), (403, 403));
    assert_eq!(statuses(&proxy, "evil.example", EVIL), (421, 421));
}

#[test]
fn a_development_proxy_may_change_the_host_or_not() {
    let server = Running::start(|_| {});
    let ask = |address: SocketAddr, head: String| {
        let mut http = Http::connect(address);
        http.send(head.as_bytes());
        http.answer(false).status
    };
    let status = |host: &str, page: &str| {
        let lines = format!("Host: {host}\r\nOrigin: {page}\r\n");
        let call = ask(
            server.http,
            format!("GET /api/tasks HTTP/1.1\r\n{lines}\r\n"),
        );
        let upgrade = ask(
            server.websocket,
            format!("GET /ws HTTP/1.1\r\n{lines}{UPGRADE}\r\n"),
        );
        assert_eq!(call == 200, upgrade == 101, "{call} {upgrade}");
        call
    };
    for host in ["localhost:5173", "localhost:3000", "127.0.0.1:3000"] {
        assert_eq!(status(host, "http://localhost:5173"), 200, "{host}");
    }
    // A telephone in the same network sees the address of the machine that develops.
    assert_eq!(status("192.168.1.5:5173", "http://192.168.1.5:5173"), 200);
    assert_eq!(status("localhost:3000", "http://192.168.1.5:5173"), 403);
}
