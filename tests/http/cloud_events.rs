//! CloudEvents 1.0 as the specification has them and as the real SDKs send them: nothing is lost, nothing is guessed.

use crate::support::{Http, Running};
use serde_json::{Value, json};

const STRUCTURED: &str = "application/cloudevents+json";

fn post(server: &Running, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
    let answer = Http::connect(server.http).request("POST", "/api/events", headers, body);
    (answer.status, answer.json())
}

fn event(fields: Value) -> Value {
    let mut event = json!({"specversion": "1.0", "type": "com.example.task_progress", "source": "/w", "id": "1", "subject": "t"});
    for (name, value) in fields.as_object().expect("an object") {
        event[name] = value.clone();
    }
    event
}

fn structured(server: &Running, event: &Value) -> (u16, Value) {
    post(
        server,
        &[(
            "Content-Type",
            "application/cloudevents+json; charset=UTF-8",
        )],
        event.to_string().as_bytes(),
    )
}

#[track_caller]
fn assert_refused(answer: (u16, Value), field: &str) -> String {
    let (status, problem) = answer;
    assert_eq!(
        (status, &problem["field"]),
        (400, &json!(field)),
        "{problem}"
    );
    problem["detail"].as_str().expect("a reason").to_owned()
}

#[test]
fn base64_data_is_decoded() {
    let server = Running::start(|_| {});
    // {"progress":40,"message":"é"} and the same after a byte order mark.
    for (number, data) in [
        "eyJwcm9ncmVzcyI6NDAsIm1lc3NhZ2UiOiLDqSJ9",
        "77u/eyJwcm9ncmVzcyI6NDAsIm1lc3NhZ2UiOiLDqSJ9",
    ]
    .iter()
    .enumerate()
    {
        let subject = format!("t{number}");
        let (status, answer) = structured(
            &server,
            &event(json!({"data_base64": data, "subject": subject})),
        );
        assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
        let shown = server.document(&format!("/api/tasks/{subject}"));
        assert_eq!(
            (&shown["progress"], &shown["message"]),
            (&json!(40), &json!("é"))
        );
    }
    for (fields, expected) in [
        (json!({"data_base64": "%%%"}), "base64"),
        (json!({"data_base64": "eyJ"}), "base64"),
        (json!({"data_base64": "/////w=="}), "UTF-8"),
        (json!({"data_base64": "bm8ganNvbg=="}), "data_base64"),
        (json!({"data_base64": 5}), "string"),
        (json!({"data_base64": "e30=", "data": {}}), "data"),
    ] {
        let detail = assert_refused(structured(&server, &event(fields)), "data_base64");
        assert!(detail.contains(expected), "{detail}");
    }
    let batch = json!([
        event(json!({"id": "b1", "data_base64": "e30="})),
        event(json!({"id": "b2", "data_base64": "!"}))
    ]);
    let answer = post(
        &server,
        &[(
            "Content-Type",
            "application/cloudevents-batch+json; charset=utf-8",
        )],
        batch.to_string().as_bytes(),
    );
    assert_refused(answer, "[1].data_base64");
}

#[test]
fn data_that_is_no_json_is_refused_by_its_type() {
    let server = Running::start(|_| {});
    for kind in [
        "text/plain",
        "application/xml",
        "application/octet-stream",
        "application/json; charset=utf-16",
    ] {
        let detail = assert_refused(
            structured(
                &server,
                &event(json!({"datacontenttype": kind, "data": "x"})),
            ),
            "datacontenttype",
        );
        assert!(detail.contains("application/json"), "{detail}");
    }
    for (number, kind) in [
        "application/json",
        "application/json; charset=utf-8",
        "text/json",
        "application/vnd.acme+json",
        "APPLICATION/JSON;Charset=\"UTF-8\"",
    ]
    .iter()
    .enumerate()
    {
        let (status, answer) = structured(
            &server,
            &event(
                json!({"id": number.to_string(), "datacontenttype": kind, "data": {"progress": number}}),
            ),
        );
        assert_eq!(
            (status, &answer["accepted"]),
            (200, &json!(1)),
            "{kind}: {answer}"
        );
    }
    for kind in [
        "text/plain",
        "application/xml",
        "application/json; charset=iso-8859-1",
    ] {
        let headers = [
            ("Content-Type", kind),
            ("ce-specversion", "1.0"),
            ("ce-type", "task_progress"),
            ("ce-source", "/w"),
            ("ce-id", "x"),
            ("ce-subject", "t"),
        ];
        let (status, problem) = post(&server, &headers, b"{}");
        assert_eq!(
            (status, &problem["field"]),
            (415, &json!("content-type")),
            "{kind}: {problem}"
        );
    }
    let answer = post(
        &server,
        &[(
            "Content-Type",
            "application/cloudevents+json; charset=utf-16",
        )],
        b"{}",
    );
    assert_eq!(answer.0, 415, "{answer:?}");
}

#[test]
fn attributes_are_checked() {
    let server = Running::start(|_| {});
    for (field, value) in [
        ("specversion", json!("0.3")),
        ("specversion", json!(1.0)),
        ("source", json!("")),
        ("source", json!(5)),
        ("id", json!("")),
        ("id", json!(7)),
        ("type", json!("")),
        ("type", json!(["task_progress"])),
        ("subject", json!("")),
        ("subject", json!({})),
        ("datacontenttype", json!(5)),
        ("room", json!("")),
    ] {
        assert_refused(structured(&server, &event(json!({field: value}))), field);
    }
    for field in ["specversion", "source", "id", "type"] {
        let mut lacking = event(json!({}));
        lacking.as_object_mut().expect("an object").remove(field);
        let detail = assert_refused(structured(&server, &lacking), field);
        assert!(detail.contains("missing"), "{detail}");
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
    let extended = event(
        json!({"time": "2024-01-01T00:00:00Z", "dataschema": null, "traceparent": "00-x", "data": null}),
    );
    assert_eq!(structured(&server, &extended).1["accepted"], 1);
}

#[test]
fn subject_joins_the_data_to_the_letter() {
    let server = Running::start(|_| {});
    let data = r#"{"z":1.50,"a":[ 12345678901234567890123 ]}"#;
    let body = format!(
        r#"{{"specversion":"1.0","type":"task_progress","source":"/w","id":"1","subject":"t","data":{data}}}"#
    );
    assert_eq!(
        post(&server, &[("Content-Type", STRUCTURED)], body.as_bytes()).0,
        200
    );
    let answer = Http::connect(server.http).request("GET", "/api/tasks/t", &[], b"");
    let text = String::from_utf8(answer.body).expect("text");
    assert!(
        text.contains(r#""z":1.50"#) && text.contains("[12345678901234567890123]"),
        "{text}"
    );
    let mut viewer = server.viewer();
    viewer.send(&json!({"type": "join_room", "room": "r"}));
    viewer.expect("subscription_ack");
    let note = event(json!({"type": "com.acme.note", "room": "r", "data": "text", "subject": "s"}));
    assert_eq!(structured(&server, &note).1["accepted"], 1);
    assert_eq!(viewer.expect("com.acme.note")["payload"], "text");
}

#[test]
fn source_and_id_name_the_event_and_the_header_does_not() {
    let server = Running::start(|_| {});
    let headers = [("Content-Type", STRUCTURED), ("Idempotency-Key", "\"k\"")];
    for (source, id, accepted) in [
        ("a b", "c", 1),
        ("a", "b c", 1),
        ("a", "c", 1),
        ("a", "c", 0),
    ] {
        let event = event(json!({"source": source, "id": id, "data": {"eventId": "same"}}));
        let (_, answer) = post(&server, &headers, event.to_string().as_bytes());
        assert_eq!(answer["accepted"], accepted, "{source} {id}: {answer}");
    }
}

/// Sends a binary-mode event whose `ce-subject` holds these bytes.
fn with_subject(server: &Running, subject: &[u8]) -> (u16, Value) {
    let mut http = Http::connect(server.http);
    let head = b"POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json; charset=utf-8\r\nce-specversion: 1.0\r\n\
                 ce-type: task_completed\r\nce-source: /w\r\nce-id: 1\r\nce-subject: ";
    http.send(&[head, subject, b"\r\nContent-Length: 2\r\n\r\n{}"].concat());
    let answer = http.answer(false);
    (answer.status, answer.json())
}

#[test]
fn binary_headers_are_unquoted_and_decoded_without_loss() {
    let server = Running::start(|_| {});
    for (subject, task) in [
        (&b"plain"[..], "plain"),
        (b"caf%C3%A9", "caf\u{e9}"),
        (b"\"quoted name\"", "quoted name"),
        (br#""q\"b\\ \%41""#, "q\"b\\ A"),
        ("caf\u{e9}2".as_bytes(), "caf\u{e9}2"),
        (b"%F0%9F%98%80", "\u{1f600}"),
        (b"100%25", "100%"),
    ] {
        let (status, answer) = with_subject(&server, subject);
        assert_eq!(
            (status, &answer["accepted"]),
            (200, &json!(1)),
            "{task}: {answer}"
        );
        let tasks = server.document("/api/tasks");
        assert_eq!(tasks["tasks"][0]["taskId"], task);
        let path = format!(
            "/api/tasks/{}",
            percent_encoding::utf8_percent_encode(task, percent_encoding::NON_ALPHANUMERIC)
        );
        assert_eq!(server.call("DELETE", &path, &Value::Null).0, 204);
    }
    for subject in [
        &b"caf%E9"[..],
        b"caf\xe9",
        b"\"caf\xe9\"",
        b"a%ff",
        b"\"open",
        b"\"a\"b",
        b"\"a\\\"",
        b"\"\"",
        b"",
    ] {
        let detail = assert_refused(with_subject(&server, subject), "ce-subject");
        assert!(detail.starts_with("ce-subject: "), "{detail}");
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
}

#[test]
fn binary_event_without_an_attribute_names_it() {
    let server = Running::start(|_| {});
    let all = [
        ("ce-specversion", "1.0"),
        ("ce-type", "task_started"),
        ("ce-source", "/w"),
        ("ce-id", "1"),
    ];
    for (missing, (name, _)) in all.iter().enumerate() {
        let headers: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != missing)
            .map(|(_, header)| *header)
            .collect();
        assert_refused(post(&server, &headers, b"{\"taskId\":\"t\"}"), name);
        let mut headers = all.to_vec();
        headers[missing].1 = "";
        assert_refused(post(&server, &headers, b"{\"taskId\":\"t\"}"), name);
        let mut headers = all.to_vec();
        headers.push((name, "other"));
        assert_refused(post(&server, &headers, b"{\"taskId\":\"t\"}"), name);
    }
    assert_eq!(post(&server, &all, b"{\"taskId\":\"t\"}").0, 200);
}

#[test]
fn a_percent_sign_that_begins_no_octet_is_refused_in_every_attribute() {
    let server = Running::start(|_| {});
    let all = [
        ("ce-specversion", "1.0"),
        ("ce-type", "task_started"),
        ("ce-source", "/w"),
        ("ce-id", "1"),
        ("ce-subject", "t"),
        ("ce-room", "r"),
    ];
    let malformed = [
        "%", "%4", "%zz", "a%", "%%25", "%25%", "%4g", "%g4", "% 41", "%+1", "100%é", "%é1",
        "\"%\"", "\"%4\"", "a%2", "%C3%A",
    ];
    for (place, (name, value)) in all.into_iter().enumerate() {
        for wrong in malformed {
            let wrong = match wrong.strip_prefix('"') {
                Some(rest) => format!("\"{value}{rest}"),
                None => format!("{value}{wrong}"),
            };
            let mut headers = all.to_vec();
            headers[place].1 = &wrong;
            let detail = assert_refused(post(&server, &headers, b"{}"), name);
            let is_told = detail.starts_with(&format!("{name}: ")) && detail.contains("%25");
            assert!(is_told, "{wrong}: {detail}");
        }
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
    for (place, (subject, task)) in [
        ("%25", "%"),
        ("a%25", "a%"),
        ("%2525", "%25"),
        ("%25zz", "%zz"),
        ("\"%25 4\"", "% 4"),
        ("%c3%A9", "é"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("%25{place}");
        let mut headers = all[..5].to_vec();
        (headers[3].1, headers[4].1) = (&id, subject);
        let (status, answer) = post(&server, &headers, b"{}");
        assert_eq!(
            (status, &answer["accepted"]),
            (200, &json!(1)),
            "{subject}: {answer}"
        );
        let path = percent_encoding::utf8_percent_encode(task, percent_encoding::NON_ALPHANUMERIC);
        let shown = server.document(&format!("/api/tasks/{path}"));
        assert_eq!(shown["taskId"], task);
    }
}

#[test]
fn calls_of_one_task_point_to_where_cloud_events_are_read() {
    let server = Running::start(|config| {
        config.websocket.control = joblight::config::Control::Anybody;
    });
    let body = event(json!({"data": {"progress": 5}})).to_string();
    for path in [
        "/api/tasks/t/progress",
        "/api/tasks/t/completed",
        "/api/tasks/t/control",
    ] {
        for (name, value, field) in [
            ("Content-Type", STRUCTURED, "content-type"),
            (
                "Content-Type",
                "Application/CloudEvents-batch+JSON; charset=utf-8",
                "content-type",
            ),
            ("ce-specversion", "1.0", "ce-specversion"),
            ("CE-Type", "task_progress", "ce-type"),
        ] {
            for body in [&body, ""] {
                let answer = Http::connect(server.http).request(
                    "POST",
                    path,
                    &[(name, value)],
                    body.as_bytes(),
                );
                let problem = answer.json();
                assert_eq!(
                    (answer.status, &problem["field"]),
                    (415, &json!(field)),
                    "{problem}"
                );
                let detail = problem["detail"].as_str().expect("a reason");
                assert!(detail.contains("/api/events"), "{detail}");
            }
        }
    }
    assert_eq!(server.document("/api/tasks")["tasks"], json!([]));
}

#[test]
fn text_json_is_json() {
    let server = Running::start(|_| {});
    let headers = [
        ("Content-Type", "text/json"),
        ("ce-specversion", "1.0"),
        ("ce-type", "task_progress"),
        ("ce-source", "/w"),
        ("ce-id", "1"),
        ("ce-subject", "t"),
    ];
    let (status, answer) = post(&server, &headers, br#"{"progress":5}"#);
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
    let event = br#"[{"type":"task_started","taskId":"u"}]"#;
    let (status, answer) = post(&server, &headers[..1], event);
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
}
