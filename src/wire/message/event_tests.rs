//! Events in all their forms: nested, flat, and named by a path.

use super::event::{Event, Report, TaskEvent};
use std::borrow::Cow;

fn fault(text: &str) -> String {
    Report::parse(text).unwrap_err().to_string()
}

#[test]
fn a_task_event_may_be_nested_or_flat() {
    for text in [
        r#"{"type":"task_progress","payload":{"taskId":"t","progress":5},"id":"e1"}"#,
        r#"{"type":"task_progress","taskId":"t","progress":5,"id":"e1"}"#,
    ] {
        let report = Report::parse(text).unwrap();
        assert_eq!(report.id.as_deref(), Some("e1"));
        let Event::Task { kind, patch } = report.event else {
            panic!("no task event")
        };
        assert_eq!((&*report.subject, kind), ("t", TaskEvent::Progress));
        assert_eq!(patch.progress.value(), Some(&5.0));
        assert!(patch.extra.is_empty(), "{:?}", patch.extra);
    }
}

#[test]
fn ids_are_borrowed_from_the_text_unless_they_hold_escapes() {
    let body = r#"{"eventId":"e1"}"#;
    let read = [
        Report::for_task("t", TaskEvent::Progress, body),
        Report::parse(r#"{"type":"task_progress","payload":{"taskId":"t"},"eventId":"e1"}"#),
        Report::parse(r#"{"type":"document_failed","taskId":"t","id":"e1"}"#),
        Report::parse(r#"{"type":"task_progress","taskId":"\u0074","id":"\u0065"}"#),
    ];
    let borrowed = read.map(|report| {
        let report = report.unwrap();
        assert_eq!(report.subject, "t");
        let id = report.id.unwrap();
        matches!((report.subject, id), (Cow::Borrowed(_), Cow::Borrowed(_)))
    });
    assert_eq!(borrowed, [true, true, true, false]);
}

#[test]
fn an_items_own_id_is_not_the_events() {
    let report =
        Report::parse(r#"{"type":"document_generated","payload":{"taskId":"t","id":"doc-1"}}"#)
            .unwrap();
    assert_eq!(report.id, None);
    let Event::Item { payload, .. } = report.event else {
        panic!("no item")
    };
    assert_eq!(payload, r#"{"taskId":"t","id":"doc-1"}"#);
}

#[test]
fn the_path_names_the_task() {
    let report = Report::for_task("t", TaskEvent::Completed, "").unwrap();
    assert!(matches!(
        report.event,
        Event::Task {
            kind: TaskEvent::Completed,
            ..
        }
    ));
    let report = Report::for_task("t", TaskEvent::Progress, r#"{"id":7,"eventId":8}"#).unwrap();
    assert_eq!(report.id.as_deref(), Some("8"));
    assert!(Report::for_task("t", TaskEvent::Progress, r#"{"taskId":"u"}"#).is_err());
    assert!(Report::for_task("", TaskEvent::Progress, "").is_err());
}

#[test]
fn refusals_say_what_would_be_right() {
    assert!(
        fault(r#"{"type":"task_progress","payload":{}}"#).starts_with("payload.taskId: missing")
    );
    assert!(fault(r#"{"type":"connected","room":"a","payload":{}}"#).contains("reserved"));
    assert!(fault(r#"{"type":"video.done"}"#).contains("without a room"));
    assert!(fault(r#"{"type":"room_broadcast","payload":{}}"#).starts_with("room: missing"));
    assert!(Report::parse(r#"{"type":"video.done","room":"all","payload":{"a":1}}"#).is_ok());
}
