//! Tests of the parser as a whole: tables of good and bad requests, and random streams in random pieces.
//!
//! Whatever a table holds is parsed whole and byte by byte, and the two must agree.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::input::Input;
use crate::wire::locale::Locale;

const MAX_BODY_BYTES: usize = 40;

/// An event that owns its bytes. Chunks that follow one another are one, and an invitation to continue, which may
/// depend on what has arrived, is recorded only where a test asks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Request(String, Vec<u8>),
    Continue,
    StreamStart(String),
    Chunk(Vec<u8>),
    StreamEnd,
    Reject(u16, Option<String>),
}

fn rejected(status: u16, field: Option<&str>) -> Seen {
    Seen::Reject(status, field.map(str::to_owned))
}

fn limits() -> ParserLimits {
    ParserLimits {
        max_head_bytes: 200,
        max_headers: 8,
    }
}

fn decide(head: &Head) -> BodyMode {
    if head.path().starts_with("/stream") {
        BodyMode::Stream
    } else {
        BodyMode::Collect {
            max_bytes: MAX_BODY_BYTES,
        }
    }
}

/// Feeds one piece and notes what comes of it, up to the first refusal.
fn feed(parser: &mut Parser, piece: &[u8], seen: &mut Vec<Seen>) {
    let mut bytes = piece.to_vec();
    let mut input = Input::new(&mut bytes);
    loop {
        let event = match parser.poll_event(&mut input, &limits(), decide) {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(reject) => {
                seen.push(rejected(reject.code().status(), reject.0.field.as_deref()));
                continue;
            }
        };
        match (event, seen.last_mut()) {
            (ParserEvent::Chunk(more), Some(Seen::Chunk(bytes))) => bytes.extend_from_slice(more),
            (ParserEvent::Chunk(bytes), _) => seen.push(Seen::Chunk(bytes.to_vec())),
            (ParserEvent::Request { head, body }, _) => {
                seen.push(Seen::Request(head.path().to_owned(), body.to_vec()))
            }
            (ParserEvent::StreamStart(head), _) => {
                seen.push(Seen::StreamStart(head.path().to_owned()))
            }
            (ParserEvent::StreamEnd, _) => seen.push(Seen::StreamEnd),
            (ParserEvent::Continue, _) => seen.push(Seen::Continue),
            (ParserEvent::BodyDue, _) => {}
        }
    }
    assert!(input.is_empty(), "nothing to report, and yet input is left");
}

fn parse<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<Seen> {
    let mut parser = Parser::new();
    let mut seen = Vec::new();
    pieces
        .into_iter()
        .for_each(|piece| feed(&mut parser, piece, &mut seen));
    seen.retain(|event| *event != Seen::Continue);
    seen
}

/// Parses whole and in equal pieces of every small size.
fn parse_every_way(text: &[u8]) -> Vec<Seen> {
    let whole = parse([text]);
    for step in 1..=text.len().min(9) {
        let shown = String::from_utf8_lossy(text);
        assert_eq!(
            parse(text.chunks(step)),
            whole,
            "{shown:?} in pieces of {step}"
        );
    }
    whole
}

fn request(path: &str, body: &str) -> Seen {
    Seen::Request(path.to_owned(), body.as_bytes().to_vec())
}

fn streamed(path: &str, body: &str) -> Vec<Seen> {
    let chunk = (!body.is_empty()).then(|| Seen::Chunk(body.as_bytes().to_vec()));
    [Seen::StreamStart(path.to_owned())]
        .into_iter()
        .chain(chunk)
        .chain([Seen::StreamEnd])
        .collect()
}

#[test]
fn an_idle_parser_is_small() {
    assert!(std::mem::size_of::<Parser>() <= 16);
}

#[test]
fn good_requests() {
    let cases: [(&str, Vec<Seen>); 12] = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", vec![request("/", "")]),
        ("GET / HTTP/1.0\r\n\r\n", vec![request("/", "")]),
        (
            "\r\n\r\nGET /a HTTP/1.1\r\nHost:\r\n\r\n\r\n",
            vec![request("/a", "")],
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            vec![request("/a", "abc")],
        ),
        (
            "POST /a HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
            vec![request("/a", "abc")],
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\nContent-Length: 03\r\n\r\nabc",
            vec![request("/a", "abc")],
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n",
            vec![request("/a", "abc")],
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\ntransfer-encoding: ,chunked,\r\n\r\n0\r\nX: y\r\n\r\n",
            vec![request("/a", "")],
        ),
        (
            "GET http://b:1/a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
            vec![request("/a", "")],
        ),
        (
            "POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n12345678901234567890123456789012345678901234567890",
            streamed(
                "/stream",
                "12345678901234567890123456789012345678901234567890",
            ),
        ),
        (
            "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            streamed("/stream", "abc"),
        ),
        (
            "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
            streamed("/stream", ""),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_every_way(text.as_bytes()), expected, "{text:?}");
        let twice = [text, text].concat();
        assert_eq!(
            parse_every_way(twice.as_bytes()),
            [expected.clone(), expected].concat(),
            "{text:?} twice"
        );
    }
}

#[test]
fn bad_request_lines() {
    let cases: [(&str, u16); 20] = [
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\n\r\n", 505),
        ("GET / HTTX/1.1\r\n\r\n", 400),
        ("GET / http/1.1\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.0\n\r\n", 400),
        ("GET / HTTP/1.0\r\n\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}\r\n\r\n", 400),
        ("{\"type\":\"x\"}\r\n\r\n", 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ];
    for (text, status) in cases {
        let seen = parse_every_way(text.as_bytes());
        assert!(
            matches!(seen[..], [Seen::Reject(found, _)] if found == status),
            "{text:?}: {seen:?}"
        );
    }
}

const BAD_HEADER_SECTIONS: [(&str, u16, Option<&str>); 31] = [
    ("X: y", 400, Some("host")),
    ("Host: a\r\nHost: a", 400, Some("host")),
    ("Host: a b", 400, Some("host")),
    ("Host: a, b", 400, Some("host")),
    ("Host: user@a", 400, Some("host")),
    ("Host : a", 400, None),
    ("Host: a\r\nX\t: y", 400, None),
    ("Host: a\r\n folded", 400, None),
    (" Host: a", 400, None),
    ("Host: a\r\nno colon", 400, None),
    ("Host: a\r\ncolonless", 400, None),
    ("Host: a\r\n: y", 400, None),
    ("Host: a\r\nX: \u{1}", 400, None),
    ("Host: a\r\nX: \0", 400, None),
    ("Host: a\r\nX: a\rb", 400, None),
    ("Host: a\nX: y", 400, None),
    ("Host: a\r\nX: \nY: z", 400, None),
    ("Host: a\r\nX: y\n", 400, None),
    ("Host: a\r\nX: y\n\nGET / HTTP/1.1", 400, None),
    (
        "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
        400,
        Some("transfer-encoding"),
    ),
    (
        "Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0",
        400,
        Some("transfer-encoding"),
    ),
    (
        "Host: a\r\nContent-Length: 1\r\nContent-Length: 2",
        400,
        Some("content-length"),
    ),
    (
        "Host: a\r\nContent-Length: 1, 2",
        400,
        Some("content-length"),
    ),
    ("Host: a\r\nContent-Length: 1,", 400, Some("content-length")),
    ("Host: a\r\nContent-Length: +1", 400, Some("content-length")),
    ("Host: a\r\nContent-Length:", 400, Some("content-length")),
    (
        "Host: a\r\nContent-Length: 99999999999999999999",
        400,
        Some("content-length"),
    ),
    (
        "Host: a\r\nTransfer-Encoding: gzip, chunked",
        501,
        Some("transfer-encoding"),
    ),
    (
        "Host: a\r\nTransfer-Encoding: identity",
        501,
        Some("transfer-encoding"),
    ),
    (
        "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        400,
        Some("transfer-encoding"),
    ),
    (
        "Host: a\r\nTransfer-Encoding:",
        400,
        Some("transfer-encoding"),
    ),
];

#[test]
fn bad_header_sections() {
    for (fields, status, field) in BAD_HEADER_SECTIONS {
        let text = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
        let expected = [rejected(status, field)];
        assert_eq!(parse_every_way(text.as_bytes()), expected, "{fields:?}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        parse_every_way(old),
        [rejected(400, Some("transfer-encoding"))]
    );
}

#[test]
fn limits_hold() {
    let long_line = format!("GET /{}", "a".repeat(300));
    let long_head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(300));
    let many_headers = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(8));
    let long_body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\n\r\n";
    let huge_body = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 18446744073709551615\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long_chunked = format!(
        "{chunked}20\r\n{0}\r\n20\r\n{0}\r\n0\r\n\r\n",
        "a".repeat(32)
    );
    let long_trailer = format!("{chunked}0\r\nX: {}", "a".repeat(300));
    let cases = [
        (long_line.as_str(), 414, Some("target")),
        (&long_head, 431, None),
        (&many_headers, 431, None),
        (long_body, 413, Some("content-length")),
        (huge_body, 413, Some("content-length")),
        (&long_chunked, 413, Some("body")),
        (&long_trailer, 431, Some("body")),
    ];
    for (text, status, field) in cases {
        assert_eq!(
            parse_every_way(text.as_bytes()),
            [rejected(status, field)],
            "{text:?}"
        );
    }
}

#[test]
fn details_name_what_is_wrong() {
    let cases = [
        (
            "Content-Length: abc",
            "header `content-length`: `abc` is not a number of bytes",
        ),
        ("X : y", "header `X`: white space before the colon"),
        (
            "X: y\r\n z",
            "request head: a header line begins with white space, and folded lines are obsolete",
        ),
        ("nothing", "header `nothing`: no colon"),
        ("a b: c", "header `a b`: not a name"),
        (
            "Transfer-Encoding: br",
            "header `transfer-encoding`: `br` is not understood, only `chunked` is",
        ),
    ];
    for (field, detail) in cases {
        let mut bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n").into_bytes();
        let reject = Parser::new()
            .poll_event(&mut Input::new(&mut bytes), &limits(), decide)
            .unwrap_err();
        assert_eq!(reject.detail(Locale::English), detail);
    }
}

#[test]
fn a_whole_body_is_not_copied() {
    let mut bytes = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET".to_vec();
    let mut input = Input::new(&mut bytes);
    let event = Parser::new()
        .poll_event(&mut input, &limits(), decide)
        .unwrap();
    assert!(matches!(
        event,
        Some(ParserEvent::Request {
            body: Body::Borrowed(b"abc"),
            ..
        })
    ));
    assert_eq!(input.peek(), b"GET");
}

#[test]
fn nothing_past_an_upgrade_is_taken() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for cut in 0..text.len() {
        let mut parser = Parser::new();
        feed(&mut parser, &text[..cut], &mut Vec::new());
        let mut bytes = [&text[cut..], b"\x81\x85\r\n\r\n".as_slice()].concat();
        let mut input = Input::new(&mut bytes);
        let event = parser.poll_event(&mut input, &limits(), decide).unwrap();
        assert!(
            matches!(event, Some(ParserEvent::Request { head, .. }) if head.has_token("connection", "upgrade"))
        );
        assert_eq!(input.peek(), b"\x81\x85\r\n\r\n", "cut at {cut}");
        assert!(parser.is_idle());
    }
}

#[test]
fn the_state_is_known_for_time_outs() {
    let mut parser = Parser::new();
    let mut seen = Vec::new();
    assert!(parser.is_idle());
    feed(&mut parser, b"\r\n", &mut seen);
    assert!(parser.is_idle());
    feed(&mut parser, b"POST / HTTP/1.1\r\nHost: a\r\n", &mut seen);
    assert!(!parser.is_idle());
    feed(&mut parser, b"Content-Length: 2\r\n\r\na", &mut seen);
    assert!(!parser.is_idle());
    feed(&mut parser, b"b", &mut seen);
    assert!(parser.is_idle() && seen == [request("/", "ab")]);
    feed(
        &mut parser,
        b"bad\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &mut seen,
    );
    assert_eq!(seen[1..], [Seen::Reject(400, None)]);
    assert!(!parser.is_idle());
}

#[test]
fn a_client_that_waits_is_told_to_continue_once() {
    let head = |path: &str, length: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{length}\r\n\r\n")
    };
    let sized = "Content-Length: 2";
    let seen_in = |pieces: &[&str]| {
        let mut parser = Parser::new();
        let mut seen = Vec::new();
        pieces
            .iter()
            .for_each(|piece| feed(&mut parser, piece.as_bytes(), &mut seen));
        seen
    };
    assert_eq!(
        seen_in(&[&head("/", sized), "a", "b"]),
        [Seen::Continue, request("/", "ab")]
    );
    assert_eq!(
        seen_in(&[&(head("/", sized) + "a"), "b"]),
        [request("/", "ab")]
    );
    assert_eq!(
        seen_in(&[&head("/", "Content-Length: 0")]),
        [request("/", "")]
    );
    assert_eq!(
        seen_in(&[&head("/", "Transfer-Encoding: chunked"), "0\r\n\r\n"]),
        [Seen::Continue, request("/", "")]
    );
    let mut expected = streamed("/stream", "ab");
    assert_eq!(seen_in(&[&(head("/stream", sized) + "a"), "b"]), expected);
    expected.insert(1, Seen::Continue);
    assert_eq!(seen_in(&[&head("/stream", sized), "ab"]), expected);
    assert_eq!(
        seen_in(&[&head("/stream", "X: y")]),
        streamed("/stream", "")
    );
}

#[test]
fn the_owner_decides_once_for_each_request() {
    let text = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabGET / HTTP/1.0\r\n\r\n";
    let mut parser = Parser::new();
    let mut decisions = 0;
    for byte in text {
        let mut bytes = [*byte];
        let mut input = Input::new(&mut bytes);
        let decide = |_: &Head| {
            decisions += 1;
            BodyMode::Collect { max_bytes: 2 }
        };
        parser.poll_event(&mut input, &limits(), decide).unwrap();
        assert!(input.is_empty());
    }
    assert_eq!(decisions, 2);
}

#[derive(Debug, Clone)]
struct Generated {
    bytes: Vec<u8>,
    seen: Vec<Seen>,
}

/// A valid request, as bytes and as what must be seen of it.
fn generated() -> impl Strategy<Value = Generated> {
    let body = vec(any::<u8>(), 0..MAX_BODY_BYTES);
    (
        "(/stream|/x)[a-z]{0,5}",
        body,
        vec(1_usize..20, 0..4),
        any::<bool>(),
        0_usize..3,
    )
        .prop_map(|(path, body, chunk_sizes, is_chunked, blank_lines)| {
            let mut bytes = "\r\n".repeat(blank_lines).into_bytes();
            let (field, framed) = if is_chunked {
                (
                    "Transfer-Encoding: chunked".to_owned(),
                    chunked(&body, &chunk_sizes),
                )
            } else {
                (format!("Content-Length: {}", body.len()), body.clone())
            };
            bytes
                .extend(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n").into_bytes());
            bytes.extend(framed);
            Generated {
                bytes,
                seen: expected(path, body),
            }
        })
}

fn expected(path: String, body: Vec<u8>) -> Vec<Seen> {
    if !path.starts_with("/stream") {
        return vec![Seen::Request(path, body)];
    }
    let mut seen = vec![Seen::StreamStart(path), Seen::Chunk(body), Seen::StreamEnd];
    seen.retain(|event| *event != Seen::Chunk(Vec::new()));
    seen
}

fn chunked(body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut framed = Vec::new();
    let mut rest = body;
    for size in sizes.iter().chain([&usize::MAX]) {
        let (chunk, left) = rest.split_at((*size).min(rest.len()));
        if !chunk.is_empty() {
            framed.extend(format!("{:X};ext=\"1\"\r\n", chunk.len()).into_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
        }
        rest = left;
    }
    framed.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
    framed
}

fn pieces<'b>(mut bytes: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    for size in sizes {
        let (piece, left) = bytes.split_at((*size).min(bytes.len()));
        pieces.push(piece);
        bytes = left;
    }
    pieces.push(bytes);
    pieces
}

/// Bytes that look like a request just enough to get past its first checks.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("GET / HTTP/1.1\r\n"),
        Just("POST /stream HTTP/1.0\r\n"),
        Just("Host: a\r\n"),
        Just("Content-Length: 3\r\n"),
        Just("Transfer-Encoding: chunked\r\n"),
        Just("\r\n"),
        Just("\n"),
        Just("\r"),
        Just("3\r\nabc\r\n"),
        Just("0\r\n\r\n"),
        Just("HTTP/9"),
        Just(" "),
        Just(":"),
        Just("\u{e9}"),
    ];
    vec(word, 0..24).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn splits_make_no_difference_to_valid_streams(
        requests in vec(generated(), 0..5),
        sizes in vec(0_usize..60, 0..30),
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(|request| request.bytes.clone()).collect();
        let seen: Vec<Seen> = requests.into_iter().flat_map(|request| request.seen).collect();
        prop_assert_eq!(parse([bytes.as_slice()]), seen.clone());
        prop_assert_eq!(parse(pieces(&bytes, &sizes)), seen);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), sizes in vec(0_usize..60, 0..10)) {
        parse(pieces(&bytes, &sizes));
    }

    #[test]
    fn splits_make_no_difference_to_broken_streams(bytes in nearly(), sizes in vec(1_usize..20, 0..30)) {
        // A line end at last, since a fault may show before its line is complete or only then.
        let bytes = [bytes.as_slice(), b"\r\n\r\n"].concat();
        prop_assert_eq!(parse(pieces(&bytes, &sizes)), parse([bytes.as_slice()]));
    }
}
