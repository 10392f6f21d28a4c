//! The documents of seed 000, every field, in agreement with what was sent.

use crate::support::Running;
use serde_json::{Value, json};

/// The names of an object's members, nested ones with a dot.
fn names(document: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in document.as_object().expect("an object") {
        match value {
            Value::Object(_) => {
                let inner = self::names(value);
                names.extend(inner.iter().map(|inner| format!("{name}.{inner}")));
            }
            Value::Number(_) | Value::String(_) => names.push(name.clone()),
            other => panic!("{name} is {other}"),
        }
    }
    names.sort();
    names
}

fn expect_all(document: &Value, expected: &[&str]) {
    let names = names(document);
    for name in expected {
        assert!(
            names.iter().any(|found| found == name),
            "{name} is not in {names:?}"
        );
    }
}

#[test]
fn health() {
    let server = Running::start(|_| {});
    let mut viewer = server.viewer();
    viewer.subscribe(&["t"]);
    server.post("/api/tasks/t/started", json!({}));
    viewer.expect("task_started");
    let health = server.document("/health");
    let expected = [
        "status",
        "timestamp",
        "uptime",
        "websocket.connections",
        "websocket.messages",
        "broadcaster.queueSize",
        "broadcaster.totalBroadcasts",
    ];
    expect_all(&health, &expected);
    assert_eq!(health["status"], "healthy");
    assert!(health["timestamp"].as_u64().unwrap() > 1_600_000_000_000);
    assert!(health["uptime"].as_f64().unwrap() >= 0.0);
    assert_eq!(health["websocket"]["connections"], 1);
    // Received: subscribe. Sent: the greeting, the acknowledgement, the start.
    assert_eq!(health["websocket"]["messages"], 4);
    assert_eq!(
        health["broadcaster"],
        json!({"queueSize": 0, "totalBroadcasts": 1})
    );
}

#[test]
fn websocket_statistics() {
    let server = Running::start(|_| {});
    let gone = server.viewer();
    let path = format!("/api/clients/{}", gone.id());
    assert_eq!(server.call("DELETE", &path, &Value::Null).0, 204);
    let (mut one, mut other) = (server.viewer(), server.viewer());
    one.subscribe(&["a", "b"]);
    other.subscribe(&["b"]);
    one.send(&json!({"type": "ping"}));
    one.expect("pong");
    let stats = server.document("/api/websocket/stats");
    let expected = [
        "server.uptime",
        "server.startTime",
        "server.version",
        "connections.total",
        "connections.active",
        "connections.authenticated",
        "messages.totalSent",
        "messages.totalReceived",
        "messages.sentPerMinute",
        "messages.receivedPerMinute",
        "rooms.total",
        "rooms.clients",
        "memory.used",
        "memory.total",
        "memory.percentage",
    ];
    expect_all(&stats, &expected);
    assert_eq!(stats["server"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(stats["server"]["startTime"].as_u64().unwrap() > 1_600_000_000_000);
    let connections = &stats["connections"];
    assert_eq!(
        (&connections["total"], &connections["active"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(connections["authenticated"], 0);
    // Three greetings, a goodbye, two acknowledgements, a pong.
    let messages = &stats["messages"];
    assert_eq!(
        (&messages["totalSent"], &messages["totalReceived"]),
        (&json!(7), &json!(3))
    );
    assert_eq!(
        (&messages["sentPerMinute"], &messages["receivedPerMinute"]),
        (&json!(7), &json!(3))
    );
    assert_eq!(
        (&stats["rooms"]["total"], &stats["rooms"]["clients"]),
        (&json!(2), &json!(3))
    );
    let memory = |name: &str| stats["memory"][name].as_f64().unwrap();
    assert!(memory("used") > 0.0 && memory("used") < memory("total"));
    assert!((memory("percentage") - memory("used") * 100.0 / memory("total")).abs() < 0.01);
}

#[test]
fn broadcaster_statistics() {
    let server = Running::start(|config| config.broadcaster.broadcast_interval = 0);
    let before = server.document("/api/broadcaster/stats");
    assert_eq!(
        (&before["totalBroadcasts"], &before["lastUpdate"]),
        (&json!(0), &json!(0))
    );
    let mut viewers = [server.viewer(), server.viewer()];
    viewers
        .iter_mut()
        .for_each(|viewer| drop(viewer.subscribe(&["a"])));
    server.post("/api/tasks/a/started", json!({}));
    server.post("/api/tasks/a/progress", json!({"progress": 50}));
    server.post("/api/tasks/unwatched/started", json!({}));
    server.post("/api/tasks/a/completed", json!({}));
    server.post("/api/tasks/a/completed", json!({}));
    for viewer in &mut viewers {
        viewer.until("task_completed");
    }
    let stats = server.document("/api/broadcaster/stats");
    let expected = [
        "totalBroadcasts",
        "totalMessages",
        "successfulSends",
        "failedSends",
        "averageLatency",
        "queueSize",
        "cacheSize",
        "lastUpdate",
    ];
    expect_all(&stats, &expected);
    assert_eq!(
        (&stats["totalBroadcasts"], &stats["totalMessages"]),
        (&json!(3), &json!(6))
    );
    assert_eq!(
        (&stats["successfulSends"], &stats["failedSends"]),
        (&json!(6), &json!(0))
    );
    assert_eq!(
        (&stats["queueSize"], &stats["cacheSize"]),
        (&json!(0), &json!(2))
    );
    assert!(stats["averageLatency"].as_f64().unwrap() >= 0.0);
    assert!(stats["lastUpdate"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(stats["droppedEvents"], 1);
}
