//! Handshakes and offers as clients send them, and as they must not.

use super::*;
use crate::wire::http::{BodyMode, Parser, ParserEvent, ParserLimits};
use crate::wire::input::Input;
use crate::wire::locale::Locale;

type Lines<'a> = Vec<(&'a str, &'a str)>;
type Changes<'a> = &'a [(&'a str, &'a str)];

const SUPPORTED: &[&str] = &["joblight.json", "joblight.msgpack"];

/// The request of RFC 6455 section 1.2, with some lines replaced (or removed, when the value is empty).
fn sample<'a>(changes: &[(&'a str, &'a str)]) -> Lines<'a> {
    let mut lines: Lines<'a> = vec![
        ("Host", "server.example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    lines.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let added = changes.iter().filter(|(_, value)| !value.is_empty());
    lines.extend(added.map(|(name, value)| (*name, *value)));
    lines
}

fn head(method: &str, version_minor: u8, lines: &Lines<'_>) -> Head {
    let mut text = format!("{method} / HTTP/1.{version_minor}\r\n");
    for (name, value) in lines {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    let mode = |_: &Head| BodyMode::Collect { max_bytes: 0 };
    let event =
        Parser::new().poll_event(&mut Input::new(&mut bytes), &ParserLimits::default(), mode);
    match event {
        Ok(Some(ParserEvent::Request { head, .. })) => head,
        other => panic!("{other:?}"),
    }
}

fn answer(method: &str, version_minor: u8, lines: &Lines<'_>) -> Result<Accepted, Refusal> {
    accept(&head(method, version_minor, lines), SUPPORTED, false)
}

#[test]
fn accepts_the_sample_of_the_rfc() {
    let accepted = answer("GET", 1, &sample(&[])).unwrap();
    let mut headers = [httparse::EMPTY_HEADER; 8];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(&accepted.response).unwrap();
    assert_eq!(parsed, httparse::Status::Complete(accepted.response.len()));
    assert_eq!((response.code, response.version), (Some(101), Some(1)));
    let mut headers: Vec<_> = response
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), header.value))
        .collect();
    headers.sort();
    let expected: [(String, &[u8]); 3] = [
        ("connection".into(), b"Upgrade"),
        (
            "sec-websocket-accept".into(),
            b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        ),
        ("upgrade".into(), b"websocket"),
    ];
    assert_eq!(headers, expected);
}

#[test]
fn accepts_lists_repeated_lines_and_any_case() {
    let cases: &[Changes<'_>] = &[
        &[("Connection", "keep-alive, Upgrade")],
        &[("Connection", "keep-alive,\tUPGRADE")],
        &[("Connection", "keep-alive"), ("connection", "upgrade")],
        &[("Upgrade", "WebSocket")],
        &[("Upgrade", "h2c, websocket")],
        &[("Sec-WebSocket-Version", " 13 ")],
        &[
            ("Sec-WebSocket-Version", ""),
            ("SEC-WEBSOCKET-VERSION", "13"),
        ],
    ];
    for changes in cases {
        let lines = sample(changes);
        assert!(is_upgrade(&head("GET", 1, &lines)), "{changes:?}");
        assert!(answer("GET", 1, &lines).is_ok(), "{changes:?}");
    }
}

#[test]
fn refuses_a_request_of_another_kind() {
    let post = answer("POST", 1, &sample(&[])).unwrap_err();
    assert_eq!((post.0.status, post.0.allow.as_deref()), (405, Some("GET")));
    let old = answer("GET", 0, &sample(&[])).unwrap_err();
    assert_eq!((old.0.status, old.0.field), (400, None));
}

#[test]
fn refuses_wrong_headers_by_name() {
    let cases = [
        ("Connection", ""),
        ("Connection", "keep-alive"),
        ("Connection", "upgraded"),
        ("Upgrade", ""),
        ("Upgrade", "h2c"),
        ("Sec-WebSocket-Version", ""),
        ("Sec-WebSocket-Key", ""),
        ("Sec-WebSocket-Key", "dG9vIHNob3J0"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ!="),
    ];
    for (name, value) in cases {
        let outcome = answer("GET", 1, &sample(&[(name, value)]));
        let refusal = outcome.expect_err(name);
        assert_eq!(
            refusal.detail(Locale::English),
            invalid(name).detail(Locale::English),
            "{value}"
        );
    }
    let detail = invalid("Sec-WebSocket-Key").detail(Locale::English);
    assert!(detail.contains("Sec-WebSocket-Key"), "{detail}");
}

#[test]
fn refuses_repeated_headers() {
    let cases = [
        ("sec-websocket-version", "13", VERSION),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==", KEY),
    ];
    for (again, value, name) in cases {
        let outcome = answer("GET", 1, &sample(&[(again, value)]));
        let refusal = outcome.expect_err(again);
        assert_eq!(
            refusal.detail(Locale::English),
            invalid(name).detail(Locale::English),
            "{again}"
        );
    }
}

#[test]
fn refuses_other_versions_of_the_protocol() {
    for version in ["8", "13, 8"] {
        let refusal = answer("GET", 1, &sample(&[("Sec-WebSocket-Version", version)])).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::UpgradeRequired, "{version}");
    }
}

#[test]
fn chooses_the_subprotocol_by_the_servers_preference() {
    let cases: &[(Changes<'_>, Option<&str>)] = &[
        (&[], None),
        (&[("Sec-WebSocket-Protocol", "chat")], None),
        (
            &[("Sec-WebSocket-Protocol", "joblight.msgpack")],
            Some("joblight.msgpack"),
        ),
        (
            &[("Sec-WebSocket-Protocol", "joblight.msgpack, joblight.json")],
            Some("joblight.json"),
        ),
        (
            &[
                ("Sec-WebSocket-Protocol", "chat"),
                ("sec-websocket-protocol", "joblight.msgpack"),
            ],
            Some("joblight.msgpack"),
        ),
        (&[("Sec-WebSocket-Protocol", "JOBLIGHT.JSON")], None),
    ];
    for (changes, expected) in cases {
        let accepted = answer("GET", 1, &sample(changes)).unwrap();
        assert_eq!(accepted.subprotocol, *expected, "{changes:?}");
        let response = String::from_utf8(accepted.response).unwrap();
        let line = expected.map(|name| format!("sec-websocket-protocol: {name}\r\n"));
        assert_eq!(response.contains("sec-websocket-protocol"), line.is_some());
        assert!(
            line.is_none_or(|line| response.contains(&line)),
            "{response}"
        );
    }
}

#[test]
fn answers_an_offer_of_compression_where_that_is_allowed() {
    let lines = sample(&[
        ("Sec-WebSocket-Extensions", "mux"),
        (
            "sec-websocket-extensions",
            "permessage-deflate; server_max_window_bits=10",
        ),
    ]);
    let head = head("GET", 1, &lines);
    for (is_allowed, compression) in [
        (true, Compression::Both(Window::Bits9)),
        (false, Compression::Off),
    ] {
        let accepted = accept(&head, SUPPORTED, is_allowed).unwrap();
        assert_eq!(accepted.compression, compression);
        let response = String::from_utf8(accepted.response).unwrap();
        let line = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover; \
                    client_no_context_takeover; server_max_window_bits=10\r\n";
        assert_eq!(response.contains(line), is_allowed, "{response}");
        assert_eq!(response.contains("extensions"), is_allowed, "{response}");
    }
}

#[test]
fn an_ordinary_request_is_no_upgrade() {
    for changes in [
        [("Upgrade", "")],
        [("Connection", "keep-alive")],
        [("Upgrade", "h2c")],
    ] {
        assert!(
            !is_upgrade(&head("GET", 1, &sample(&changes))),
            "{changes:?}"
        );
    }
}

const BOTH: Compression = Compression::Both(Window::Bits15);
const NARROW: Compression = Compression::Both(Window::Bits9);

fn negotiated(lines: &[&str]) -> Compression {
    let offer = choose(lines.iter().copied());
    offer.map_or(Compression::Off, Offer::compression)
}

#[test]
fn takes_what_browsers_and_libraries_offer() {
    let cases = [
        ("permessage-deflate", BOTH),
        ("permessage-deflate; client_max_window_bits", BOTH),
        ("permessage-deflate;client_max_window_bits=12", BOTH),
        (
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
            BOTH,
        ),
        ("permessage-deflate; server_max_window_bits=15", BOTH),
        ("permessage-deflate; server_max_window_bits=14", NARROW),
        ("permessage-deflate ; server_max_window_bits = 9", NARROW),
        (
            "permessage-deflate; server_max_window_bits=8",
            Compression::ReceiveOnly,
        ),
        ("permessage-deflate; server_max_window_bits=\"10\"", NARROW),
        (
            "permessage-deflate; server_max_window_bits=\"1\\0\"",
            NARROW,
        ),
    ];
    for (offer, compression) in cases {
        assert_eq!(negotiated(&[offer]), compression, "{offer}");
    }
}

/// RFC 7692 section 7.1: each of these must be declined.
#[test]
fn declines_offers_that_break_a_rule() {
    let parameters = [
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits=10; server_max_window_bits=10",
        "server_max_window_bits",
        "server_max_window_bits=",
        "server_max_window_bits=\"\"",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=09",
        "server_max_window_bits=+9",
        "server_max_window_bits=100",
        "server_max_window_bits=ten",
        "server_max_window_bits=\"10",
        "server_max_window_bits=\"10\"1",
        "server_max_window_bits=10=10",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=",
        "mystery",
        "mystery=1",
        "Server_No_Context_Takeover",
        "",
    ];
    for parameters in parameters {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(negotiated(&[&offer]), Compression::Off, "{offer}");
    }
}

#[test]
fn the_first_acceptable_offer_wins() {
    let cases: &[(&[&str], Compression)] = &[
        (&[], Compression::Off),
        (&["", " , ,"], Compression::Off),
        (
            &["x-webkit-deflate-frame, permessage-bzip2"],
            Compression::Off,
        ),
        (&["permessage-deflate-2"], Compression::Off),
        (&["mux, permessage-deflate"], BOTH),
        (&["mux; max=\"a,permessage-deflate,b\""], Compression::Off),
        (
            &["mux; name=\"a\\\",b\"; x, permessage-deflate; server_max_window_bits=11"],
            NARROW,
        ),
        (
            &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
            NARROW,
        ),
        (
            &["permessage-deflate; mystery, permessage-deflate; server_max_window_bits=8"],
            Compression::ReceiveOnly,
        ),
        (
            &["mux", "permessage-deflate; mystery", "permessage-deflate"],
            BOTH,
        ),
        (
            &["permessage-deflate; server_max_window_bits=\"10, permessage-deflate"],
            Compression::Off,
        ),
    ];
    for (lines, compression) in cases {
        assert_eq!(negotiated(lines), *compression, "{lines:?}");
    }
}

#[test]
fn the_answer_repeats_the_window_and_nothing_else() {
    let always = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let answer = |offer: &str| choose([offer].into_iter()).unwrap().answer();
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits=9",
    ] {
        assert_eq!(answer(offer), always, "{offer}");
    }
    for bits in 8..=15 {
        let offer = format!("permessage-deflate; server_max_window_bits={bits}");
        let expected = format!("{always}; server_max_window_bits={bits}");
        assert_eq!(answer(&offer), expected);
    }
}

#[test]
fn says_what_is_sent_and_taken() {
    let cases = [
        (Compression::Off, false, None),
        (Compression::ReceiveOnly, true, None),
        (NARROW, true, Some(Window::Bits9)),
        (BOTH, true, Some(Window::Bits15)),
    ];
    for (compression, is_on, window) in cases {
        assert_eq!((compression.is_on(), compression.window()), (is_on, window));
    }
    assert_eq!(size_of::<Compression>(), 1);
}
