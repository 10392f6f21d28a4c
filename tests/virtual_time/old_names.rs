//! Names that are refused today and stand in the store of an older version: they stay readable, and can be deleted.

use super::kept::{Store, durable, restarted, say};
use super::visit::Visit;
use super::world::Heard;
use super::world::{World, request};
use joblight::internals::engine::Services;
use serde_json::{Value, json};

/// The status of a call that is answered when the store has kept what it changed.
fn kept_call(world: &mut World, kept: &mut Store, (method, path): (&str, &str)) -> u16 {
    let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
    world.say(peer, request(method, path, &Value::Null).as_bytes());
    kept.take(world);
    match &world.heard(peer)[..] {
        [(_, Heard::Answer(status, _))] => *status,
        other => panic!("{method} {path}: {other:?}"),
    }
}

/// A store as an older version left it, where `STAR` was `*`.
fn old_store() -> (Store, Visit) {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["rSTAR", "task:aSTAR"]);
    let call = ("POST", "/api/tasks/aSTAR/completed");
    assert_eq!(kept_call(&mut world, &mut kept, call), 200);
    say(&mut world, "rSTAR", 1);
    kept.take(&mut world);
    let old = |text: &str| text.replace("STAR", "*");
    let rows = std::mem::take(&mut kept.rows).into_iter();
    kept.rows = rows
        .map(|((table, key), row)| ((table, old(&key).into()), old(&row)))
        .collect();
    for entry in kept.entries.values_mut() {
        entry.room = old(&entry.room).into();
    }
    (kept, visit)
}

#[test]
fn old_names_with_a_star_stay_readable_and_deletable() {
    let (mut kept, visit) = old_store();
    let mut world = restarted(2, &kept, |_| {});
    let task = "/api/tasks/a%2A";
    assert_eq!(world.document(task)["taskId"], "a*");
    assert_eq!(world.document("/api/tasks")["tasks"][0]["taskId"], "a*");
    let log = world.document("/api/rooms/task%3Aa%2A/history");
    assert_eq!(log["messages"][0]["type"], "task_completed");
    let log = world.document("/api/rooms/r%2A/history");
    assert_eq!(log["messages"][0]["payload"], 1);
    let (status, problem) = world.call("POST", &format!("{task}/started"), &json!({"attempt": 2}));
    assert_eq!((status, &problem["field"]), (400, &json!("taskId")));
    let again = visit.again(&mut world);
    assert_eq!(again.first[0]["payload"]["rooms"], json!(["r*", "task:a*"]));
    world.send(
        again.peer,
        &json!({"type": "unsubscribe", "taskIds": ["a*"]}),
    );
    let ack = &world.messages(again.peer)[0]["payload"];
    assert_eq!(ack["rooms"], json!(["r*"]));
    let leave = format!("/api/clients/{}/rooms/r%2A", again.id);
    for path in [leave.as_str(), task] {
        assert_eq!(kept_call(&mut world, &mut kept, ("DELETE", path)), 204);
    }
    assert_eq!(world.call("GET", task, &Value::Null).0, 404);
}
