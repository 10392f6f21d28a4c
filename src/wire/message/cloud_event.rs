//! CloudEvents 1.0 as a way to report (contract section 7): structured, batched and binary HTTP modes.
//!
//! `type` ends in one of joblight's types (`com.example.task_progress`), `data` is the payload, `subject` names the task
//! when the payload does not, and `source` with `id` tells repeats apart (CloudEvents 1.0 section "id").

use super::event::Report;
use super::incoming::{Incoming, Malformed, parse, parse_object};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The attributes of a CloudEvent that mean something here.
#[derive(Debug, Deserialize)]
pub struct CloudEvent<'a> {
    /// `specversion`: must be `1.0`.
    pub specversion: String,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `source`.
    pub source: String,
    /// `id`.
    pub id: String,
    /// `subject`: the task, when `data` does not name it.
    #[serde(default)]
    pub subject: Option<String>,
    /// `room`, an extension attribute: the room of an application's own type.
    #[serde(default)]
    pub room: Option<String>,
    /// `data`: the payload.
    #[serde(borrow, default)]
    pub data: Option<&'a RawValue>,
}

impl<'a> CloudEvent<'a> {
    /// Reads a structured-mode event.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        parse_object(text)
    }

    /// What the event reports.
    pub fn report(&self) -> Result<Report, Malformed> {
        if self.specversion != "1.0" {
            return Err(Malformed::field(
                "specversion",
                format!("`{}` is not supported; expected `1.0`", self.specversion),
            ));
        }
        let kind = self.kind.rsplit('.').next().unwrap_or(&self.kind);
        let body = self.body()?;
        let message = Incoming {
            kind: Cow::Borrowed(if self.room.is_some() {
                &self.kind
            } else {
                kind
            }),
            id: None,
            seq: None,
            room: self.room.as_deref().map(Cow::Borrowed),
            body: &body,
            nested: true,
        };
        let mut report = Report::from_message(&message)?;
        report.id = Some(format!("{} {}", self.source, self.id).into());
        Ok(report)
    }

    /// The payload, with the subject as its `taskId` when it has none.
    fn body(&self) -> Result<Cow<'a, str>, Malformed> {
        let data = self.data.map_or("{}", RawValue::get);
        let Some(subject) = &self.subject else {
            return Ok(Cow::Borrowed(data));
        };
        let mut fields: serde_json::Map<String, serde_json::Value> =
            parse(data).map_err(|fault| fault.under("data"))?;
        if fields.contains_key("taskId") {
            return Ok(Cow::Borrowed(data));
        }
        fields.insert("taskId".to_owned(), subject.clone().into());
        serde_json::to_string(&fields)
            .map(Cow::Owned)
            .map_err(|error| Malformed::Json(error.to_string()))
    }
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
        let Event::Task { task_id, kind, .. } = report.event else {
            panic!("no task event")
        };
        assert_eq!((&*task_id, kind), ("t", TaskEvent::Progress));
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
