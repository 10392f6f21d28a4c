//! MessagePack with a client that is not ours, Node's `msgpackr`, in both directions; and messages that try to be more than
//! they look.

use crate::handshake::with_subprotocol;
use crate::support::Running;
use crate::support::optional::{node_msgpackr, skip};
use serde_json::Value;
use std::process::Command;
use tungstenite::Message;

#[test]
fn every_value_comes_back_from_a_real_client_as_it_was_sent() {
    let Some(modules) = node_msgpackr() else {
        return skip("there is no Node with its ws and msgpackr");
    };
    let server = Running::start(|_| {});
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/websocket/message_pack.js"
    );
    let url = format!("ws://{}/ws", server.websocket);
    let output = Command::new("node")
        .args([script, &url])
        .env("NODE_PATH", modules)
        .output()
        .expect("Node runs");
    let (told, complaints) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{told}{complaints}");
    assert_eq!(told.trim_end(), "all as expected");
}

#[test]
fn what_swells_is_refused_and_the_connection_goes_on() {
    let server = Running::start(|config| config.websocket.max_message_size = 10_000);
    let mut socket = with_subprotocol(server.websocket, "/ws", "joblight.msgpack");
    let mut hear = |bytes: Option<Vec<u8>>| -> Value {
        if let Some(bytes) = bytes {
            socket.send(Message::binary(bytes)).expect("sent");
        }
        let message = socket.read().expect("a message");
        rmp_serde::from_slice(&message.into_data()).expect("MessagePack")
    };
    assert_eq!(hear(None)["type"], "connected");
    let ping = |payload: &[u8]| {
        let mut message = vec![0x82, 0xa4];
        message.extend_from_slice(b"type\xa4ping\xa7payload");
        message.extend_from_slice(payload);
        message
    };
    let nils = [&[0xdc, 0x26, 0x00][..], &[0xc0; 0x2600]].concat();
    let controls = [&[0xda, 0x26, 0x00][..], &[1; 0x2600]].concat();
    for payload in [nils, controls] {
        let error = hear(Some(ping(&payload)));
        assert_eq!(error["payload"]["code"], "message_too_large", "{error}");
        let text = error["payload"]["message"].as_str().expect("text");
        assert!(text.contains("websocket.max_message_size"), "{text}");
    }
    for lie in [
        &[0xdd, 255, 255, 255, 255][..],
        &[0x91; 5_000],
        &[0xdb, 255, 255, 255, 255],
    ] {
        assert_eq!(hear(Some(ping(lie)))["payload"]["code"], "invalid_json");
    }
    let numbers = [&[0xdc, 0x20, 0x00][..], &[7; 0x2000]].concat();
    let pong = hear(Some(ping(&numbers)));
    assert_eq!(pong["payload"].as_array().map(Vec::len), Some(0x2000));
}
