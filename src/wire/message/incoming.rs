//! Incoming messages: the type, the fields and the sender's id, with errors that name the field at fault.
//!
//! Fields may stand in `payload`, in `data` or flat beside `type` (contract section 2). Nothing is copied: the fields
//! stay text until whoever knows the type reads them with [`Incoming::fields`].

use super::malformed::{Malformed, shortened};
use super::relayable::check_relayable;
use super::syntax_error::find_syntax_error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A message whose envelope is understood.
#[derive(Debug)]
pub struct Incoming<'a> {
    pub kind: Cow<'a, str>,
    /// As JSON; sent back as `replyTo`.
    pub id: Option<&'a str>,
    /// `eventId` beside `type`, as JSON.
    pub event_id: Option<&'a str>,
    /// Fields that count as part of the payload when they stand beside it.
    pub beside: EnvelopeFields<'a>,
    /// `room` beside `type`, as JSON.
    pub room: Option<&'a str>,
    /// The whole message.
    pub text: &'a str,
    /// The JSON that holds the fields: the payload, or the whole message when they are flat.
    pub body: &'a str,
    /// Whether the fields have a payload of their own.
    pub nested: bool,
    /// `payload` or `data`.
    pub body_name: &'static str,
}

/// Fields of an event beside its payload, as JSON.
#[derive(Debug, Default)]
pub struct EnvelopeFields<'a> {
    pub task_id: Option<&'a str>,
    pub seq: Option<&'a str>,
    pub attempt: Option<&'a str>,
    pub restart: Option<&'a str>,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "eventId")]
    event_id: Option<&'a RawValue>,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
    #[serde(borrow, rename = "taskId")]
    task_id: Option<&'a RawValue>,
    #[serde(borrow)]
    attempt: Option<&'a RawValue>,
    #[serde(borrow)]
    restart: Option<&'a RawValue>,
}

impl<'a> Incoming<'a> {
    /// Reads a client's message, whose id must be fit to be sent back.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let message = Self::read(text)?;
        message.id.map(check_id).transpose()?;
        Ok(message)
    }

    /// Reads any message.
    pub fn read(text: &'a str) -> Result<Self, Malformed> {
        let text = strip_byte_order_mark(text);
        if !text.trim_start().starts_with('{') {
            parse::<&RawValue>(text)?;
            let reason = "expected a JSON object with a \"type\"";
            return Err(Malformed::field("message", reason));
        }
        let raw: RawMessage<'a> = parse(text)?;
        let kind = raw.kind.ok_or_else(|| {
            Malformed::field("type", "missing; expected the message type, a string")
        })?;
        let kind = string_of(kind.get(), "type")?;
        let nested = one_of(raw.payload, raw.data)?;
        Ok(Self {
            kind,
            id: raw.id.map(RawValue::get),
            event_id: raw.event_id.map(RawValue::get),
            beside: match nested {
                Some(_) => EnvelopeFields {
                    task_id: raw.task_id.map(RawValue::get),
                    seq: raw.seq.map(RawValue::get),
                    attempt: raw.attempt.map(RawValue::get),
                    restart: raw.restart.map(RawValue::get),
                },
                None => EnvelopeFields::default(),
            },
            room: raw.room.map(RawValue::get),
            text,
            body: nested.map_or(text, RawValue::get),
            nested: nested.is_some(),
            body_name: if raw.payload.is_some() {
                "payload"
            } else {
                "data"
            },
        })
    }

    /// The room named beside `type`.
    pub fn room(&self) -> Result<Option<Cow<'a, str>>, Malformed> {
        self.room.map(|room| string_of(room, "room")).transpose()
    }

    /// Refuses fields that nobody could read once they are relayed.
    pub fn check_relayable(&self) -> Result<(), Malformed> {
        check_relayable(self.body, 1).map_err(|fault| self.located(fault))
    }

    pub fn fields<T: Deserialize<'a>>(&self) -> Result<T, Malformed> {
        parse_object(self.body).map_err(|fault| self.located(fault))
    }

    /// Rewrites a complaint about the fields as one about the message.
    pub fn located(&self, fault: Malformed) -> Malformed {
        match self.nested {
            true => fault.under(self.body_name),
            false => fault,
        }
    }
}

/// Reads a member that is present even when it is `null`.
pub fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

pub fn strip_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Whichever of `payload` and `data` is present. `null` beside the other does not count.
pub fn one_of<'a>(
    payload: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
) -> Result<Option<&'a RawValue>, Malformed> {
    let (Some(one), Some(other)) = (payload, data) else {
        return Ok(payload.or(data));
    };
    match (one.get(), other.get()) {
        (_, "null") => Ok(payload),
        ("null", _) => Ok(data),
        _ => {
            let reason = "stands beside `payload`; expected one of the two, which mean the same";
            Err(Malformed::field("data", reason))
        }
    }
}

/// The error names the field at fault.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|error| explain::<T>(text, &error))
}

/// Reads an object as `T`. serde alone would also accept an array, taking its items for the fields in order.
pub fn parse_object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    if text.trim_start().starts_with('{') {
        return parse(text);
    }
    parse::<&RawValue>(text)?;
    Err(Malformed::field("", "expected a JSON object"))
}

/// The body, or `{}` for none: PHP writes an empty array where there are no fields, others `null` or nothing.
pub fn object_or_none(body: &str) -> &str {
    let plain = body.trim_ascii();
    let in_brackets = plain
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_none = matches!(plain, "" | "null")
        || in_brackets.is_some_and(|rest| rest.trim_ascii().is_empty());
    if is_none { "{}" } else { body }
}

/// Characters of a reason for what came.
const MAX_QUOTE: usize = 80;
/// Characters of a reason for what was expected.
const MAX_EXPECTATION: usize = 120;

/// Reads the text again, slowly, to learn which field was at fault.
fn explain<'a, T: Deserialize<'a>>(text: &'a str, error: &serde_json::Error) -> Malformed {
    if !error.is_data() {
        return find_syntax_error(text).unwrap_or_else(|| Malformed::syntax(error.to_string()));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => Malformed::syntax(error.to_string()),
        Err(located) => {
            let path = located.path().to_string();
            let field = if path == "." { "" } else { &path };
            let reason = located.inner().to_string();
            Malformed::field(field, shorten(&in_json_words(without_position(&reason))))
        }
    }
}

/// Drops serde's line and column, which mean nothing inside a message.
fn without_position(reason: &str) -> &str {
    reason
        .rsplit_once(" at line ")
        .map_or(reason, |(reason, _)| reason)
}

/// Rewords serde's reason for readers who know JSON and not Rust.
fn in_json_words(reason: &str) -> String {
    let reason = reason.replacen("unknown variant `", "unknown word `", 1);
    let reason = reason
        .replacen("invalid type: map", "invalid type: object", 1)
        .replacen("invalid type: sequence", "invalid type: array", 1)
        .replacen("invalid type: floating point", "invalid type: number", 1)
        .replacen("invalid value: floating point", "invalid value: number", 1);
    let Some((found, expected)) = reason.rsplit_once(", expected ") else {
        return reason;
    };
    let expected = match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number of at least 0",
        "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "an object",
        "string or map" | "a borrowed string" => "a string",
        of_rust if of_rust.starts_with("struct ") => "an object",
        plain => plain,
    };
    format!("{found}, expected {expected}")
}

/// Cuts the middle: a reason quotes a value of any length and ends with what was expected.
fn shorten(reason: &str) -> String {
    let from_end = reason.char_indices().nth_back(MAX_EXPECTATION);
    match (reason.char_indices().nth(MAX_QUOTE), from_end) {
        (Some((head, _)), Some((tail, _))) if head < tail => {
            format!("{}…{}", &reason[..head], &reason[tail..])
        }
        _ => reason.to_owned(),
    }
}

fn string_of<'a>(text: &'a str, field: &str) -> Result<Cow<'a, str>, Malformed> {
    match text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        Some(_) => match parse::<String>(text) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(fault) if fault.is_syntax() => Err(fault),
            Err(fault) => Err(fault.under(field)),
        },
        None => Err(Malformed::field(
            field,
            format!("{} is not a string", shortened(text)),
        )),
    }
}

/// Ids come back in answers, so they must be short and simple.
fn check_id(id: &str) -> Result<&str, Malformed> {
    let simple =
        id.starts_with('"') || id.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let is_readable = || !id.contains('\\') || parse::<String>(id).is_ok();
    if simple && id.len() <= 256 && is_readable() {
        return Ok(id);
    }
    Err(Malformed::field(
        "id",
        "expected a string or a number of at most 256 bytes",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Subscribe {
        task_ids: Vec<String>,
    }

    #[test]
    fn fields_may_be_nested_or_flat() {
        for text in [
            r#"{"type":"subscribe","taskIds":["a"],"id":"x"}"#,
            r#"{"type":"subscribe","payload":{"taskIds":["a"]},"id":"x"}"#,
            r#"{"type":"subscribe","data":{"taskIds":["a"]},"id":"x"}"#,
        ] {
            let message = Incoming::parse(text).unwrap();
            assert_eq!(message.kind, "subscribe");
            assert_eq!(message.id, Some("\"x\""));
            assert_eq!(message.fields::<Subscribe>().unwrap().task_ids, ["a"]);
        }
    }

    #[test]
    fn errors_do_not_send_back_all_that_came() {
        #[derive(Debug, Deserialize)]
        struct Progress {
            #[serde(rename = "progress")]
            _progress: f64,
        }
        let long = "x".repeat(100_000);
        let fault = parse::<Progress>(&format!("{{\"progress\":\"{long}\"}}")).unwrap_err();
        let fault = fault.to_string();
        assert!(fault.len() < 300, "{} bytes", fault.len());
        assert!(fault.starts_with("progress: invalid type: string \"xxx"));
        assert!(fault.ends_with("expected a number"), "{fault}");
    }

    #[test]
    fn errors_name_the_field_at_fault() {
        let fault = |text: &str| {
            Incoming::parse(text)
                .and_then(|message| message.fields::<Subscribe>())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            fault(r#"{"type":"subscribe","payload":{"taskIds":["a",5]}}"#),
            "payload.taskIds[1]: invalid type: integer `5`, expected a string"
        );
        assert_eq!(fault(r#"{"type":5}"#), "type: 5 is not a string");
        assert_eq!(
            fault(r#"{"a":1}"#),
            "type: missing; expected the message type, a string"
        );
        assert_eq!(
            fault(r#"{"type":"x","id":{}}"#),
            "id: expected a string or a number of at most 256 bytes"
        );
        assert_eq!(
            fault(r#"["ping"]"#),
            "message: expected a JSON object with a \"type\""
        );
        assert!(Incoming::parse("{").unwrap_err().is_unreadable());
        assert!(Incoming::parse("hello").unwrap_err().is_unreadable());
    }

    #[test]
    fn errors_speak_json() {
        #[derive(Debug, Deserialize, Default)]
        #[serde(default)]
        struct Wish {
            _limit: Option<u32>,
            _progress: Option<f64>,
            _rooms: Option<Vec<String>>,
            _since: Option<std::collections::HashMap<String, String>>,
            _batch: Option<bool>,
            _action: Option<super::super::patch::Control>,
            _inner: Option<Box<Wish>>,
        }
        for (text, told) in [
            (
                r#"{"_limit":-1}"#,
                "_limit: invalid value: integer `-1`, expected a whole number of at least 0",
            ),
            (
                r#"{"_limit":1.5}"#,
                "_limit: invalid type: number `1.5`, expected a whole number of at least 0",
            ),
            (
                r#"{"_progress":"x"}"#,
                "_progress: invalid type: string \"x\", expected a number",
            ),
            (
                r#"{"_rooms":{}}"#,
                "_rooms: invalid type: object, expected an array",
            ),
            (
                r#"{"_since":[]}"#,
                "_since: invalid type: array, expected an object",
            ),
            (
                r#"{"_batch":1}"#,
                "_batch: invalid type: integer `1`, expected true or false",
            ),
            (
                r#"{"_action":"stop"}"#,
                "_action: unknown word `stop`, expected one of `cancel`, `pause`, `resume`",
            ),
            (
                r#"{"_inner":5}"#,
                "_inner: invalid type: integer `5`, expected an object",
            ),
            (r#"{"_limit":1,"_limit":2}"#, "duplicate field `_limit`"),
        ] {
            assert_eq!(parse::<Wish>(text).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn escaped_types_are_read_as_meant() {
        assert_eq!(
            Incoming::parse(r#"{"type":"\u0070ing"}"#).unwrap().kind,
            "ping"
        );
    }
}
