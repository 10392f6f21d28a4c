//! What a client hears: answers and frames, however they are cut. It shares no code with the server.

use serde_json::Value;

/// What a peer of the server hears.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// An HTTP answer: status and JSON body.
    Answer(u16, Value),
    /// The connection is a WebSocket from now on.
    Upgraded,
    /// A message, on its own or out of a batch.
    Message(Value),
    /// A ping and its payload.
    Ping(Vec<u8>),
    /// A close frame.
    Close(u16),
}

/// Turns the server's bytes into what is heard, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    start: usize,
    upgraded: bool,
    /// Messages come as MessagePack.
    pub(crate) is_packed: bool,
}

impl Decoder {
    /// Takes bytes as they come; everything that is complete is told.
    pub(crate) fn push(&mut self, bytes: &[u8], mut tell: impl FnMut(Heard)) {
        self.bytes.extend_from_slice(bytes);
        while match self.upgraded {
            true => self.frame(&mut tell),
            false => self.answer(&mut tell),
        } {}
        self.bytes.drain(..self.start);
        self.start = 0;
    }

    fn answer(&mut self, tell: &mut impl FnMut(Heard)) -> bool {
        let bytes = &self.bytes[self.start..];
        let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") else {
            return false;
        };
        let head = std::str::from_utf8(&bytes[..end]).expect("heads are text");
        let end = end + 4;
        let status = head[9..12].parse().expect("a status line");
        if status == 101 {
            self.is_packed = head.contains("joblight.msgpack");
            (self.start, self.upgraded) = (self.start + end, true);
            tell(Heard::Upgraded);
            return true;
        }
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let length = fields
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.parse().expect("a length"));
        let Some(body) = bytes.get(end..end + length) else {
            return false;
        };
        let body = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(body).expect("JSON"),
        };
        self.start += end + length;
        tell(Heard::Answer(status, body));
        true
    }

    fn frame(&mut self, tell: &mut impl FnMut(Heard)) -> bool {
        let bytes = &self.bytes[self.start..];
        let Some([first, second]) = bytes.first_chunk() else {
            return false;
        };
        let long = |count: usize| {
            let digits = bytes.get(2..2 + count)?.iter();
            let length = digits.fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            Some((2 + count, length))
        };
        let place = match second {
            127 => long(8),
            126 => long(2),
            short => Some((2, usize::from(*short))),
        };
        let payload = place.and_then(|(start, length)| bytes.get(start..start + length));
        let (Some(payload), Some((start, length))) = (payload, place) else {
            return false;
        };
        assert_eq!(first & 0xf0, 0x80, "server frames are final and plain");
        match first & 0x0f {
            1 if !self.is_packed => unpack(serde_json::from_slice(payload).expect("JSON"), tell),
            2 if self.is_packed => {
                unpack(rmp_serde::from_slice(payload).expect("MessagePack"), tell)
            }
            8 => tell(Heard::Close(u16::from_be_bytes([payload[0], payload[1]]))),
            9 => tell(Heard::Ping(payload.to_vec())),
            10 => {}
            opcode => panic!("no server sends opcode {opcode}"),
        }
        self.start += start + length;
        true
    }
}

fn unpack(mut message: Value, tell: &mut impl FnMut(Heard)) {
    if message["type"] != "batch" {
        return tell(Heard::Message(message));
    }
    let messages = message["payload"]["messages"].take();
    let Value::Array(messages) = messages else {
        panic!("a batch has messages: {message}");
    };
    messages
        .into_iter()
        .for_each(|message| tell(Heard::Message(message)));
}
