//! Frames from the server to a client (RFC 6455 section 5.2), encoded once into shared bytes.
//!
//! Server frames are unmasked and never fragmented.

use bytes::Bytes;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::close::CloseCode;

/// The same for every connection.
pub const PING: &[u8] = &[0x89, 0x00];

/// RFC 6455 section 5.5.
pub(super) const MAX_CONTROL_PAYLOAD: usize = 125;

/// RFC 6455 section 5.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    Text,
    Binary,
}

impl MessageKind {
    fn opcode(self) -> OpCode {
        OpCode::Data(match self {
            Self::Text => Data::Text,
            Self::Binary => Data::Binary,
        })
    }
}

/// A message in one frame: header and payload in one allocation, shared by all its receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    bytes: Bytes,
    header_len: u8,
}

impl EncodedFrame {
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Shares the frame's memory. Compressed if the frame is.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(usize::from(self.header_len)..)
    }
}

pub fn encode(kind: MessageKind, payload: &[u8]) -> EncodedFrame {
    encode_frame(kind.opcode(), false, &[payload])
}

/// `compressed` is compressed already; the frame only says so, by RSV1 (RFC 7692 section 6.1).
pub fn encode_compressed(kind: MessageKind, compressed: &[u8]) -> EncodedFrame {
    encode_frame(kind.opcode(), true, &[compressed])
}

/// RFC 6455 section 5.5.1. A reason too long for a control frame is cut between characters.
pub fn encode_close(code: CloseCode, reason: &str) -> Bytes {
    debug_assert!(code.is_allowed_on_wire(), "{code} may not be sent");
    let code = code.0.to_be_bytes();
    let reason = cut_to(reason, MAX_CONTROL_PAYLOAD - code.len());
    encode_control(Control::Close, &[&code, reason.as_bytes()])
}

pub fn encode_ping(payload: &[u8]) -> Bytes {
    encode_control(Control::Ping, &[payload])
}

/// Repeats the payload of the ping (RFC 6455 section 5.5.3).
pub fn encode_pong(payload: &[u8]) -> Bytes {
    encode_control(Control::Pong, &[payload])
}

fn encode_control(control: Control, parts: &[&[u8]]) -> Bytes {
    let frame = encode_frame(OpCode::Control(control), false, parts);
    debug_assert!(
        frame.payload().len() <= MAX_CONTROL_PAYLOAD,
        "no control frame carries so much"
    );
    frame.into_bytes()
}

fn encode_frame(opcode: OpCode, rsv1: bool, parts: &[&[u8]]) -> EncodedFrame {
    let header = FrameHeader {
        opcode,
        rsv1,
        ..FrameHeader::default()
    };
    let payload_len: usize = parts.iter().map(|part| part.len()).sum();
    let header_len = header.len(payload_len as u64);
    let mut bytes = Vec::with_capacity(header_len + payload_len);
    let written = header.format(payload_len as u64, &mut bytes);
    written.expect("a Vec accepts every write");
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    let (bytes, header_len) = (bytes.into(), header_len as u8);
    EncodedFrame { bytes, header_len }
}

/// Cuts between characters.
fn cut_to(text: &str, max_len: usize) -> &str {
    let mut end = text.len().min(max_len);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_takes_the_shortest_length_form() {
        let cases: &[(usize, &[u8])] = &[
            (0, &[0x82, 0]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65535, &[0x82, 126, 0xff, 0xff]),
            (65536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ];
        for (length, header) in cases {
            let payload = vec![7; *length];
            let frame = encode(MessageKind::Binary, &payload);
            assert_eq!(&frame.bytes()[..header.len()], *header);
            assert_eq!(frame.payload(), payload);
            assert_eq!(frame.bytes().len(), header.len() + length);
        }
    }

    #[test]
    fn payload_shares_the_memory_of_the_frame() {
        let frame = encode(MessageKind::Text, b"shared");
        assert_eq!(frame.payload().as_ptr(), frame.bytes()[2..].as_ptr());
        assert_eq!(frame.into_bytes(), &b"\x81\x06shared"[..]);
    }

    #[test]
    fn a_compressed_frame_has_its_first_reserved_bit_set() {
        let text = encode_compressed(MessageKind::Text, b"\xf2\x48");
        assert_eq!(text.bytes(), &b"\xc1\x02\xf2\x48"[..]);
        assert_eq!(text.payload(), &b"\xf2\x48"[..]);
        let binary = encode_compressed(MessageKind::Binary, &[0; 126]);
        assert_eq!(binary.bytes()[..4], [0xc2, 126, 0, 126]);
    }

    #[test]
    fn control_frames() {
        assert_eq!(encode_ping(b""), PING);
        assert_eq!(encode_pong(b"hi"), &b"\x8a\x02hi"[..]);
        assert_eq!(
            encode_close(CloseCode::GOING_AWAY, "bye"),
            &b"\x88\x05\x03\xe9bye"[..]
        );
    }

    #[test]
    fn close_reason_is_cut_between_characters() {
        let cases = [
            ("a".repeat(123), 123),
            ("a".repeat(124), 123),
            ("é".repeat(62), 122),
            ("端".repeat(60), 123),
            (format!("a{}", "端".repeat(60)), 121),
        ];
        for (reason, kept) in cases {
            let frame = encode_close(CloseCode::NORMAL, &reason);
            assert_eq!(usize::from(frame[1]), kept + 2, "{reason}");
            assert_eq!(&frame[4..], &reason.as_bytes()[..kept]);
        }
    }
}
