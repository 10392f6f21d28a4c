//! CloudEvents 1.0 as a way to report (contract section 7): structured, batched and binary HTTP modes.
//!
//! `type` ends in one of joblight's types (`com.example.task_progress`), `data` is the payload, `subject` names the
//! task when the payload does not, and `source` with `id` identifies repeats (CloudEvents 1.0 section "id"). Nothing is
//! decoded with losses: an attribute that cannot be read is refused by name.

use super::event::{Report, with_task};
use super::incoming::{EnvelopeFields, Incoming, parse, parse_object, strip_byte_order_mark};
use super::malformed::Malformed;
use super::merge::Members;
use data_encoding::BASE64;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The attributes that mean something here.
#[derive(Debug, Deserialize)]
pub struct CloudEvent<'a> {
    /// Must be `1.0`.
    pub specversion: Attribute,
    #[serde(rename = "type")]
    pub kind: Attribute,
    pub source: Attribute,
    pub id: Attribute,
    /// The task, when `data` does not name it.
    #[serde(default)]
    pub subject: Option<Attribute>,
    /// An extension attribute: the room of an application's own type.
    #[serde(default)]
    pub room: Option<Attribute>,
    /// The type of `data`; JSON when absent.
    #[serde(default)]
    pub datacontenttype: Option<Attribute>,
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
    #[serde(default)]
    pub data_base64: Option<String>,
}

/// Never empty.
#[derive(Debug)]
pub struct Attribute(String);

impl Attribute {
    pub fn new(value: String) -> Option<Self> {
        (!value.is_empty()).then_some(Self(value))
    }
}

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = String::deserialize(deserializer)?;
        Self::new(value).ok_or_else(|| serde::de::Error::custom(EMPTY))
    }
}

/// The complaint about an empty attribute.
pub const EMPTY: &str = "empty; expected a string with something in it";

impl<'a> CloudEvent<'a> {
    /// Reads a structured-mode event.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        parse_object(text).map_err(|fault| lacking(text, fault))
    }

    pub fn report(&self) -> Result<Report<'static>, Malformed> {
        if self.specversion.0 != "1.0" {
            return Err(Malformed::field(
                "specversion",
                format!("`{}` is not supported; expected `1.0`", self.specversion.0),
            ));
        }
        let mut report = match (&self.data, &self.data_base64) {
            (None, None) => self.report_of("{}", "data")?,
            (Some(_), Some(_)) => {
                let reason = "stands beside `data`; expected one of the two";
                return Err(Malformed::field("data_base64", reason));
            }
            (Some(data), None) => {
                self.check_content_type()?;
                self.report_of(data.get(), "data")?
            }
            (None, Some(encoded)) => {
                self.check_content_type()?;
                let text = decoded(encoded).map_err(|fault| fault.under("data_base64"))?;
                let data = strip_byte_order_mark(&text);
                Report::read_repairing(data, "id", |data| self.report_of(data, "data_base64"))?
                    .into_owned()
            }
        };
        // No URI has a space, so the first one ends the source.
        let source = self.source.0.replace(' ', "%20");
        report.id = Some(format!("{source} {}", self.id.0).into());
        Ok(report)
    }

    fn report_of(&self, data: &str, data_name: &'static str) -> Result<Report<'static>, Malformed> {
        let kind = match self.room {
            Some(_) => &self.kind.0,
            None => self.kind.0.rsplit('.').next().unwrap_or(&self.kind.0),
        };
        let room = self.room.as_ref();
        let room = room.map(|name| serde_json::Value::from(&*name.0).to_string());
        let body = self.body(data).map_err(|fault| fault.under(data_name))?;
        let message = Incoming {
            kind: Cow::Borrowed(kind),
            id: None,
            event_id: None,
            beside: EnvelopeFields::default(),
            room: room.as_deref(),
            text: data,
            body: &body,
            nested: true,
            body_name: data_name,
        };
        Report::from_message(&message).map(Report::into_owned)
    }

    /// The payload, with the subject as its `taskId` when it has none.
    fn body<'d>(&self, data: &'d str) -> Result<Cow<'d, str>, Malformed> {
        let Some(subject) = self.subject.as_ref().filter(|_| self.room.is_none()) else {
            parse::<&RawValue>(data)?;
            return Ok(Cow::Borrowed(data));
        };
        let fields = Members::parse(data)?;
        if fields.value("taskId").is_some_and(|id| id != "null") {
            return Ok(Cow::Borrowed(data));
        }
        let rest = fields.without(&["taskId"]).to_json();
        Ok(Cow::Owned(with_task(&subject.0, &rest)))
    }

    /// Refuses data whose own type is not JSON.
    fn check_content_type(&self) -> Result<(), Malformed> {
        let kind = self.datacontenttype.as_ref();
        let checked = kind.map_or(Ok(()), |Attribute(kind)| check_json_type(kind));
        checked.map_err(|reason| Malformed::field("datacontenttype", reason))
    }
}

/// Refuses a media type other than JSON in UTF-8.
pub fn check_json_type(kind: &str) -> Result<(), String> {
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    if !(essence.ends_with("/json") || essence.ends_with("+json")) {
        return Err(format!(
            "`{essence}` is not JSON; expected application/json"
        ));
    }
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        let is_utf8 = ["utf-8", "utf8", "us-ascii"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(value));
        if name.trim().eq_ignore_ascii_case("charset") && !is_utf8 {
            return Err(format!(
                "charset `{value}` is not understood; expected application/json in UTF-8"
            ));
        }
    }
    Ok(())
}

/// Names a missing attribute as the field at fault: the parser names it only in its reason.
fn lacking(text: &str, fault: Malformed) -> Malformed {
    let Ok(attributes) = Members::parse(text) else {
        return fault;
    };
    let required = ["specversion", "type", "source", "id"];
    let missing = required
        .into_iter()
        .find(|name| attributes.value(name).is_none());
    match missing {
        Some(name) if fault.is_about_all() => missing_attribute(name),
        _ => fault,
    }
}

pub fn missing_attribute(name: &str) -> Malformed {
    Malformed::field(name, "missing; a CloudEvent needs it")
}

fn decoded(encoded: &str) -> Result<String, Malformed> {
    let bytes = BASE64.decode(encoded.as_bytes());
    let bytes = bytes.map_err(|error| {
        Malformed::field(
            "",
            format!("not base64: {error}; expected RFC 4648, with padding"),
        )
    })?;
    String::from_utf8(bytes)
        .map_err(|_| Malformed::field("", "the decoded bytes are not UTF-8; expected JSON"))
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, TaskEvent};
    use super::*;

    #[test]
    fn a_subject_names_the_task() {
        let text = r#"{"specversion":"1.0","type":"com.acme.task_progress","source":"/w","id":"9","subject":"t","data":{"progress":4}}"#;
        let report = CloudEvent::parse(text).unwrap().report().unwrap();
        assert_eq!(report.id.as_deref(), Some("/w 9"));
        let Event::Task { kind, .. } = report.event else {
            panic!("no task event")
        };
        assert_eq!((&*report.subject, kind), ("t", TaskEvent::Progress));
    }

    #[test]
    fn a_wrong_version_is_named() {
        let text = r#"{"specversion":"0.3","type":"task_progress","source":"/w","id":"9","data":{"taskId":"t"}}"#;
        assert!(
            CloudEvent::parse(text)
                .unwrap()
                .report()
                .unwrap_err()
                .to_string()
                .starts_with("specversion")
        );
    }
}
