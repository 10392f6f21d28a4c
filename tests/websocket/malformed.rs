//! Every way to break RFC 6455 ends the connection with the right code, at once, and hurts nobody else.

use crate::raw::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, Raw, TEXT, announced, frame, mask, masked,
};
use crate::support::{Running, Viewer};
use serde_json::json;

/// What is wrong, the bytes, the close code.
type Case = (&'static str, Vec<u8>, u16);

/// Sends each case on a connection of its own, while another client goes on.
fn check(server: &Running, cases: Vec<Case>) {
    let mut bystander = server.viewer();
    for (name, bytes, code) in cases {
        let mut raw = Raw::open(server.websocket, "/ws");
        raw.send(&bytes);
        assert_eq!(raw.close_code(), Some(code), "{name}");
        bystander.send(&json!({"type": "ping", "payload": {"after": name}}));
        assert_eq!(bystander.expect("pong")["payload"]["after"], name);
    }
    drop(bystander);
    let _ = Viewer::connect(server.websocket, "/");
}

fn with_close_code(code: u16) -> Vec<u8> {
    frame(FIN | CLOSE, &code.to_be_bytes())
}

#[test]
fn broken_headers() {
    let long_control = |first| announced(first, 126, &[b'a'; 126]);
    let cases = vec![
        ("unmasked text", vec![FIN | TEXT, 2, b'{', b'}'], 1002),
        ("unmasked ping", vec![FIN | PING, 0], 1002),
        ("unmasked close", vec![FIN | CLOSE, 2, 3, 232], 1002),
        ("RSV1", frame(FIN | 0x40 | TEXT, b"{}"), 1002),
        ("RSV2", frame(FIN | 0x20 | TEXT, b"{}"), 1002),
        ("RSV3", frame(FIN | 0x10 | TEXT, b"{}"), 1002),
        ("RSV1 on a ping", frame(FIN | 0x40 | PING, b""), 1002),
        ("opcode 3", frame(FIN | 3, b""), 1002),
        ("opcode 7", frame(FIN | 7, b"x"), 1002),
        ("opcode 11", frame(FIN | 11, b""), 1002),
        ("opcode 15", frame(FIN | 15, b"x"), 1002),
        ("fragmented ping", frame(PING, b"x"), 1002),
        ("fragmented pong", frame(PONG, b""), 1002),
        ("fragmented close", frame(CLOSE, &[3, 232]), 1002),
        ("long ping", long_control(FIN | PING), 1002),
        ("long pong", long_control(FIN | PONG), 1002),
        ("long close", long_control(FIN | CLOSE), 1002),
    ];
    check(&Running::start(|_| {}), cases);
}

#[test]
fn broken_lengths() {
    let by_hand = |length: &[u8], payload: &[u8]| {
        let parts = [&[FIN | TEXT], length, &mask(), &masked(payload)[..]];
        parts.concat()
    };
    let sixteen = by_hand(&[0x80 | 126, 0, 2], b"{}");
    let sixty_four = by_hand(&[0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 2], b"{}");
    let could_be_sixteen = by_hand(&[0x80 | 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], b"");
    let negative = by_hand(&[0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0], b"");
    let cases = vec![
        ("2 bytes announced in 16 bits", sixteen, 1002),
        ("2 bytes announced in 64 bits", sixty_four, 1002),
        ("65535 bytes announced in 64 bits", could_be_sixteen, 1002),
        ("a length with its highest bit set", negative, 1002),
    ];
    check(&Running::start(|_| {}), cases);
}

#[test]
fn broken_sequences() {
    let unfinished = |next: Vec<u8>| [frame(TEXT, b"{\"a\":"), next].concat();
    let finished = [frame(TEXT, b"\"a"), frame(FIN | CONTINUATION, b"\"")].concat();
    let cases = vec![
        ("continues nothing", frame(FIN | CONTINUATION, b"x"), 1002),
        (
            "continues nothing, unfinished",
            frame(CONTINUATION, b""),
            1002,
        ),
        ("text in text", unfinished(frame(FIN | TEXT, b"{}")), 1002),
        (
            "binary in text",
            unfinished(frame(FIN | BINARY, b"x")),
            1002,
        ),
        ("text begins again", unfinished(frame(TEXT, b"")), 1002),
    ];
    let server = Running::start(|_| {});
    check(&server, cases);
    // A continuation after the end of a message: the message is answered, then the connection ends.
    let mut raw = Raw::open(server.websocket, "/ws");
    raw.send(&[finished, frame(FIN | CONTINUATION, b"x")].concat());
    assert_eq!(raw.message()["payload"]["code"], "invalid_message");
    assert_eq!(raw.close_code(), Some(1002));
}

#[test]
fn text_that_is_no_utf8_fails_at_its_first_wrong_byte() {
    let cut_character = [frame(TEXT, b"\"\xE2\x82"), frame(FIN | CONTINUATION, b"\"")].concat();
    let wrong_part = [frame(TEXT, b"ok"), frame(CONTINUATION, b"\xFF")].concat();
    let spread = [frame(TEXT, b"\xF4"), frame(CONTINUATION, b"\x90")].concat();
    let cases = vec![
        ("a whole message", frame(FIN | TEXT, b"\xCE\xBA\xFF"), 1007),
        ("overlong", frame(FIN | TEXT, b"\xC0\xAF"), 1007),
        ("a surrogate", frame(FIN | TEXT, b"\xED\xA0\x80"), 1007),
        (
            "beyond Unicode",
            frame(FIN | TEXT, b"\xF4\x90\x80\x80"),
            1007,
        ),
        ("cut at the end", frame(FIN | TEXT, b"\xE2\x82"), 1007),
        ("cut between frames", cut_character, 1007),
        ("in an unfinished message", wrong_part, 1007),
        ("over two frames, unfinished", spread, 1007),
        (
            "in an unfinished frame",
            announced(FIN | TEXT, 100, b"ab\xFFcd"),
            1007,
        ),
        (
            "on the way in an unfinished frame",
            announced(FIN | TEXT, 9, b"\xF4\x90"),
            1007,
        ),
        ("a close reason", frame(FIN | CLOSE, b"\x03\xE8\xFF"), 1007),
    ];
    check(&Running::start(|_| {}), cases);
}

#[test]
fn close_frames_that_say_nothing_valid() {
    let mut cases = vec![("half a code", frame(FIN | CLOSE, &[3]), 1002)];
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        cases.push(("a code that may not be sent", with_close_code(code), 1002));
    }
    check(&Running::start(|_| {}), cases);
}

#[test]
fn messages_over_the_limit() {
    let server = Running::start(|config| config.websocket.max_message_size = 1000);
    let in_parts = [frame(TEXT, &[b' '; 600]), announced(CONTINUATION, 401, b"")].concat();
    let many = (0..11).map(|part| frame(if part == 0 { BINARY } else { CONTINUATION }, &[0; 100]));
    let cases = vec![
        ("announced", announced(FIN | TEXT, 1001, b""), 1009),
        (
            "announced, enormous",
            announced(FIN | BINARY, usize::MAX / 2, b""),
            1009,
        ),
        ("in parts", in_parts, 1009),
        ("in many parts", many.flatten().collect(), 1009),
    ];
    check(&server, cases);
    let mut viewer = server.viewer();
    let padding = "a".repeat(1000 - r#"{"type":"ping","payload":""}"#.len());
    viewer.send(&json!({"type": "ping", "payload": padding}));
    assert_eq!(viewer.expect("pong")["payload"], padding);
}
