//! Workspaces over real sockets: what clients of the data dialect see of each other's changes, and every refusal.

use crate::handshake::with_subprotocol;
use crate::support::{Running, Viewer};
use joblight::config::Locale;
use serde_json::{Value, json};
use std::thread;
use tungstenite::Message;

fn connect(server: &Running) -> Viewer {
    Viewer::connect(server.websocket, "/")
}

/// Asks for the list; what it shows.
fn list(viewer: &mut Viewer) -> Vec<Value> {
    viewer.send(&json!({"type": "workspace.list"}));
    let list = viewer.expect("workspace.list");
    list["data"]["workspaces"].as_array().unwrap().clone()
}

fn create(viewer: &mut Viewer, id: &str) -> Value {
    viewer.send(&json!({"type": "workspace.create", "data": {"id": id, "name": id}}));
    viewer.expect("workspace.created")["data"].clone()
}

/// Sends a message that must be refused with that code and a message that has that part.
fn refused(viewer: &mut Viewer, message: &str, code: &str, part: &str) -> Value {
    viewer.socket.send(Message::text(message)).unwrap();
    let error = viewer.expect("error");
    let shown: String = message.chars().take(200).collect();
    assert_eq!(error["code"], code, "{shown}: {error}");
    let text = error["message"].as_str().unwrap();
    assert!(text.contains(part), "{shown}: {text}");
    error
}

#[test]
fn every_client_of_the_dialect_sees_a_change_and_no_other_does() {
    let server = Running::start(|_| {});
    let (mut author, mut reader, mut stranger) =
        (connect(&server), connect(&server), server.viewer());
    stranger.send(&json!({"type": "join_room", "room": "all"}));
    stranger.expect("subscription_ack");
    author.send(
        &json!({"type": "workspace.create", "data": {"name": "Films", "colour": "red", "view": {"zoom": 2}}}),
    );
    let created = author.expect("workspace.created");
    assert_eq!(reader.next(), created);
    let workspace = &created["data"];
    let id = workspace["id"].as_str().unwrap();
    assert_eq!(workspace["name"], "Films");
    assert_eq!(workspace["order"], 0);
    assert_eq!(workspace["colour"], "red");
    assert!(workspace["createdAt"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(workspace["createdAt"], workspace["updatedAt"]);
    reader.send(
        &json!({"type": "workspace.update", "data": {"id": id, "colour": null, "view": {"page": 1}, "order": 5}}),
    );
    let updated = reader.expect("workspace.updated");
    assert_eq!(author.next(), updated);
    assert_eq!(updated["data"]["view"], json!({"zoom": 2, "page": 1}));
    assert_eq!(updated["data"].get("colour"), None);
    assert_eq!(updated["data"]["order"], 0);
    create(&mut author, "second");
    reader.expect("workspace.created");
    author.send(&json!({"type": "workspace.reorder", "data": {"ids": ["second", id]}}));
    let reordered = json!({"type": "workspace.reordered", "data": {"ids": ["second", id]}});
    assert_eq!(author.next(), reordered);
    assert_eq!(reader.next(), reordered);
    author.send(&json!({"type": "workspace.delete", "data": {"id": "second"}}));
    let deleted = json!({"type": "workspace.deleted", "data": {"id": "second"}});
    assert_eq!(author.next(), deleted);
    assert_eq!(reader.next(), deleted);
    assert_eq!(list(&mut author), [updated["data"].clone()]);
    assert_eq!(
        list(&mut connect(&server)),
        [updated["data"].clone()],
        "whoever comes late asks"
    );
    stranger.send(&json!({"type": "ping"}));
    stranger.expect("pong");
}

#[test]
fn flat_fields_do_and_messages_may_have_names() {
    let server = Running::start(|_| {});
    let mut viewer = connect(&server);
    viewer.send(&json!({"type": "workspace.create", "id": "w", "name": "W", "colour": 1}));
    let created = viewer.expect("workspace.created")["data"].clone();
    let mut fields: Vec<&String> = created.as_object().unwrap().keys().collect();
    fields.sort();
    let expected = ["colour", "createdAt", "id", "name", "order", "updatedAt"];
    assert_eq!(fields, expected);
    viewer.send(&json!({"type": "workspace.update", "id": "w", "colour": 2}));
    assert_eq!(viewer.expect("workspace.updated")["data"]["colour"], 2);
    viewer.send(&json!({"type": "workspace.reorder", "ids": ["w"]}));
    viewer.expect("workspace.reordered");
    let error = refused(
        &mut viewer,
        r#"{"type":"workspace.delete","id":"x"}"#,
        "not_found",
        "`x`",
    );
    assert_eq!(
        error.get("replyTo"),
        None,
        "this id names a workspace: {error}"
    );
    let error = refused(
        &mut viewer,
        r#"{"type":"workspace.delete","id":7,"data":{"id":"x"}}"#,
        "not_found",
        "`x`",
    );
    assert_eq!(error["replyTo"], 7);
    viewer.send(&json!({"type": "workspace.delete", "payload": {"id": "w"}}));
    viewer.expect("workspace.deleted");
    assert!(list(&mut viewer).is_empty());
}

/// What is asked for with which fields, and how it is refused, where there are workspaces `a` and `b`.
const BAD_INPUT: &[(&str, &str, &str, &str)] = &[
    ("create", "{}", "invalid_message", "name: missing"),
    ("create", r#"{"name":""}"#, "invalid_message", "not blank"),
    ("create", r#"{"name":[]}"#, "invalid_message", "name: []"),
    (
        "create",
        r#"{"name":"a","id":"a"}"#,
        "invalid_message",
        "`a` exists already",
    ),
    (
        "create",
        r#"{"name":"a","id":{}}"#,
        "invalid_message",
        "id: {}",
    ),
    ("create", "[]", "invalid_message", "data: expected"),
    ("create", "5", "invalid_message", "data: expected"),
    (
        "update",
        r#"{"name":"x"}"#,
        "invalid_message",
        "id: missing",
    ),
    (
        "update",
        r#"{"id":"a","name":null}"#,
        "invalid_message",
        "name: null",
    ),
    ("update", r#"{"id":"c"}"#, "not_found", "`c`"),
    ("delete", "{}", "invalid_message", "id: missing"),
    ("delete", r#"{"id":"c"}"#, "not_found", "`c`"),
    ("reorder", "{}", "invalid_message", "ids: missing"),
    (
        "reorder",
        r#"{"ids":{"a":0}}"#,
        "invalid_message",
        "ids: {\"a\":0}",
    ),
    (
        "reorder",
        r#"{"ids":["a",1]}"#,
        "invalid_message",
        "ids: [\"a\",1]",
    ),
    (
        "reorder",
        r#"{"ids":["a"]}"#,
        "invalid_message",
        "`b` is left out",
    ),
    (
        "reorder",
        r#"{"ids":["a","a"]}"#,
        "invalid_message",
        "`a` stands there twice",
    ),
    (
        "reorder",
        r#"{"ids":["a","b","c"]}"#,
        "invalid_message",
        "no workspace `c`",
    ),
];

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let server = Running::start(|_| {});
    let mut viewer = connect(&server);
    create(&mut viewer, "a");
    create(&mut viewer, "b");
    let before = list(&mut viewer);
    for (kind, fields, code, part) in BAD_INPUT {
        let message = format!(r#"{{"type":"workspace.{kind}","data":{fields}}}"#);
        refused(&mut viewer, &message, code, part);
    }
    let deep = format!(
        r#"{{"type":"workspace.update","data":{{"id":"a","x":{}{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    refused(&mut viewer, &deep, "limit_exceeded", "64 levels");
    assert_eq!(list(&mut viewer), before);
}

#[test]
fn limits_are_named() {
    let server = Running::start(|config| {
        config.workspaces.max_workspaces = 2;
        config.workspaces.max_size = 1000;
        config.workspaces.max_total_size = 1500;
    });
    let mut viewer = connect(&server);
    let message = |kind: &str, id: &str, bytes: usize| {
        let text = "x".repeat(bytes);
        json!({"type": kind, "data": {"id": id, "name": "n", "text": text}}).to_string()
    };
    let large = message("workspace.create", "a", 1000);
    refused(&mut viewer, &large, "limit_exceeded", "workspaces.max_size");
    create(&mut viewer, "a");
    create(&mut viewer, "b");
    let third = message("workspace.create", "c", 1);
    refused(
        &mut viewer,
        &third,
        "limit_exceeded",
        "workspaces.max_workspaces",
    );
    viewer
        .socket
        .send(Message::text(message("workspace.update", "a", 800)))
        .unwrap();
    viewer.expect("workspace.updated");
    let growing = message("workspace.update", "a", 990);
    refused(
        &mut viewer,
        &growing,
        "limit_exceeded",
        "workspaces.max_size",
    );
    let second = message("workspace.update", "b", 800);
    refused(
        &mut viewer,
        &second,
        "limit_exceeded",
        "workspaces.max_total_size",
    );
    assert_eq!(list(&mut viewer).len(), 2);
}

#[test]
fn errors_are_said_in_chinese_and_unknown_types_as_in_the_seed() {
    let server = Running::start(|config| config.locale = Locale::SimplifiedChinese);
    let mut viewer = connect(&server);
    for (message, expected) in [
        (
            r#"{"type":"ping"}"#,
            r#"{"type":"error","message":"未知消息类型: ping"}"#,
        ),
        (
            r#"{"type":"workspace.rename","data":{}}"#,
            r#"{"type":"error","message":"未知消息类型: workspace.rename"}"#,
        ),
        (
            r#"{"type":"workspace.create","data":{}}"#,
            r#"{"type":"error","message":"无效的消息: name: 缺失; 应为工作区名称, 即非空白的字符串","code":"invalid_message"}"#,
        ),
        (
            r#"{"type":"workspace.delete","data":{"id":"w"}}"#,
            r#"{"type":"error","message":"未找到: 工作区 `w`; 应为 workspace.list 列出的 id","code":"not_found"}"#,
        ),
    ] {
        viewer.socket.send(Message::text(message)).unwrap();
        let answer = viewer.socket.read().unwrap();
        assert_eq!(answer.to_text().unwrap(), expected);
    }
}

#[test]
fn the_payload_dialect_knows_no_workspaces() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    for verb in ["create", "update", "delete", "reorder", "list"] {
        let kind = format!("workspace.{verb}");
        viewer.send(&json!({"type": kind, "payload": {"name": "n"}}));
        let error = viewer.expect("error");
        assert_eq!(error["payload"]["code"], "unknown_type");
    }
    assert!(list(&mut connect(&server)).is_empty());
}

#[test]
fn whoever_was_taken_out_of_all_still_sees_changes() {
    let server = Running::start(|_| {});
    let (mut outsider, mut author) = (connect(&server), connect(&server));
    for client in server.document("/api/rooms/all/clients")["clients"]
        .as_array()
        .unwrap()
    {
        let path = format!("/api/clients/{}/rooms/all", client.as_str().unwrap());
        assert_eq!(server.call("DELETE", &path, &Value::Null).0 / 100, 2);
    }
    let created = create(&mut author, "w");
    assert_eq!(outsider.expect("workspace.created")["data"], created);
}

/// A client's own share of concurrent work. It makes workspaces, changes what it hopes to be there, and when all have
/// done so turns the order around; what it saw of all `clients`, and the list at the end.
fn work(mut viewer: Viewer, name: &str, clients: usize) -> (Vec<Value>, Vec<Value>) {
    let mut seen = Vec::new();
    for round in 0..30 {
        let (own, others) = (format!("{name}{round}"), format!("a{round}"));
        viewer.send(&json!({"type": "workspace.create", "data": {"id": own, "name": own}}));
        viewer.send(&json!({"type": "workspace.update", "data": {"id": others, name: round}}));
        if round % 3 == 0 {
            let gone = format!("b{}", round / 2);
            viewer.send(&json!({"type": "workspace.delete", "data": {"id": gone}}));
        }
    }
    let end = format!("end-{name}");
    viewer.send(&json!({"type": "workspace.create", "data": {"id": end, "name": "created"}}));
    read_to_the_ends(&mut viewer, &mut seen, "created", clients);
    let mut ids: Vec<Value> = replay(&seen)
        .iter()
        .map(|known| known["id"].clone())
        .collect();
    for _ in 0..20 {
        ids.rotate_left(name.len() + usize::from(name.as_bytes()[0] % 7));
        viewer.send(&json!({"type": "workspace.reorder", "data": {"ids": ids}}));
    }
    viewer.send(&json!({"type": "workspace.update", "data": {"id": end, "name": "ordered"}}));
    read_to_the_ends(&mut viewer, &mut seen, "ordered", clients);
    let list = list(&mut viewer);
    (seen, list)
}

/// Takes down effects until every client's mark has that name. That something is not there, because somebody was slower
/// or faster, is no effect.
fn read_to_the_ends(viewer: &mut Viewer, seen: &mut Vec<Value>, mark: &str, clients: usize) {
    let mut ends = 0;
    while ends < clients {
        let message = viewer.next();
        if message["type"] == "error" {
            assert_eq!(message["code"], "not_found", "{message}");
            continue;
        }
        ends += usize::from(message["data"]["name"] == mark);
        seen.push(message);
    }
}

/// What a list becomes by the effects that a client saw.
fn replay(effects: &[Value]) -> Vec<Value> {
    let mut workspaces: Vec<Value> = Vec::new();
    for effect in effects {
        let found = &effect["data"];
        let place_of = |id: &Value| workspaces.iter().position(|known| known["id"] == *id);
        match (effect["type"].as_str().unwrap(), place_of(&found["id"])) {
            ("workspace.created", None) => workspaces.push(found.clone()),
            ("workspace.updated", Some(place)) => workspaces[place] = found.clone(),
            ("workspace.deleted", Some(place)) => drop(workspaces.remove(place)),
            ("workspace.reordered", None) => {
                let ids = found["ids"].as_array().unwrap().iter();
                let places: Vec<usize> = ids.map(|id| place_of(id).unwrap()).collect();
                let ordered = places.iter().map(|place| workspaces[*place].clone());
                workspaces = ordered.collect();
            }
            other => panic!("{other:?}: {effect}"),
        }
    }
    for (place, workspace) in workspaces.iter_mut().enumerate() {
        workspace["order"] = place.into();
    }
    workspaces
}

#[test]
fn concurrent_clients_see_one_sequence_and_end_with_one_list() {
    let server = Running::start(|_| {});
    let names = ["a", "b", "c"];
    let workers: Vec<_> = names
        .map(|name| {
            // A client that got an answer is here, and misses nothing that any of them does.
            let mut viewer = connect(&server);
            assert!(list(&mut viewer).is_empty());
            (viewer, name)
        })
        .into_iter()
        .map(|(viewer, name)| thread::spawn(move || work(viewer, name, names.len())))
        .collect();
    let results: Vec<_> = workers
        .into_iter()
        .map(|worker| worker.join().expect("a worker ends"))
        .collect();
    let (seen, list) = &results[0];
    assert!(seen.len() > 153, "{} effects", seen.len());
    assert_eq!(&replay(seen), list);
    assert!(results.iter().all(|result| result == &results[0]));
}

#[test]
fn message_pack_clients_share_the_workspaces() {
    let server = Running::start(|_| {});
    let mut plain = connect(&server);
    let socket = with_subprotocol(server.websocket, "/", "joblight.msgpack");
    let mut packed = Viewer {
        socket,
        greeting: Value::Null,
    };
    let message = json!({"type": "workspace.create", "data": {"name": "n", "id": "w"}});
    let bytes = rmp_serde::to_vec_named(&message).unwrap();
    packed.socket.send(Message::binary(bytes)).unwrap();
    assert_eq!(packed.next(), plain.expect("workspace.created"));
}
