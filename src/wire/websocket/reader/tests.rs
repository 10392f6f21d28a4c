//! The reader's rules one by one, then random streams against what tungstenite's own client meant by them.

use std::io::Cursor;

use proptest::prelude::*;
use proptest::sample::Index;
use tungstenite::protocol::frame::Frame as ClientFrame;
use tungstenite::protocol::{Message as ClientMessage, Role, WebSocket};

use super::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const NO_LIMIT: FrameLimits = FrameLimits {
    max_message_size: 0,
    compression: false,
};

const COMPRESSED: FrameLimits = FrameLimits {
    compression: true,
    ..NO_LIMIT
};

/// A masked frame with a length in its shortest form.
fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        length @ 0..=125 => vec![0x80 | length as u8],
        length @ 126..=0xffff => [&[0x80 | 126][..], &(length as u16).to_be_bytes()].concat(),
        length => [&[0x80 | 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    let mut masked = payload.to_vec();
    Mask::new(KEY).apply(&mut masked);
    [&[first_byte][..], &length, &KEY, &masked].concat()
}

/// Feeds the chunks as separate reads; the events, and the code of the violation if one ended it.
fn read_with(limits: FrameLimits, chunks: &[&[u8]]) -> (Vec<ReaderEvent<'static>>, Option<u16>) {
    let mut reader = Reader::default();
    let mut events = Vec::new();
    for chunk in chunks {
        let mut bytes = chunk.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            match reader.poll_event(&mut input, &limits) {
                Ok(Some(ReaderEvent::Fragment)) => {}
                Ok(Some(event)) => events.push(owned(event)),
                Ok(None) => break,
                Err(violation) => {
                    assert!(
                        reader.held_bytes() == 0,
                        "nothing is held after a violation"
                    );
                    return (events, Some(violation.code.0));
                }
            }
        }
        assert!(input.is_empty(), "everything is consumed");
    }
    (events, None)
}

fn read(chunks: &[&[u8]]) -> (Vec<ReaderEvent<'static>>, Option<u16>) {
    read_with(NO_LIMIT, chunks)
}

/// The violation of a stream, which must be the same fed whole and byte by byte.
fn violation(stream: &[u8]) -> Option<u16> {
    let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
    let whole = read(&[stream]);
    assert_eq!(whole, read(&bytewise), "{stream:x?}");
    whole.1
}

fn owned(event: ReaderEvent<'_>) -> ReaderEvent<'static> {
    match event {
        ReaderEvent::Message(message) => ReaderEvent::Message(message.into_owned()),
        ReaderEvent::Ping(payload) => ReaderEvent::Ping(Cow::Owned(payload.into_owned())),
        ReaderEvent::Pong(payload) => ReaderEvent::Pong(Cow::Owned(payload.into_owned())),
        ReaderEvent::Close(code) => ReaderEvent::Close(code),
        ReaderEvent::Fragment => ReaderEvent::Fragment,
    }
}

fn compressed(kind: MessageKind, payload: &[u8]) -> ReaderEvent<'static> {
    ReaderEvent::Message(Message::Compressed {
        kind,
        payload: Cow::Owned(payload.to_owned()),
    })
}

fn text(text: &str) -> ReaderEvent<'static> {
    ReaderEvent::Message(Message::Text(Cow::Owned(text.to_owned())))
}

#[test]
fn a_whole_message_is_lent_from_the_input() {
    let mut bytes = [
        frame(0x81, "hé".as_bytes()),
        frame(0x82, b"\xff"),
        frame(0x89, b"p"),
    ]
    .concat();
    let mut input = Input::new(&mut bytes);
    let mut reader = Reader::default();
    let mut next = || reader.poll_event(&mut input, &NO_LIMIT).unwrap();
    assert!(matches!(
        next(),
        Some(ReaderEvent::Message(Message::Text(Cow::Borrowed("hé"))))
    ));
    assert!(matches!(
        next(),
        Some(ReaderEvent::Message(Message::Binary(Cow::Borrowed(
            b"\xff"
        ))))
    ));
    assert!(matches!(
        next(),
        Some(ReaderEvent::Ping(Cow::Borrowed(b"p")))
    ));
    assert_eq!(next(), None);
    assert!(reader.held_bytes() == 0);
}

#[test]
fn framing_violations() {
    let mut unmasked = frame(0x81, b"");
    unmasked[1] = 0;
    let masked_header = |bytes: &[u8]| [bytes, &KEY].concat();
    let fragment = frame(0x01, b"a");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("unmasked", unmasked),
        ("rsv1", frame(0xc1, b"")),
        ("rsv2", frame(0xa1, b"")),
        ("rsv3", frame(0x91, b"")),
        ("long ping", frame(0x89, &[0; 126])),
        ("long close", frame(0x88, &[0; 126])),
        ("fragmented ping", frame(0x09, b"")),
        ("fragmented close", frame(0x08, b"")),
        ("continuation of nothing", frame(0x80, b"a")),
        ("first fragment of nothing", frame(0x00, b"a")),
        (
            "text inside text",
            [fragment.clone(), frame(0x81, b"b")].concat(),
        ),
        ("binary inside text", [fragment, frame(0x02, b"b")].concat()),
        (
            "continuation after the end",
            [frame(0x81, b"a"), frame(0x80, b"b")].concat(),
        ),
        ("16-bit length of 125", masked_header(&[0x82, 0xfe, 0, 125])),
        (
            "64-bit length of 65535",
            masked_header(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
        ),
        (
            "64-bit length, top bit",
            masked_header(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ),
        ("close with one byte", frame(0x88, &[3])),
    ];
    for (name, stream) in cases {
        assert_eq!(violation(&stream), Some(1002), "{name}");
    }
    for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        assert_eq!(
            violation(&frame(0x80 | opcode, b"")),
            Some(1002),
            "opcode {opcode}"
        );
        assert_eq!(
            violation(&frame(opcode, b"x")),
            Some(1002),
            "opcode {opcode}"
        );
    }
}

#[test]
fn a_violation_comes_after_the_events_before_it() {
    let stream = [frame(0x81, b"good"), frame(0x83, b"")].concat();
    assert_eq!(read(&[&stream]), (vec![text("good")], Some(1002)));
}

#[test]
fn close_frames() {
    let close = |code: u16, reason: &[u8]| frame(0x88, &[&code.to_be_bytes(), reason].concat());
    for code in [
        1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999,
    ] {
        let event = ReaderEvent::Close(Some(CloseCode(code)));
        assert_eq!(
            read(&[&close(code, "tschüß".as_bytes())]),
            (vec![event], None)
        );
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ] {
        assert_eq!(violation(&close(code, b"")), Some(1002), "{code}");
    }
    assert_eq!(violation(&close(1000, b"\xce\xba\xed\xa0\x80")), Some(1007));
    assert_eq!(violation(&close(1000, b"\xe2\x82")), Some(1007));
    let silent = ReaderEvent::Close(None);
    assert_eq!(read(&[&frame(0x88, b"")]), (vec![silent], None));
}

#[test]
fn text_must_be_utf8() {
    for bad in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
    ] {
        assert_eq!(violation(&frame(0x81, bad)), Some(1007), "{bad:x?}");
        let fragments = [frame(0x01, b"a"), frame(0x80, bad)].concat();
        assert_eq!(violation(&fragments), Some(1007), "{bad:x?}");
    }
    let euro = [
        frame(0x01, b"\xe2"),
        frame(0x00, b""),
        frame(0x80, b"\x82\xac"),
    ]
    .concat();
    assert_eq!(read(&[&euro]), (vec![text("€")], None));
    assert_eq!(
        violation(&[frame(0x02, b"\xff"), frame(0x80, b"\xfe")].concat()),
        None
    );
}

/// Autobahn 6.4.*: the payload is still arriving when the verdict is due.
#[test]
fn bad_text_fails_inside_an_unfinished_frame() {
    let valid = "κόσμε".as_bytes();
    let payload = [valid, b"\xf4\x90\x80\x80", b"edited"].concat();
    let stream = frame(0x81, &payload);
    let (header_len, bad) = (6, valid.len() + 1);
    assert_eq!(read(&[&stream[..header_len + bad]]), (vec![], None));
    assert_eq!(
        read(&[
            &stream[..header_len + bad],
            &stream[header_len + bad..][..1]
        ])
        .1,
        Some(1007)
    );
    assert_eq!(read(&[&stream[..=header_len + bad]]).1, Some(1007));
}

#[test]
fn compressed_messages_come_out_as_they_were_sent() {
    let mut bytes = frame(0xc1, b"\xff\xfe");
    let mut input = Input::new(&mut bytes);
    let event = Reader::default().poll_event(&mut input, &COMPRESSED);
    let Ok(Some(ReaderEvent::Message(Message::Compressed {
        kind: MessageKind::Text,
        payload: Cow::Borrowed(b"\xff\xfe"),
    }))) = event
    else {
        panic!("a whole message is lent, and not judged as text: {event:?}");
    };
    let stream = [
        frame(0x41, b"\xf2\x48"),
        frame(0x89, b"p"),
        frame(0x00, b""),
        frame(0x80, b"\xcd\xff"),
        frame(0x82, b"plain"),
        frame(0xc2, b""),
    ]
    .concat();
    let events = vec![
        ReaderEvent::Ping(Cow::Borrowed(b"p")),
        compressed(MessageKind::Text, b"\xf2\x48\xcd\xff"),
        ReaderEvent::Message(Message::Binary(Cow::Borrowed(b"plain"))),
        compressed(MessageKind::Binary, b""),
    ];
    assert_eq!(read_with(COMPRESSED, &[&stream]), (events.clone(), None));
    let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read_with(COMPRESSED, &bytewise), (events, None));
}

/// RFC 7692 section 6: the bit is for the first frame of a data message, where compression was agreed on.
#[test]
fn the_compressed_bit_is_refused_elsewhere() {
    let cases = [
        ("continuation", [frame(0x01, b"a"), frame(0xc0, b"b")]),
        (
            "compressed continuation",
            [frame(0x41, b"a"), frame(0xc0, b"b")],
        ),
        ("not yet final", [frame(0x42, b"a"), frame(0x40, b"b")]),
        ("ping", [frame(0xc9, b""), Vec::new()]),
        ("pong", [frame(0xca, b""), Vec::new()]),
        ("close", [frame(0xc8, b"\x03\xe8"), Vec::new()]),
        ("rsv2 too", [frame(0xe1, b""), Vec::new()]),
        ("rsv3 too", [frame(0xd1, b""), Vec::new()]),
        ("reserved opcode", [frame(0xc3, b""), Vec::new()]),
    ];
    for (name, frames) in cases {
        let outcome = read_with(COMPRESSED, &[&frames.concat()]);
        assert_eq!(outcome, (vec![], Some(1002)), "{name}");
    }
    for first_byte in [0xc1, 0xc2, 0x41] {
        assert_eq!(violation(&frame(first_byte, b"\x00")), Some(1002));
    }
}

#[test]
fn compressed_bytes_count_against_the_size() {
    let limits = FrameLimits {
        max_message_size: 4,
        ..COMPRESSED
    };
    let outcome = |stream: &[u8]| read_with(limits, &[stream]).1;
    assert_eq!(outcome(&frame(0xc1, &[0; 4])), None);
    assert_eq!(outcome(&frame(0xc1, &[0; 5])[..6]), Some(1009));
    let fragments = [frame(0x41, &[0; 3]), frame(0x80, &[0; 2])].concat();
    assert_eq!(outcome(&fragments), Some(1009));
}

#[test]
fn size_is_judged_by_the_header() {
    let limits = FrameLimits {
        max_message_size: 10,
        ..NO_LIMIT
    };
    let outcome = |stream: &[u8]| read_with(limits, &[stream]).1;
    assert_eq!(outcome(&frame(0x82, &[0; 10])), None);
    assert_eq!(outcome(&frame(0x82, &[0; 11])[..6]), Some(1009));
    let fragment = frame(0x01, "ab端c".as_bytes());
    assert_eq!(
        outcome(&[&fragment[..], &frame(0x80, b"1234")].concat()),
        None
    );
    assert_eq!(
        outcome(&[&fragment[..], &frame(0x80, b"12345")[..6]].concat()),
        Some(1009)
    );
    assert_eq!(
        outcome(&frame(0x89, &[0; 125])),
        None,
        "control frames are bounded anyway"
    );
    let huge = [&[0x82, 0xff, 0x7f][..], &[0xff; 7], &KEY].concat();
    assert_eq!(outcome(&huge), Some(1009));
    let cut_character = [
        frame(0x01, b"12345678\xe7\xab"),
        frame(0x80, b"\xaf")[..6].to_vec(),
    ];
    assert_eq!(
        outcome(&cut_character.concat()),
        Some(1009),
        "a cut character counts"
    );
}

#[test]
fn a_huge_claim_reserves_nothing() {
    let mut reader = Reader::default();
    let mut bytes = [&[0x82, 0xff, 0x7f][..], &[0xff; 7], &KEY, b"abc"].concat();
    assert_eq!(
        reader.poll_event(&mut Input::new(&mut bytes), &NO_LIMIT),
        Ok(None)
    );
    let Some(PartialMessage::Binary(held)) = &reader.partial().message else {
        panic!("a message began")
    };
    assert!(held.len() == 3 && held.capacity() < 64);
}

#[test]
fn holds_only_what_is_under_way() {
    let mut reader = Reader::default();
    // After each part: mid-message? idle?
    let parts: Vec<(Vec<u8>, bool, bool)> = vec![
        (frame(0x81, b"whole"), false, true),
        (frame(0x81, b"header")[..3].to_vec(), false, false),
        (frame(0x81, b"header")[3..8].to_vec(), true, false),
        (frame(0x81, b"header")[8..].to_vec(), false, true),
        (frame(0x02, b""), true, false),
        (frame(0x89, b"ping")[..8].to_vec(), true, false),
        (frame(0x89, b"ping")[8..].to_vec(), true, false),
        (frame(0x80, b""), false, true),
        (frame(0x8a, b"pong")[..6].to_vec(), false, false),
        (frame(0x8a, b"pong")[6..].to_vec(), false, true),
    ];
    for (index, (mut bytes, mid_message, idle)) in parts.into_iter().enumerate() {
        let mut input = Input::new(&mut bytes);
        while reader.poll_event(&mut input, &NO_LIMIT).unwrap().is_some() {}
        assert_eq!(
            (reader.message().is_some(), reader.held_bytes() == 0),
            (mid_message, idle),
            "part {index}"
        );
    }
}

/// One frame of a message, or a control frame between two of them.
#[derive(Debug, Clone)]
struct Step {
    frame: ClientFrame,
    event: Option<ReaderEvent<'static>>,
}

fn payload_len() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0..40usize, 2 => 120..130usize, 1 => 65530..65540usize]
}

fn control() -> impl Strategy<Value = Step> {
    (any::<bool>(), prop::collection::vec(any::<u8>(), 0..=125)).prop_map(|(is_ping, payload)| {
        let event_payload = Cow::Owned(payload.clone());
        if is_ping {
            Step {
                frame: ClientFrame::ping(payload),
                event: Some(ReaderEvent::Ping(event_payload)),
            }
        } else {
            Step {
                frame: ClientFrame::pong(payload),
                event: Some(ReaderEvent::Pong(event_payload)),
            }
        }
    })
}

fn whole_message_event() -> impl Strategy<Value = (Data, Vec<u8>, ReaderEvent<'static>)> {
    let characters = payload_len().prop_flat_map(|length| {
        prop::collection::vec(prop_oneof![Just('a'), any::<char>()], length / 2)
    });
    let bytes = (payload_len(), any::<u8>()).prop_map(|(length, seed)| {
        (0..length)
            .map(|index| (index as u8).wrapping_mul(seed))
            .collect::<Vec<u8>>()
    });
    prop_oneof![
        characters.prop_map(|characters| {
            let content: String = characters.into_iter().collect();
            (Data::Text, content.clone().into_bytes(), text(&content))
        }),
        bytes.prop_map(|bytes| (
            Data::Binary,
            bytes.clone(),
            ReaderEvent::Message(Message::Binary(Cow::Owned(bytes)))
        )),
    ]
}

/// A message cut into frames anywhere, control frames in between.
fn message() -> impl Strategy<Value = Vec<Step>> {
    let cuts = prop::collection::vec((any::<Index>(), prop::option::of(control())), 0..4);
    let parts = (whole_message_event(), any::<bool>(), cuts);
    parts.prop_map(|((data, payload, event), is_compressed, cuts)| {
        let event = if is_compressed {
            compressed(kind_of(data), &payload)
        } else {
            event
        };
        let (positions, controls): (Vec<Index>, Vec<_>) = cuts.into_iter().unzip();
        let mut ends: Vec<usize> = positions
            .iter()
            .map(|position| position.index(payload.len() + 1))
            .collect();
        ends.sort_unstable();
        let mut steps = Vec::new();
        let (mut start, mut data) = (0, data);
        for (end, control) in ends.into_iter().zip(controls) {
            let part = payload[start..end].to_vec();
            let frame = ClientFrame::message(part, OpCode::Data(data), false);
            steps.push(Step { frame, event: None });
            steps.extend(control);
            (start, data) = (end, Data::Continue);
        }
        let frame = ClientFrame::message(payload[start..].to_vec(), OpCode::Data(data), true);
        steps.push(Step {
            frame,
            event: Some(event),
        });
        steps[0].frame.header_mut().rsv1 = is_compressed;
        steps
    })
}

/// The steps as tungstenite's client puts them on the wire.
fn written_by_client(steps: &[Step]) -> Vec<u8> {
    let mut client = WebSocket::from_raw_socket(Cursor::new(Vec::new()), Role::Client, None);
    for step in steps {
        client
            .write(ClientMessage::Frame(step.frame.clone()))
            .unwrap();
    }
    client.flush().unwrap();
    client.into_inner().into_inner()
}

fn split<'a>(mut stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for cut in cuts {
        let (head, tail) = stream.split_at(cut.index(stream.len() + 1));
        chunks.push(head);
        stream = tail;
    }
    chunks.push(stream);
    chunks
}

proptest! {
    #[test]
    fn any_split_of_a_client_stream_says_what_the_client_meant(
        messages in prop::collection::vec(message(), 1..6),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let steps = messages.concat();
        let stream = written_by_client(&steps);
        let meant: Vec<_> = steps.into_iter().filter_map(|step| step.event).collect();
        let read = |chunks: &[&[u8]]| read_with(COMPRESSED, chunks);
        prop_assert_eq!(read(&[&stream]), (meant.clone(), None));
        prop_assert_eq!(read(&split(&stream, &cuts)), (meant.clone(), None));
        if stream.len() < 2000 {
            prop_assert_eq!(read(&stream.chunks(1).collect::<Vec<_>>()), (meant, None));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_splits_never_matter(
        streams in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..20)), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..60),
        cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let framed: Vec<u8> = streams.iter().flat_map(|(first, payload)| frame(*first, payload)).collect();
        for stream in [noise.clone(), [framed, noise].concat()] {
            for limits in [NO_LIMIT, COMPRESSED] {
                let whole = read_with(limits, &[&stream]);
                prop_assert_eq!(whole, read_with(limits, &split(&stream, &cuts)));
            }
        }
    }
}
