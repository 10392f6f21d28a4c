//! Tasks that go: who is told, in which place, and that nothing of them stays behind.

use super::visit::{Visit, brief};
use super::world::World;
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

fn delete(world: &mut World, task: &str) {
    let (status, _) = world.call("DELETE", &format!("/api/tasks/{task}"), &Value::Null);
    assert_eq!(status, 204);
}

fn document(world: &mut World, task: &str, number: usize) {
    let payload = json!({"taskId": task, "number": number});
    world.post(
        "/api/events",
        json!({"type": "document_generated", "payload": payload}),
    );
}

#[test]
fn deleted_task_is_said_to_be_gone_to_its_watchers_alone() {
    let mut world = World::new(|_| {});
    let (viewer, other) = (world.watcher("t \"1\""), world.watcher("other"));
    world.report("t%20%221%22", "progress", json!({"progress": 5}));
    world.messages(viewer);
    delete(&mut world, "t%20%221%22");
    let told = world.messages(viewer);
    assert_eq!(brief(&told), ["task_removed"]);
    let payload = json!({"taskId": "t \"1\"", "reason": "deleted"});
    assert_eq!(told[0]["payload"], payload);
    assert_eq!((told[0].get("room"), told[0].get("offset")), (None, None));
    assert!(told[0]["id"].is_string() && told[0]["timestamp"].is_u64());
    assert_eq!(world.messages(other), [Value::Null; 0]);
    let history = world.document("/api/rooms/task:t%20%221%22/history");
    assert_eq!(history["messages"], json!([]), "it is not logged");
}

#[test]
fn watcher_stays_and_gets_the_whole_of_a_task_that_comes_anew() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    world.report("t", "progress", json!({"progress": 50, "stage": "a"}));
    delete(&mut world, "t");
    world.messages(viewer);
    world.report("t", "progress", json!({"progress": 1}));
    world.run_for(1_000);
    let told = world.messages(viewer);
    assert_eq!(brief(&told), ["task_progress"]);
    assert_eq!(told[0]["payload"]["snapshot"], true);
    assert_eq!(
        (
            &told[0]["payload"]["progress"],
            &told[0]["payload"]["stage"]
        ),
        (&json!(1), &json!(""))
    );
}

#[test]
fn time_and_lack_of_room_are_said_to_be_expiry() {
    let mut world = World::new(|config| {
        config.broadcaster.keep_completed = HOUR_MS;
        config.broadcaster.max_tasks = 2;
    });
    let viewers = ["a", "b"].map(|task| world.watcher(task));
    for task in ["a", "b"] {
        world.report(task, "completed", json!({}));
        world.run_for(1_000);
    }
    world.report("c", "started", json!({}));
    let expired = |task: &str| json!({"taskId": task, "reason": "expired"});
    let told = world.messages(viewers[0]).pop().expect("a message");
    assert_eq!(
        (&told["type"], &told["payload"]),
        (&json!("task_removed"), &expired("a"))
    );
    world.messages(viewers[1]);
    world.run_for(HOUR_MS - 1_000);
    let told = world.messages(viewers[1]);
    assert_eq!(brief(&told), ["task_removed"]);
    assert_eq!(told[0]["payload"], expired("b"));
}

#[test]
fn slow_reader_hears_it_after_what_it_lacks_and_before_what_follows() {
    for messages in [1, 3, 4096] {
        let mut world = World::new(|config| config.websocket.max_outbox_messages = messages);
        let visit = Visit::new(&mut world, &["task:t", "lobby"]);
        world.report("t", "started", json!({}));
        visit.heard(&mut world);
        world.stall(visit.peer, 0);
        for number in 0..5 {
            document(&mut world, "t", number);
            super::visit::publish(&mut world, "lobby", number);
        }
        delete(&mut world, "t");
        super::visit::publish(&mut world, "lobby", 5);
        world.report("t", "started", json!({"stage": "anew"}));
        world.read(visit.peer, None);
        world.run_for(1_000);
        let heard = world.messages(visit.peer);
        let kinds = brief(&heard);
        let place = |kind: &str| kinds.iter().position(|heard| heard == kind);
        let removed = place("task_removed").unwrap_or_else(|| panic!("{messages}: {kinds:?}"));
        assert_eq!(
            kinds.iter().filter(|kind| *kind == "task_removed").count(),
            1
        );
        let last_document = kinds.iter().rposition(|kind| kind == "document_generated");
        assert!(last_document.is_none_or(|last| last < removed), "{kinds:?}");
        assert!(place("lobby 4") < Some(removed), "{kinds:?}");
        assert!(Some(removed) < place("lobby 5"), "{kinds:?}");
        let follows = heard[removed..]
            .iter()
            .find(|message| message["payload"]["stage"] == "anew");
        assert!(follows.is_some(), "{messages}: {kinds:?}");
        assert!(
            heard[..removed]
                .iter()
                .all(|message| message["payload"]["stage"] != "anew")
        );
    }
}

#[test]
fn client_that_is_away_is_not_told_and_learns_that_something_is_missing() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["task:t"]);
    world.report("t", "started", json!({}));
    world.run_for(200);
    world.leave(visit.peer);
    document(&mut world, "t", 1);
    delete(&mut world, "t");
    let again = visit.again(&mut world);
    assert_eq!(again.recovered(), json!({"task:t": false}));
    assert_eq!(again.missed(), [""; 0]);
}

#[test]
fn application_cannot_say_it() {
    let mut world = World::new(|_| {});
    let event = json!({"type": "task_removed", "room": "task:t", "payload": {"taskId": "t"}});
    let (status, problem) = world.call("POST", "/api/events", &event);
    assert_eq!(
        (status, problem["detail"].to_string().contains("reserved")),
        (400, true)
    );
}

#[test]
fn both_dialects_hear_it() {
    let mut world = World::new(|_| {});
    let data = world.upgrade("/", "");
    let id = world.document("/api/clients")["clients"][0]["clientId"].clone();
    let path = format!("/api/clients/{}/rooms/task:t", id.as_str().expect("an id"));
    world.call("PUT", &path, &Value::Null);
    world.report("t", "started", json!({}));
    world.messages(data);
    delete(&mut world, "t");
    let told = world.messages(data);
    assert_eq!(told.last().expect("a message")["data"]["reason"], "deleted");
}

/// Reminders of tasks, logs and progress, once what is under way has gone out.
fn reminders(world: &mut World) -> usize {
    world.run_for(10_000);
    world.engine.inspect().timers()
}

#[test]
fn tasks_that_are_deleted_leave_no_reminders() {
    let mut world = World::new(|_| {});
    for round in 0..300 {
        let task = format!("t{round}");
        world.report(&task, "started", json!({"total": 5}));
        document(&mut world, &task, 1);
        for current in 0..3 {
            world.report(&task, "progress", json!({"current": current}));
            world.run_for(20);
        }
        if round % 3 == 0 {
            world.report(&task, "failed", json!({}));
        }
        delete(&mut world, &task);
    }
    assert_eq!(reminders(&mut world), 0);
    world.assert_empty();
}

#[test]
fn tasks_that_make_room_leave_no_reminders() {
    let mut world = World::new(|config| config.broadcaster.max_tasks = 10);
    for round in 0..300 {
        let task = format!("t{round}");
        world.report(&task, "started", json!({}));
        document(&mut world, &task, 1);
        world.report(&task, "completed", json!({}));
    }
    assert_eq!(reminders(&mut world), 1, "one for all");
    assert_eq!(world.engine.inspect().rooms().len(), 10);
}

#[test]
fn running_tasks_and_rooms_share_one_reminder() {
    let mut world = World::new(|_| {});
    for task in 0..100 {
        world.report(&format!("t{task}"), "started", json!({}));
        super::visit::publish(&mut world, &format!("room{task}"), 1);
    }
    assert_eq!(reminders(&mut world), 1);
    world.run_for(61_000);
    assert_eq!(reminders(&mut world), 1, "after all have stalled");
}

#[test]
fn messagepack_says_the_same() {
    let mut world = World::new(|_| {});
    let visit = Visit::on(
        &mut world,
        "/ws",
        "Sec-WebSocket-Protocol: joblight.msgpack\r\n",
    );
    visit.enter(&mut world, &["task:t"]);
    world.report("t", "started", json!({}));
    visit.heard(&mut world);
    delete(&mut world, "t");
    let told = world.messages(visit.peer);
    assert_eq!(told[0]["type"], "task_removed");
    assert_eq!(
        told[0]["payload"],
        json!({"taskId": "t", "reason": "deleted"})
    );
}
