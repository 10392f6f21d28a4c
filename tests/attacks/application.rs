//! Viewers that send much to the application.

use crate::masked::{TEXT, masked};
use crate::support::Viewer;
use crate::target::{Attacker, MIB, Target};
use serde_json::json;

/// The application reads all the time; a viewer that sends long messages in a row must not end its link.
#[test]
fn long_messages_in_a_row() {
    let target = Target::start(&[
        "--routes.types",
        "chat.*",
        "--websocket.max_message_size",
        "2000000",
        "--http.api_key",
        "k",
    ]);
    let address = target.websocket();
    let message = json!({"type": "chat.send", "payload": "x".repeat(1_000_000)}).to_string();
    let message = masked(TEXT, message.as_bytes());
    let mut backend = Viewer::application(target.http(), "k");
    let attacker = Attacker::upgraded(address, "/ws").patient();
    let name = "twenty messages of 1 MB in a row for the application";
    let cost = target.suffers(name, || {
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let mut attacker = attacker;
                for _ in 0..20 {
                    assert!(attacker.send(&message), "its input waits");
                }
                // It stays: what waits for the application goes with its sender.
                attacker
            });
            for _ in 0..20 {
                let request = backend.expect("chat.send");
                let answer = json!({"requestId": request["requestId"], "payload": 1});
                backend.send(&answer);
            }
            drop(sending.join());
        });
    });
    assert!(cost < 24 * MIB, "{cost}");
}
