//! Peers that send much and short.

use crate::masked::{PING, PONG, TEXT, masked, masked_frame};
use crate::target::{Attacker, MIB, Target, at_once};

/// What each attacker sends at most.
const BYTES: usize = 4 * MIB;

fn flood(target: &Target, name: &str, attackers: usize, path: &str, piece: &[u8]) -> usize {
    let address = target.websocket();
    target.suffers(name, || {
        at_once(attackers, || {
            Attacker::upgraded(address, path).flood(piece, BYTES)
        });
        at_once(attackers, || {
            Attacker::upgraded(address, path).flood_and_read(piece, BYTES)
        });
    })
}

#[test]
fn pings_of_ten_and_of_fifty() {
    for (attackers, most) in [(10, 8 * MIB), (50, 16 * MIB)] {
        let target = Target::start(&[]);
        let cost = flood(
            &target,
            &format!("pings of {attackers}"),
            attackers,
            "/ws",
            &masked(PING, b""),
        );
        assert!(cost < most, "{cost}");
    }
}

#[test]
fn long_pings_and_pongs() {
    let target = Target::start(&[]);
    let both = [masked(PING, &[b'x'; 125]), masked(PONG, &[b'x'; 125])].concat();
    let cost = flood(&target, "long pings and pongs of ten", 10, "/", &both);
    assert!(cost < 8 * MIB, "{cost}");
}

#[test]
fn tiny_messages() {
    let target = Target::start(&[]);
    let cost = flood(
        &target,
        "tiny messages of ten",
        10,
        "/ws",
        &masked(TEXT, b"0"),
    );
    assert!(cost < 32 * MIB, "{cost}");
}

#[test]
fn empty_fragments() {
    let target = Target::start(&[]);
    let address = target.websocket();
    let cost = target.suffers("empty fragments of ten", || {
        at_once(10, || {
            let mut attacker = Attacker::upgraded(address, "/ws");
            assert!(attacker.send(&masked_frame(TEXT, b"{")));
            attacker.flood(&masked_frame(0, b""), BYTES);
        });
    });
    assert!(cost < 8 * MIB, "{cost}");
}

#[test]
fn tiny_requests() {
    let target = Target::start(&[]);
    let address = target.http();
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let cost = target.suffers("pipelined requests of ten", || {
        at_once(10, || Attacker::connect(address).flood(request, BYTES));
        at_once(10, || {
            Attacker::connect(address).flood_and_read(request, BYTES / 4)
        });
    });
    assert!(cost < 32 * MIB, "{cost}");
}

#[test]
fn tiny_lines() {
    let target = Target::start(&[]);
    let address = target.http();
    let head = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 262144\r\n\
                 Content-Type: application/x-ndjson\r\n\r\n";
    let cost = target.suffers("lines of two bytes of ten", || {
        at_once(10, || {
            let mut attacker = Attacker::connect(address).listening().patient();
            assert!(attacker.send(head));
            attacker.flood(b"0\n", 256 * 1024);
            assert!(attacker.hear().starts_with(b"HTTP/1.1 400"));
        });
    });
    assert!(cost < 8 * MIB, "{cost}");
}
