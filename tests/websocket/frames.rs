//! Frames as they should be: parts, control frames between them, pings, and both ways to say goodbye.

use crate::raw::{CLOSE, CONTINUATION, FIN, PING, PONG, Raw, TEXT, frame};
use crate::support::Running;
use serde_json::json;
use std::net::Shutdown;
use tungstenite::Message;

#[test]
fn a_message_may_come_in_parts_with_control_frames_between() {
    let server = Running::start(|_| {});
    let mut raw = Raw::open(server.websocket, "/ws");
    let message = json!({"type": "ping", "id": 7, "payload": {"text": "héé €𐍈"}}).to_string();
    for (index, byte) in message.bytes().enumerate() {
        raw.send(&frame(
            if index == 0 { TEXT } else { CONTINUATION },
            &[byte],
        ));
        if index % 16 == 0 {
            raw.send(&frame(CONTINUATION, b""));
            raw.send(&frame(FIN | PING, &[byte]));
            assert_eq!(raw.read_frame(), Some((FIN | PONG, vec![byte])));
            raw.send(&frame(FIN | PONG, b"nobody asked"));
        }
    }
    raw.send(&frame(FIN | CONTINUATION, b""));
    let pong = raw.message();
    assert_eq!(
        (&pong["type"], &pong["replyTo"]),
        (&json!("pong"), &json!(7))
    );
    assert_eq!(pong["payload"]["text"], "héé €𐍈");
}

#[test]
fn a_header_may_come_byte_by_byte_and_many_frames_at_once() {
    let server = Running::start(|_| {});
    let mut raw = Raw::open(server.websocket, "/ws");
    let message = json!({"type": "ping", "payload": "x".repeat(70_000)}).to_string();
    let bytes = frame(FIN | TEXT, message.as_bytes());
    let (head, rest) = bytes.split_at(14);
    head.iter().for_each(|byte| raw.send(&[*byte]));
    raw.send(rest);
    assert_eq!(
        raw.message()["payload"].as_str().map(str::len),
        Some(70_000)
    );
    let many: Vec<u8> = (0..1000)
        .flat_map(|id| {
            frame(
                FIN | TEXT,
                json!({"type": "ping", "id": id}).to_string().as_bytes(),
            )
        })
        .collect();
    raw.send(&many);
    for id in 0..1000 {
        assert_eq!(raw.message()["replyTo"], id);
    }
}

#[test]
fn pings_are_answered_with_their_own_payload() {
    let server = Running::start(|_| {});
    let mut raw = Raw::open(server.websocket, "/ws");
    for payload in [vec![], b"\0\xFF".to_vec(), vec![7; 125]] {
        raw.send(&frame(FIN | PING, &payload));
        assert_eq!(raw.read_frame(), Some((FIN | PONG, payload)));
    }
}

#[test]
fn the_client_says_goodbye() {
    let server = Running::start(|_| {});
    for (payload, code) in [
        (&b""[..], 1000),
        (&[3, 232], 1000),
        (&[3, 233], 1001),
        (b"\x0F\xA0over", 4000),
        (b"\x03\xF6", 1014),
    ] {
        let mut raw = Raw::open(server.websocket, "/ws");
        // What follows a close frame means nothing any more, however wrong it is.
        raw.send(&[frame(FIN | CLOSE, payload), vec![0xFF, 0xFF]].concat());
        assert_eq!(raw.close_code(), Some(code), "{payload:?}");
    }
    assert_eq!(server.document("/api/clients")["clients"], json!([]));
}

#[test]
fn a_goodbye_is_answered_even_by_half_a_connection() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    viewer.socket.close(None).unwrap();
    viewer.socket.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(viewer.close_code(), Some(1000));
    let mut viewer = server.viewer();
    let pings = (0..100).map(|id| Message::text(json!({"type": "ping", "id": id}).to_string()));
    pings.for_each(|ping| viewer.socket.write(ping).unwrap());
    viewer.socket.flush().unwrap();
    viewer.socket.get_ref().shutdown(Shutdown::Write).unwrap();
    for id in 0..100 {
        assert_eq!(viewer.expect("pong")["replyTo"], id);
    }
}

#[test]
fn the_server_says_goodbye() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    let path = format!("/api/clients/{}?code=4001&reason=moved%20away", viewer.id());
    assert_eq!(server.call("DELETE", &path, &json!(null)).0, 204);
    let notice = viewer.expect("disconnected");
    let payload = &notice["payload"];
    assert_eq!(
        payload,
        &json!({"code": 4001, "reason": "moved away", "reconnect": false, "delayMs": 0})
    );
    assert_eq!(viewer.close_code(), Some(4001));
    let mut leaving = [server.viewer(), server.viewer()];
    server.handle().stop().unwrap();
    for viewer in &mut leaving {
        let notice = viewer.expect("disconnected");
        assert_eq!(notice["payload"]["code"], 1001);
        assert_eq!(notice["payload"]["reconnect"], true);
        assert!(notice["payload"]["delayMs"].is_u64());
        assert_eq!(viewer.close_code(), Some(1001));
    }
}

#[test]
fn a_silent_client_is_pinged_and_then_given_up() {
    let server = Running::start(|config| {
        config.websocket.heartbeat_interval = 150;
        config.websocket.connection_timeout = 300;
    });
    let mut raw = Raw::open(server.websocket, "/ws");
    assert_eq!(raw.read_frame(), Some((FIN | PING, vec![])));
    raw.send(&frame(FIN | PONG, b""));
    // The answer bought a further ping; silence then ends it.
    assert_eq!(raw.read_frame(), Some((FIN | PING, vec![])));
    assert_eq!(raw.message()["type"], "disconnected");
    assert_eq!(raw.close_code(), Some(4408));
}
