//! The client's half of the wire: masked frames out, answers and frames in. It shares no code with the server.

use serde_json::Value;

/// What a peer of the server hears.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// An HTTP answer: status and JSON body.
    Answer(u16, Value),
    /// A message, on its own or out of a batch.
    Message(Value),
    /// How many messages a batch held.
    Batch(usize),
    /// A ping frame.
    Ping,
    /// A pong frame.
    Pong,
    /// A close frame.
    Close(u16),
}

/// The opcodes that clients use here.
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PONG: u8 = 10;

/// One masked frame (RFC 6455 section 5.3).
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x5a, 0x00, 0xff, 0x13];
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => match u16::try_from(long) {
            Ok(long) => {
                frame.push(0x80 | 126);
                frame.extend(long.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        },
    }
    frame.extend(KEY);
    frame.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

/// Turns the server's bytes into what is heard, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    upgraded: bool,
    /// What pings carried that nobody has answered.
    pings: Vec<Vec<u8>>,
}

impl Decoder {
    /// Takes bytes as they come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What the pings carried that have come since the last call.
    pub(crate) fn take_pings(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pings)
    }

    /// The next thing that is complete.
    pub(crate) fn poll(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        while let Some(more) = if self.upgraded {
            self.frame()
        } else {
            self.answer()
        } {
            heard.extend(more);
        }
        heard
    }

    fn answer(&mut self) -> Option<Vec<Heard>> {
        let end = self.bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.bytes[..end].to_vec()).expect("heads are text");
        let status = head[9..12].parse().expect("a status line");
        if status == 101 {
            self.bytes.drain(..end);
            self.upgraded = true;
            return Some(Vec::new());
        }
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.parse().expect("a length"));
        let body = self.bytes.get(end..end + length)?;
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).expect("JSON")
        };
        self.bytes.drain(..end + length);
        Some(vec![Heard::Answer(status, body)])
    }

    fn frame(&mut self) -> Option<Vec<Heard>> {
        let [first, second] = *self.bytes.first_chunk()?;
        let (start, length) = match second {
            127 => (
                10,
                u64::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?) as usize,
            ),
            126 => (
                4,
                u16::from_be_bytes(*self.bytes.get(2..)?.first_chunk()?) as usize,
            ),
            short => (2, usize::from(short)),
        };
        let payload = self.bytes.get(start..start + length)?.to_vec();
        self.bytes.drain(..start + length);
        assert_eq!(first & 0xf0, 0x80, "server frames are final and plain");
        Some(match first & 0x0f {
            1 => unpack(serde_json::from_slice(&payload).expect("JSON")),
            2 => unpack(rmp_serde::from_slice(&payload).expect("MessagePack")),
            8 => vec![Heard::Close(u16::from_be_bytes([payload[0], payload[1]]))],
            9 => {
                self.pings.push(payload);
                vec![Heard::Ping]
            }
            10 => vec![Heard::Pong],
            opcode => panic!("no server sends opcode {opcode}"),
        })
    }
}

fn unpack(message: Value) -> Vec<Heard> {
    if message["type"] != "batch" {
        return vec![Heard::Message(message)];
    }
    let messages = message["payload"]["messages"]
        .as_array()
        .expect("a batch has messages");
    let mut heard = vec![Heard::Batch(messages.len())];
    heard.extend(messages.iter().cloned().map(Heard::Message));
    heard
}
