//! Peers that ask for much and read nothing.

use crate::masked::{TEXT, masked};
use crate::support::Http;
use crate::target::{Attacker, MIB, Target, at_once};
use serde_json::json;

#[test]
fn histories_that_nobody_reads() {
    let target = Target::start(&[]);
    let mut http = Http::connect(target.http());
    for _ in 0..20 {
        let body = json!({"payload": "x".repeat(200_000)}).to_string();
        let answer = http.request("POST", "/api/rooms/r/broadcast", &[], body.as_bytes());
        assert_eq!(answer.status, 200);
    }
    let (viewers, api) = (target.websocket(), target.http());
    let wish = masked(TEXT, br#"{"type":"history","room":"r"}"#);
    let request = b"GET /api/rooms/r/history HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let cost = target.suffers(
        "histories of 4 MB, asked for by five viewers and five callers, unread",
        || {
            at_once(5, || Attacker::upgraded(viewers, "/ws").flood(&wish, MIB));
            at_once(5, || Attacker::connect(api).flood(request, MIB));
        },
    );
    assert!(cost < 100 * MIB, "{cost}");
}

#[test]
fn workspace_lists_that_nobody_reads() {
    let target = Target::start(&["--workspaces.max_size", "0"]);
    let address = target.websocket();
    let mut writer = Attacker::upgraded(address, "/");
    for n in 0..40 {
        let name = format!("{n}{}", "x".repeat(100_000));
        let create = json!({"type": "workspace.create", "data": {"name": name}});
        assert!(writer.send(&masked(TEXT, create.to_string().as_bytes())));
    }
    let list = masked(TEXT, br#"{"type":"workspace.list"}"#);
    let cost = target.suffers("lists of 4 MB, asked for by five, unread", || {
        at_once(5, || Attacker::upgraded(address, "/").flood(&list, MIB));
    });
    assert!(cost < 100 * MIB, "{cost}");
}
