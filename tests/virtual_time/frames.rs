//! What a client hears: answers and frames, however they are cut. It shares no code with the server.

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

/// Turns the server's bytes into what is heard, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    upgraded: bool,
    /// What pings carried that nobody has answered.
    pings: Vec<Vec<u8>>,
    /// What pongs carried.
    pongs: Vec<Vec<u8>>,
    /// The `Retry-After` of the last answer, in seconds.
    pub(crate) retry_after: Option<u64>,
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

    /// What the pongs carried that have come since the last call.
    pub(crate) fn take_pongs(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.pongs)
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
        let number = |wanted: &str| {
            let fields = head.lines().filter_map(|line| line.split_once(": "));
            let mut found = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            let (_, value) = found.next()?;
            Some(value.parse::<u64>().expect("a number"))
        };
        let length = number("content-length").unwrap_or(0) as usize;
        self.retry_after = number("retry-after");
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
            10 => {
                self.pongs.push(payload);
                vec![Heard::Pong]
            }
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
