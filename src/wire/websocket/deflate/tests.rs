//! The examples of RFC 7692, round trips past other inflaters, and everything that a hostile message may hold.

use std::io::Read;

use flate2::read::DeflateDecoder;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::close::CloseCode;
use super::super::frame::{MessageKind, encode_compressed};
use super::super::reader::{FrameLimits, Message, Reader, ReaderEvent};
use super::*;
use crate::wire::input::Input;

const WINDOWS: [Window; 2] = [Window::Bits9, Window::Bits15];
const JSON: &[u8] =
    br#"{"type":"progress","payload":{"taskId":"import-7","current":4,"total":9,"rate":4.4}}"#;

fn inflated(payload: &[u8]) -> Result<Vec<u8>, Violation> {
    Inflater::default().inflate(payload, 0)
}

fn compressed(window: Window, message: &[u8]) -> Vec<u8> {
    Deflater::default().compress(window, message).to_vec()
}

/// Bytes that are unlike each other, then the same again: how far back the repetition is, is up to `distance`.
fn repeated_noise(distance: usize) -> Vec<u8> {
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Vec<u8> = noise.take(distance).collect();
    [&noise[..], &noise].concat()
}

/// RFC 7692 section 7.2.3, each example by its number.
#[test]
fn inflates_the_examples_of_the_rfc() {
    let cases: [(&str, &[u8]); 4] = [
        ("7.2.3.1", b"\xf2\x48\xcd\xc9\xc9\x07\x00"),
        ("7.2.3.3", b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
        ("7.2.3.4", b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
        (
            "7.2.3.5",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ),
    ];
    for (section, payload) in cases {
        assert_eq!(inflated(payload).unwrap(), b"Hello", "{section}");
    }
}

#[test]
fn messages_do_not_refer_to_each_other() {
    let mut inflater = Inflater::default();
    assert!(inflater.inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 0).is_ok());
    let outcome = inflater.inflate(b"\xf2\x00\x11\x00\x00", 0);
    assert_eq!(outcome, Err(Violation::NOT_DEFLATED), "section 7.2.3.2");
    let mut deflater = Deflater::default();
    for window in WINDOWS {
        let first = deflater.compress(window, JSON).to_vec();
        deflater.compress(window, &repeated_noise(700));
        assert_eq!(deflater.compress(window, JSON), first);
        assert_eq!(inflater.inflate(&first, 0).unwrap(), JSON);
    }
}

#[test]
fn the_empty_message_is_one_empty_block() {
    for window in WINDOWS {
        assert_eq!(compressed(window, b""), [0]);
    }
    for payload in [&b"\x00"[..], b"\x02\x00", b"\x03\x00", b"\x01", b""] {
        assert_eq!(inflated(payload).unwrap(), b"", "{payload:x?}");
    }
}

/// RFC 7692 section 7.2.1: several blocks may be final, and the next begins after the padding.
#[test]
fn final_blocks_may_end_parts_of_a_message() {
    let hello = &b"\xf3\x48\xcd\xc9\xc9\x07\x00"[..];
    let cases = [
        (hello.to_vec(), 1),
        ([hello, b"\x00"].concat(), 1),
        ([hello, hello].concat(), 2),
        ([hello, hello, hello, b"\x00"].concat(), 3),
        ([hello, b"\xf2\x48\xcd\xc9\xc9\x07\x00"].concat(), 2),
        (
            [b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff", hello].concat(),
            2,
        ),
    ];
    for (payload, count) in cases {
        assert_eq!(inflated(&payload).unwrap(), b"Hello".repeat(count));
    }
}

#[test]
fn corrupt_messages_are_told_from_whole_ones() {
    let cases: [&[u8]; 6] = [
        b"\xff",
        b"\x07",
        b"\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\xff",
        b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff",
        b"Hello",
    ];
    for payload in cases {
        let outcome = inflated(payload);
        assert_eq!(outcome, Err(Violation::NOT_DEFLATED), "{payload:x?}");
    }
    let whole = compressed(Window::Bits15, JSON);
    for len in 1..whole.len() {
        let outcome = inflated(&whole[..len]);
        assert_eq!(outcome, Err(Violation::NOT_DEFLATED), "cut to {len}");
    }
    assert_eq!(Violation::NOT_DEFLATED.code, CloseCode::INVALID_PAYLOAD);
}

#[test]
fn the_limit_is_exact() {
    let mut inflater = Inflater::default();
    for len in [1, 2, 10, 1023, 1024, 1025, 5000, 70_000] {
        let message = vec![b'a'; len];
        for window in WINDOWS {
            let payload = compressed(window, &message);
            assert_eq!(inflater.inflate(&payload, len).unwrap(), message);
            let outcome = inflater.inflate(&payload, len - 1);
            let expected = if len == 1 {
                Ok(message.clone())
            } else {
                Err(Violation::MESSAGE_TOO_BIG)
            };
            assert_eq!(outcome, expected, "0 is no limit; {len} bytes");
        }
    }
}

/// A gigabyte of zeros in a megabyte.
#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    const LIMIT: usize = 64 * 1024;
    let mebibyte = compressed(Window::Bits15, &vec![0; 1 << 20]);
    let bomb = [&mebibyte[..], &TAIL].concat().repeat(1024);
    let outcome = Inflater::default().inflate(&bomb, LIMIT);
    assert_eq!(outcome, Err(Violation::MESSAGE_TOO_BIG));
    let mut stream = Decompress::new(false);
    let mut inflated = Inflated::new(LIMIT, bomb.len());
    assert!(inflated.extend(&mut stream, &bomb).is_err());
    assert_eq!(inflated.bytes.capacity(), LIMIT + 1);
    assert!(stream.total_in() < 200, "{} bytes read", stream.total_in());
}

/// A repetition shows in the size if it was referred to. (No inflater of zlib-rs tells: all of them look back 32 KiB.)
#[test]
fn a_small_window_is_kept_to() {
    let is_found = |window, distance| {
        let message = repeated_noise(distance);
        let payload = compressed(window, &message);
        assert_eq!(inflated(&payload).unwrap(), message);
        payload.len() < message.len() * 2 / 3
    };
    for (distance, in_narrow, in_wide) in [
        (100, true, true),
        (250, true, true),
        (513, false, true),
        (700, false, true),
        (1024, false, true),
        (30_000, false, true),
        (40_000, false, false),
    ] {
        assert_eq!(is_found(Window::Bits9, distance), in_narrow, "{distance}");
        assert_eq!(is_found(Window::Bits15, distance), in_wide, "{distance}");
    }
}

#[test]
fn a_buffer_that_grew_is_given_back() {
    let mut deflater = Deflater::default();
    deflater.compress(Window::Bits15, &repeated_noise(250_000));
    assert!(deflater.output.capacity() > MAX_KEPT_BUFFER);
    deflater.compress(Window::Bits15, JSON);
    assert!(deflater.output.capacity() < 1024);
}

#[test]
fn a_shared_frame_is_read_by_any_client() {
    let mut deflater = Deflater::default();
    let payload = deflater.compress(Window::Bits15, JSON);
    let frame = encode_compressed(MessageKind::Text, payload);
    assert!(frame.bytes().len() < JSON.len());
    let mut masked = frame.bytes().to_vec();
    masked[1] |= 0x80;
    masked.splice(2..2, [0; 4]);
    let limits = FrameLimits {
        max_message_size: 0,
        compression: true,
    };
    let mut reader = Reader::default();
    let event = reader.poll_event(&mut Input::new(&mut masked), &limits);
    let Ok(Some(ReaderEvent::Message(Message::Compressed { payload, .. }))) = event else {
        panic!("a compressed message: {event:?}");
    };
    assert_eq!(inflated(&payload).unwrap(), JSON);
    assert_eq!(decoded_by_flate2(&frame.payload()), JSON);
}

fn decoded_by_flate2(payload: &[u8]) -> Vec<u8> {
    let stream = [payload, &TAIL, &FINAL_BLOCK].concat();
    let mut message = Vec::new();
    DeflateDecoder::new(&stream[..])
        .read_to_end(&mut message)
        .unwrap();
    message
}

/// Messages that repeat themselves, near and far, and noise.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-z\":{}0-9]{0,40}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..600),
        (any::<u8>(), 0..3000usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    let pieces = prop::collection::vec(piece, 1..6);
    (pieces, prop::collection::vec(any::<Index>(), 0..30)).prop_map(|(pieces, order)| {
        let parts: Vec<&[u8]> = order.iter().map(|index| &index.get(&pieces)[..]).collect();
        parts.concat()
    })
}

proptest! {
    #[test]
    fn what_was_compressed_is_inflated(messages in prop::collection::vec(message(), 1..4)) {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        for message in messages {
            for window in WINDOWS {
                let payload = deflater.compress(window, &message).to_vec();
                prop_assert_eq!(&inflater.inflate(&payload, message.len()).unwrap(), &message);
                prop_assert_eq!(&decoded_by_flate2(&payload), &message);
            }
        }
    }

    #[test]
    fn no_bytes_upset_the_inflater(
        noise in prop::collection::vec(any::<u8>(), 0..200),
        message in message(),
        flips in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        limit in 1..5000usize,
    ) {
        let mut inflater = Inflater::default();
        let mut damaged = compressed(Window::Bits15, &message);
        for (index, flip) in flips {
            let index = index.index(damaged.len());
            damaged[index] ^= flip;
        }
        for payload in [noise, damaged] {
            if let Ok(message) = inflater.inflate(&payload, limit) {
                prop_assert!(message.len() <= limit && message.capacity() <= limit + 1);
            }
        }
        prop_assert_eq!(inflater.inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 0).unwrap(), b"Hello");
    }
}
