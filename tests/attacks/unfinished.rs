//! Peers that begin much and end nothing.

use crate::masked::{TEXT, masked_frame};
use crate::target::{Attacker, MIB, Target};

/// Opens attackers one after the other; all of them stay.
fn many(count: usize, open: impl Fn() -> Attacker) -> Vec<Attacker> {
    (0..count).map(|_| open()).collect()
}

#[test]
fn bodies_where_none_is_read() {
    let target = Target::start(&[]);
    let address = target.websocket();
    let head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
    let cost = target.suffers(
        "bodies of 0.96 MB on the WebSocket port, 100 of them",
        || {
            let attackers = many(100, || {
                let mut attacker = Attacker::connect(address).listening();
                assert!(attacker.send(head));
                attacker.flood(&[b'x'; 1024], 960_000);
                attacker
            });
            for mut attacker in attackers {
                assert!(attacker.hear().starts_with(b"HTTP/1.1 426"));
            }
        },
    );
    assert!(cost < 8 * MIB, "{cost}");
}

#[test]
fn bodies_without_a_key() {
    let target = Target::start(&["--http.api_key", "k"]);
    let address = target.http();
    let head = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\
                 Expect: 100-continue\r\n\r\n";
    let cost = target.suffers("bodies without a key, 100 of them", || {
        for mut attacker in many(100, || {
            let mut attacker = Attacker::connect(address).listening();
            assert!(attacker.send(head));
            attacker
        }) {
            assert!(attacker.hear().starts_with(b"HTTP/1.1 401"));
        }
    });
    assert!(cost < 8 * MIB, "{cost}");
}

#[test]
fn bodies_that_never_end() {
    let target = Target::start(&[]);
    let address = target.http();
    let head = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
    let cost = target.suffers("bodies of 0.96 MB that never end, 100 of them", || {
        many(100, || {
            let mut attacker = Attacker::connect(address);
            assert!(attacker.send(head));
            attacker.flood(&[b'x'; 1024], 960_000);
            attacker
        });
    });
    assert!(cost < 40 * MIB, "{cost}");
}

#[test]
fn messages_that_never_end() {
    let target = Target::start(&["--websocket.max_message_size", "1048576"]);
    let address = target.websocket();
    let piece = masked_frame(0, &[b' '; 10_000]);
    let cost = target.suffers("messages of 1 MB that never end, 100 of them", || {
        many(100, || {
            let mut attacker = Attacker::upgraded(address, "/");
            assert!(attacker.send(&masked_frame(TEXT, b"{")));
            attacker.flood(&piece, 900_000);
            attacker
        });
    });
    assert!(cost < 40 * MIB, "{cost}");
}

#[test]
fn heads_that_never_end() {
    let target = Target::start(&[]);
    let address = target.http();
    let cost = target.suffers("heads of 16 kB that never end, 500 of them", || {
        many(500, || {
            let mut attacker = Attacker::connect(address);
            assert!(attacker.send(&[b"GET / HTTP/1.1\r\nX: ", &[b'x'; 16_000][..]].concat()));
            attacker
        });
    });
    assert!(cost < 24 * MIB, "{cost}");
}
