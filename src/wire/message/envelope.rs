//! Outgoing messages: an envelope around a payload that is JSON already, in every variant (contract section 2).

use super::pack;
use super::variant::{Dialect, Encoding, Variant};
use crate::base::id::MessageId;
use serde::Serialize;
use std::fmt::Write;

/// The payload is JSON text, so that what an application sent is relayed to the letter.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub kind: &'a str,
    /// JSON.
    pub payload: &'a str,
    pub timestamp: u64,
    /// Answers to one client have none.
    pub id: Option<&'a MessageId>,
    /// The `id` of the client message that this answers, as JSON.
    pub reply_to: Option<&'a str>,
    /// For messages that a room's log keeps.
    pub room_offset: Option<RoomOffset<'a>>,
}

/// A message's offset in the log of its room (contract section 5).
#[derive(Debug, Clone, Copy)]
pub struct RoomOffset<'a> {
    pub room: &'a str,
    pub offset: u64,
}

impl<'a> Envelope<'a> {
    /// A message for one client that is in no log.
    pub fn alone(kind: &'a str, payload: &'a str, timestamp: u64) -> Self {
        Self::new(kind, payload, timestamp, None)
    }

    /// A message that answers nobody and is in no log.
    pub fn new(kind: &'a str, payload: &'a str, timestamp: u64, id: Option<&'a MessageId>) -> Self {
        Self {
            kind,
            payload,
            timestamp,
            id,
            reply_to: None,
            room_offset: None,
        }
    }
}

impl Envelope<'_> {
    /// Without any frame. [`pack::push_json`] says what becomes of a payload that MessagePack cannot express.
    pub fn encode(&self, variant: Variant) -> Vec<u8> {
        if variant.encoding == Encoding::MessagePack {
            return self.message_pack(variant.dialect);
        }
        let mut out = String::with_capacity(self.payload.len() + 128);
        match variant.dialect {
            Dialect::Payload => self.push_json(&mut out),
            Dialect::Data => {
                self.push_opening(&mut out, Dialect::Data);
                out.push('}');
            }
        }
        out.into_bytes()
    }

    fn message_pack(&self, dialect: Dialect) -> Vec<u8> {
        let optional = [self.id.is_some(), self.reply_to.is_some()];
        let optional = optional.into_iter().map(u32::from).sum::<u32>();
        let members = match dialect {
            Dialect::Payload => 3 + optional + 2 * u32::from(self.room_offset.is_some()),
            Dialect::Data => 2,
        };
        let mut out = Vec::with_capacity(128);
        pack::begin_map(&mut out, members);
        pack::push_text(&mut out, "type");
        pack::push_text(&mut out, self.kind);
        pack::push_text(&mut out, dialect.body());
        pack::push_json(&mut out, self.payload);
        if dialect == Dialect::Data {
            return out;
        }
        pack::push_text(&mut out, "timestamp");
        pack::push_number(&mut out, self.timestamp);
        if let Some(id) = self.id {
            pack::push_text(&mut out, "id");
            pack::push_text(&mut out, &id.to_string());
        }
        if let Some(reply_to) = self.reply_to {
            pack::push_text(&mut out, "replyTo");
            pack::push_json(&mut out, reply_to);
        }
        if let Some(room_offset) = self.room_offset {
            pack::push_text(&mut out, "room");
            pack::push_text(&mut out, room_offset.room);
            pack::push_text(&mut out, "offset");
            pack::push_number(&mut out, room_offset.offset);
        }
        out
    }

    /// Appends the message in the payload dialect, as JSON.
    pub fn push_json(&self, out: &mut String) {
        self.push_opening(out, Dialect::Payload);
        push_number(out, "timestamp", self.timestamp);
        if let Some(id) = self.id {
            let _ = write!(out, ",\"id\":\"{id}\"");
        }
        push_reply_to(out, self.reply_to);
        if let Some(room_offset) = self.room_offset {
            out.push_str(",\"room\":");
            push_string(out, room_offset.room);
            push_number(out, "offset", room_offset.offset);
        }
        out.push('}');
    }

    fn push_opening(&self, out: &mut String, dialect: Dialect) {
        out.push_str("{\"type\":");
        push_string(out, self.kind);
        out.push_str(",\"");
        out.push_str(dialect.body());
        out.push_str("\":");
        out.push_str(self.payload);
    }
}

/// An `error` message: `{code, message, replyTo?}` as payload, or `{type, message}` in the data dialect, where errors
/// about workspaces have a `code` too (contract section 6).
#[derive(Debug, Clone, Copy)]
pub struct ErrorMessage<'a> {
    /// An [`ErrorCode`](crate::wire::error_code::ErrorCode), or a word that the application chose.
    pub code: &'a str,
    /// For a person.
    pub message: &'a str,
    /// The `id` of the client message at fault, as JSON.
    pub reply_to: Option<&'a str>,
    pub timestamp: u64,
    pub is_of_workspaces: bool,
}

impl ErrorMessage<'_> {
    pub fn encode(&self, variant: Variant) -> Vec<u8> {
        match variant.dialect {
            Dialect::Payload => {
                let payload = self.payload();
                let envelope = Envelope {
                    reply_to: self.reply_to,
                    ..Envelope::alone("error", &payload, self.timestamp)
                };
                envelope.encode(variant)
            }
            Dialect::Data => {
                let mut body = String::with_capacity(self.message.len() + 64);
                body.push_str("{\"type\":\"error\",\"message\":");
                push_string(&mut body, self.message);
                if self.is_of_workspaces {
                    body.push_str(",\"code\":\"");
                    body.push_str(self.code);
                    body.push('"');
                }
                push_reply_to(&mut body, self.reply_to);
                body.push('}');
                match variant.encoding {
                    Encoding::Json => body.into_bytes(),
                    Encoding::MessagePack => {
                        let mut packed = Vec::with_capacity(body.len());
                        pack::push_json(&mut packed, &body);
                        packed
                    }
                }
            }
        }
    }

    /// The payload in the payload dialect.
    pub fn payload(&self) -> String {
        let mut out = String::with_capacity(self.message.len() + 64);
        out.push_str("{\"code\":");
        push_string(&mut out, self.code);
        out.push_str(",\"message\":");
        push_string(&mut out, self.message);
        push_reply_to(&mut out, self.reply_to);
        out.push('}');
        out
    }
}

/// Several messages as one `batch` message (contract section 4). Each must be encoded in `encoding` already.
pub fn encode_batch<'a>(
    encoding: Encoding,
    messages: impl ExactSizeIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    if encoding == Encoding::Json {
        let mut out = b"{\"type\":\"batch\",\"payload\":{\"messages\":[".to_vec();
        for (index, message) in messages.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(message);
        }
        out.extend_from_slice(b"]}}");
        return out;
    }
    let mut out = Vec::new();
    pack::begin_map(&mut out, 2);
    pack::push_text(&mut out, "type");
    pack::push_text(&mut out, "batch");
    pack::push_text(&mut out, "payload");
    pack::begin_map(&mut out, 1);
    pack::push_text(&mut out, "messages");
    pack::begin_array(&mut out, u32::try_from(messages.len()).unwrap_or(u32::MAX));
    messages.for_each(|message| out.extend_from_slice(message));
    out
}

/// A document of our own as JSON.
pub fn to_json(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("documents of our own always have a JSON form")
}

/// Appends `text` as a JSON string.
pub fn push_string(out: &mut String, text: &str) {
    out.push_str(&to_json(&text));
}

fn push_reply_to(out: &mut String, reply_to: Option<&str>) {
    if let Some(reply_to) = reply_to {
        out.push_str(",\"replyTo\":");
        out.push_str(reply_to);
    }
}

fn push_number(out: &mut String, name: &str, value: u64) {
    let mut digits = itoa::Buffer::new();
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    out.push_str(digits.format(value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::refusal::ErrorCode;

    fn sample() -> Envelope<'static> {
        Envelope {
            kind: "task_progress",
            payload: "{\"taskId\":\"t\"}",
            timestamp: 7,
            id: None,
            reply_to: Some("\"q1\""),
            room_offset: Some(RoomOffset {
                room: "task:t",
                offset: 3,
            }),
        }
    }

    #[test]
    fn the_payload_dialect_carries_the_whole_envelope() {
        let text = String::from_utf8(sample().encode(Variant::default())).unwrap();
        assert_eq!(
            text,
            r#"{"type":"task_progress","payload":{"taskId":"t"},"timestamp":7,"replyTo":"q1","room":"task:t","offset":3}"#
        );
    }

    #[test]
    fn the_data_dialect_carries_type_and_data_only() {
        let variant = Variant {
            dialect: Dialect::Data,
            encoding: Encoding::Json,
            window: None,
        };
        let text = String::from_utf8(sample().encode(variant)).unwrap();
        assert_eq!(text, r#"{"type":"task_progress","data":{"taskId":"t"}}"#);
    }

    #[test]
    fn the_data_dialect_error_is_the_seeds_error() {
        let variant = Variant {
            dialect: Dialect::Data,
            encoding: Encoding::Json,
            window: None,
        };
        let error = ErrorMessage {
            code: ErrorCode::UnknownType.as_str(),
            message: "未知消息类型: ping",
            reply_to: None,
            timestamp: 0,
            is_of_workspaces: false,
        };
        assert_eq!(
            String::from_utf8(error.encode(variant)).unwrap(),
            r#"{"type":"error","message":"未知消息类型: ping"}"#
        );
    }

    #[test]
    fn message_pack_says_the_same_as_json() {
        let packed = Variant {
            dialect: Dialect::Payload,
            encoding: Encoding::MessagePack,
            window: None,
        };
        let from_pack: serde_json::Value = rmp_serde::from_slice(&sample().encode(packed)).unwrap();
        let from_json: serde_json::Value =
            serde_json::from_slice(&sample().encode(Variant::default())).unwrap();
        assert_eq!(from_pack, from_json);
    }

    #[test]
    fn what_message_pack_cannot_say_goes_as_json_text() {
        let packed = Variant {
            dialect: Dialect::Payload,
            encoding: Encoding::MessagePack,
            window: None,
        };
        for payload in [r#"{"half":"\ud800"}"#, r#"{"huge":1e999}"#] {
            let bytes = Envelope {
                payload,
                ..sample()
            }
            .encode(packed);
            let value: serde_json::Value = rmp_serde::from_slice(&bytes).unwrap();
            assert_eq!(value["payload"], payload);
            assert_eq!(value["offset"], 3);
        }
    }

    #[test]
    fn a_batch_holds_its_messages_in_order_in_both_encodings() {
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let variant = Variant {
                dialect: Dialect::Payload,
                encoding,
                window: None,
            };
            let first = sample().encode(variant);
            let second = Envelope {
                kind: "task_completed",
                ..sample()
            }
            .encode(variant);
            let batch = encode_batch(encoding, [first.as_slice(), second.as_slice()].into_iter());
            let value: serde_json::Value = match encoding {
                Encoding::Json => serde_json::from_slice(&batch).unwrap(),
                Encoding::MessagePack => rmp_serde::from_slice(&batch).unwrap(),
            };
            assert_eq!(value["type"], "batch");
            assert_eq!(value["payload"]["messages"][1]["type"], "task_completed");
        }
    }
}
