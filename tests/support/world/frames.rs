//! What a client hears: answers and frames, however they are cut. It shares no code with the server.

use serde_json::Value;
use std::collections::VecDeque;

/// What a peer of the server hears.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// An HTTP answer: status and JSON body.
    Answer(u16, Value),
    /// The connection is a WebSocket from now on.
    Upgraded,
    /// A message, on its own or out of a batch.
    Message(Value),
    /// How many messages a batch held.
    Batch(usize),
    Ping,
    Pong,
    /// A close frame.
    Close(u16),
}

/// Turns the server's bytes into what is heard, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    start: usize,
    upgraded: bool,
    heard: VecDeque<Heard>,
    /// What pings carried that nobody has answered.
    pings: Vec<Vec<u8>>,
    /// What pongs carried.
    pongs: Vec<Vec<u8>>,
    /// Messages come as MessagePack.
    pub(crate) is_packed: bool,
    /// The `Retry-After` of the last answer, in seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Decoder {
    /// Takes bytes as they come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        while match self.upgraded {
            true => self.frame(),
            false => self.answer(),
        } {}
        self.bytes.drain(..self.start);
        self.start = 0;
    }

    /// The next thing that is complete.
    pub(crate) fn poll(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    /// What the pings carried that have come since the last call.
    pub(crate) fn take_pings(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pings)
    }

    /// What the pongs carried that have come since the last call.
    pub(crate) fn take_pongs(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pongs)
    }

    fn answer(&mut self) -> bool {
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
            self.heard.push_back(Heard::Upgraded);
            return true;
        }
        let number = |wanted: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            let (_, value) = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
            Some(value.parse::<u64>().expect("a number"))
        };
        let length = number("content-length").unwrap_or(0) as usize;
        self.retry_after = number("retry-after");
        let Some(body) = bytes.get(end..end + length) else {
            return false;
        };
        let body = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(body).expect("JSON"),
        };
        self.start += end + length;
        self.heard.push_back(Heard::Answer(status, body));
        true
    }

    fn frame(&mut self) -> bool {
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
        let heard = match first & 0x0f {
            1 if !self.is_packed => Heard::Message(serde_json::from_slice(payload).expect("JSON")),
            2 if self.is_packed => {
                Heard::Message(rmp_serde::from_slice(payload).expect("MessagePack"))
            }
            8 => Heard::Close(u16::from_be_bytes([payload[0], payload[1]])),
            9 => {
                self.pings.push(payload.to_vec());
                Heard::Ping
            }
            10 => {
                self.pongs.push(payload.to_vec());
                Heard::Pong
            }
            opcode => panic!("no server sends opcode {opcode} here"),
        };
        self.start += start + length;
        self.tell(heard);
        true
    }

    fn tell(&mut self, mut heard: Heard) {
        if let Heard::Message(batch) = &mut heard
            && batch["type"] == "batch"
        {
            let Value::Array(messages) = batch["payload"]["messages"].take() else {
                panic!("a batch has messages: {batch}");
            };
            self.heard.push_back(Heard::Batch(messages.len()));
            return self.heard.extend(messages.into_iter().map(Heard::Message));
        }
        self.heard.push_back(heard);
    }
}
