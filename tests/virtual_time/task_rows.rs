//! Tasks over a restart, as viewers see them: what was unknown stays unknown, and what is gone was not.

use super::kept::{Store, ask, durable, restarted_at, tell};
use super::world::Heard;
use super::world::{World, request};
use joblight::internals::hub::Table;
use serde_json::{Value, json};

/// The server after so many milliseconds, with the tasks of the one before.
fn after(millis: u64, world: &mut World) -> World {
    let mut kept = Store::default();
    kept.take(world);
    restarted_at(millis, &kept, |_| {})
}

fn state(world: &mut World, task: &str) -> Value {
    world.document(&format!("/api/tasks/{task}"))
}

#[test]
fn task_without_anything_to_count_by_says_so() {
    let mut world = World::new(|config| config.broadcaster.broadcast_interval = 0);
    let viewer = world.watcher("t");
    world.report("t", "started", json!({"stage": "sorting"}));
    let told = world.messages(viewer);
    assert_eq!(told[0]["payload"]["indeterminate"], true, "{told:?}");
    let shown = state(&mut world, "t");
    assert_eq!(
        [&shown["current"], &shown["total"], &shown["progress"]],
        [0, 0, 0],
        "the types of the first design"
    );
    world.report(
        "t",
        "progress",
        json!({"message": "the first is a snapshot"}),
    );
    world.run_for(2_000);
    for (body, expected) in [
        (json!({"current": 5}), None),
        (json!({"total": 10}), Some(Value::Null)),
        (json!({"total": 0}), Some(json!(true))),
        (json!({"progress": 0}), Some(Value::Null)),
        (json!({"progress": 10, "current": 6}), None),
        (json!({"progress": null}), Some(json!(true))),
        (json!({"total": 10}), Some(Value::Null)),
        (json!({"total": null}), Some(json!(true))),
    ] {
        let text = body.to_string();
        world.report("t", "progress", body);
        world.run_for(2_000);
        let told = world.messages(viewer).pop().unwrap_or_default();
        let change = told["payload"].get("indeterminate").cloned();
        assert_eq!(change, expected, "{text}");
        let shown = state(&mut world, "t").get("indeterminate").cloned();
        let is_indeterminate = expected
            .as_ref()
            .map_or(shown.is_some(), |change| *change == true);
        assert_eq!(shown, is_indeterminate.then_some(json!(true)), "{text}");
    }
    world.report("t", "failed", json!({}));
    let told = world.messages(viewer).pop().expect("a message");
    assert_eq!(told["payload"].get("indeterminate"), None, "it has ended");
    world.report("t", "started", json!({"attempt": 2}));
    assert_eq!(state(&mut world, "t")["indeterminate"], true, "anew");
}

#[test]
fn total_is_something_to_count_by() {
    let mut world = World::new(|_| {});
    world.report("t", "started", json!({"total": 5}));
    assert_eq!(state(&mut world, "t").get("indeterminate"), None);
}

#[test]
fn task_that_only_an_item_made_known_is_indeterminate() {
    let mut world = World::new(|_| {});
    let item = json!({"type": "document_generated", "payload": {"taskId": "t"}});
    world.post("/api/events", item);
    assert_eq!(state(&mut world, "t")["indeterminate"], true);
}

#[test]
fn fields_that_are_computed_cannot_be_named() {
    let mut world = World::new(|_| {});
    let body =
        json!({"indeterminate": "mine", "revived": 1, "stalled": 1, "own": 1, "progress": 1});
    world.report("t", "progress", body);
    let shown = state(&mut world, "t");
    assert_eq!(
        (
            shown.get("indeterminate"),
            shown.get("revived"),
            &shown["own"]
        ),
        (None, None, &json!(1))
    );
}

#[test]
fn completed_task_comes_back_whatever_its_start() {
    let mut world = durable(|_| {});
    // The first and the last millisecond of the years 2000 to 2199.
    for (task, started_at) in [("a", 946_684_800_000_u64), ("b", 7_258_118_399_999)] {
        let path = format!("/api/tasks/{task}/completed");
        let body = json!({"startedAt": started_at, "result": 1});
        ask(&mut world, "POST", &path, &body);
    }
    let before = world.document("/api/tasks");
    assert_eq!(before["tasks"].as_array().map(Vec::len), Some(2));
    let mut world = after(1_000, &mut world);
    assert_eq!(world.document("/api/tasks"), before);
}

#[test]
fn own_fields_come_back_with_their_type() {
    let mut world = durable(|_| {});
    let body = r#"{"type":"task_progress","payload":{"taskId":"t","id":7,"v":2,"view":{"id":8},"seqs":[1e2],"quo\"ted":"é"}}"#;
    let body: Value = serde_json::from_str(body).expect("JSON");
    ask(&mut world, "POST", "/api/events", &body);
    tell(&mut world, "t", "progress", json!({"progress": 29.3}));
    let before = state(&mut world, "t");
    let mut world = after(1_000, &mut world);
    assert_eq!(state(&mut world, "t"), before);
}

#[test]
fn percent_only_task_has_a_rate_again() {
    let mut world = durable(|_| {});
    for second in 0..20 {
        tell(&mut world, "t", "progress", json!({"progress": second}));
        world.run_for(1_000);
    }
    let mut world = after(20_000, &mut world);
    for second in 20..30 {
        tell(&mut world, "t", "progress", json!({"progress": second}));
        world.run_for(1_000);
    }
    let shown = state(&mut world, "t");
    assert_eq!(shown["rate"], 1, "{shown}");
    assert!(shown.get("indeterminate").is_none());
}

#[test]
fn row_that_is_unreadable_stays_in_the_store() {
    let mut kept = Store::default();
    for (task, row) in [("newer", r#"{"v":9,"what":"ever"}"#), ("broken", "{]")] {
        kept.rows.insert((Table::Task, task.into()), row.to_owned());
    }
    let before = kept.rows.clone();
    let mut world = restarted_at(0, &kept, |_| {});
    assert_eq!(world.document("/api/tasks")["tasks"], json!([]));
    tell(&mut world, "t", "started", json!({}));
    kept.take(&mut world);
    for (key, row) in &before {
        assert_eq!(kept.rows.get(key), Some(row), "{key:?}");
    }
    // A store that has failed is emptied and rewritten.
    tell(&mut world, "u", "started", json!({}));
    let batch = super::kept::batch(&mut world).expect("a batch");
    super::kept::stored(&mut world, batch.seq, Err("full"));
    world.run_for(60_000);
    kept.rows.clear();
    kept.take(&mut world);
    world.run_for(60_000);
    kept.take(&mut world);
    assert_eq!(kept.count(Table::Task), 4, "{:?}", kept.rows);
    for (key, row) in &before {
        assert_eq!(kept.rows.get(key), Some(row), "{key:?}");
    }
    // A task of that name takes its place.
    tell(&mut world, "broken", "started", json!({}));
    ask(&mut world, "DELETE", "/api/tasks/broken", &Value::Null);
    kept.take(&mut world);
    assert_eq!(kept.count(Table::Task), 3);
}

#[test]
fn row_that_is_unreadable_goes_when_its_task_is_deleted_or_made_anew() {
    let mut kept = Store::default();
    for task in ["deleted", "anew", "left"] {
        let row = r#"{"v":9}"#.to_owned();
        kept.rows.insert((Table::Task, task.into()), row);
    }
    let mut world = restarted_at(0, &kept, |_| {});
    let caller = world.connect(joblight::internals::engine::Services::HTTP, [127, 0, 0, 1]);
    for (path, status) in [("/api/tasks/deleted", 204), ("/api/tasks/deleted", 404)] {
        world.say(caller, request("DELETE", path, &Value::Null).as_bytes());
        kept.take(&mut world);
        let heard = world.heard(caller);
        assert!(
            matches!(heard[..], [(_, Heard::Answer(found, _))] if found == status),
            "{heard:?}"
        );
    }
    tell(&mut world, "anew", "started", json!({}));
    kept.take(&mut world);
    let row = |kept: &Store, task: &str| kept.rows.get(&(Table::Task, task.into())).cloned();
    let anew = row(&kept, "anew").expect("a row");
    assert!(anew.contains("\"v\":2"), "{anew}");
    // What is rewritten is what there is now.
    tell(&mut world, "u", "started", json!({}));
    let batch = super::kept::batch(&mut world).expect("a batch");
    super::kept::stored(&mut world, batch.seq, Err("full"));
    for _ in 0..2 {
        world.run_for(60_000);
        kept.take(&mut world);
    }
    let tasks = kept.rows.keys().filter(|(table, _)| *table == Table::Task);
    let tasks: Vec<&str> = tasks.map(|(_, task)| &**task).collect();
    assert_eq!(tasks, ["anew", "left", "u"]);
    assert_eq!(row(&kept, "left").expect("a row"), r#"{"v":9}"#);
}
