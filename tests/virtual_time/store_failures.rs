//! A store that fails, for a moment or for long: the loop stays free, nothing gathers without an end, and it gets well.

use super::kept::{Store, batch, durable, say, stored};
use super::visit::Visit;
use super::world::World;
use joblight::internals::hub::Record;
use serde_json::json;

/// The store fails with the next batch, which something gives it reason for.
fn fail(world: &mut World) {
    say(world, "a", 1);
    assert!(batch(world).is_none(), "nobody waits");
    world.run_for(60);
    let first = batch(world).expect("an entry");
    stored(world, first.seq, Err("full"));
    assert_eq!(world.document("/health")["storage"]["status"], "failing");
}

/// Waits for the next batch; how long, and how many records it has.
fn wait_for_batch(world: &mut World) -> (u64, u64, usize) {
    let began = world.millis();
    for _ in 0..1000 {
        if let Some(batch) = batch(world) {
            return (world.millis() - began, batch.seq, batch.records.len());
        }
        world.run_for(100);
    }
    panic!("it is not tried again");
}

#[test]
fn a_store_that_goes_on_failing_is_asked_seldom_and_little() {
    let mut world = durable(|config| config.broadcaster.max_tasks = 0);
    for number in 0..1000 {
        let payload = json!({"taskId": format!("task-{number}"), "progress": 5});
        world.take_event(&json!({"type": "task_progress", "payload": payload}));
    }
    fail(&mut world);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let (waited, seq, records) = wait_for_batch(&mut world);
        assert_eq!(records, 1, "a probe");
        waits.push((waited + 500) / 1000);
        stored(&mut world, seq, Err("full"));
    }
    assert_eq!(waits, [1, 2, 4, 8, 10, 10, 10, 10]);
    let (_, seq, _) = wait_for_batch(&mut world);
    stored(&mut world, seq, Ok(()));
    let all = batch(&mut world).expect("everything");
    assert!(all.records.len() > 1000);
    stored(&mut world, all.seq, Err("full"));
    let (waited, seq, records) = wait_for_batch(&mut world);
    assert_eq!((waited, records), (10_000, 1), "it must be asked again");
    stored(&mut world, seq, Ok(()));
    let all = batch(&mut world).expect("everything");
    stored(&mut world, all.seq, Ok(()));
    assert_eq!(world.document("/health")["storage"]["status"], "ok");
    fail(&mut world);
    assert_eq!(wait_for_batch(&mut world).0, 1_000, "that is long ago");
}

#[test]
fn a_probe_brings_nothing_that_has_changed_meanwhile() {
    let mut world = durable(|_| {});
    fail(&mut world);
    let (_, seq, _) = wait_for_batch(&mut world);
    say(&mut world, "b", 2);
    stored(&mut world, seq, Ok(()));
    let all = batch(&mut world).expect("everything");
    let entries = all.records.iter();
    let entries = entries.filter(|record| matches!(record, Record::Append(_)));
    assert_eq!((entries.count(), &all.records[0]), (2, &Record::Clear));
    say(&mut world, "b", 3);
    stored(&mut world, all.seq, Ok(()));
    let (waited, _, records) = wait_for_batch(&mut world);
    assert!(waited <= 100 && records < 5, "what came meanwhile");
}

fn say_much(world: &mut World, megabytes: usize) {
    let text = json!("x".repeat(1_000_000));
    (0..megabytes).for_each(|_| say(world, "a", &text));
}

#[test]
fn a_store_that_works_again_is_good_again_however_much_comes_in_meanwhile() {
    let mut world = durable(|_| {});
    fail(&mut world);
    let (_, seq, _) = wait_for_batch(&mut world);
    stored(&mut world, seq, Ok(()));
    let all = batch(&mut world).expect("everything");
    say_much(&mut world, 90);
    assert!(batch(&mut world).is_none(), "one is under way");
    stored(&mut world, all.seq, Ok(()));
    assert_eq!(world.document("/health")["storage"]["status"], "ok");
    let (_, seq, _) = wait_for_batch(&mut world);
    say_much(&mut world, 80);
    assert!(batch(&mut world).is_none(), "one is under way");
    stored(&mut world, seq, Ok(()));
    assert_eq!(world.document("/health")["storage"]["status"], "ok");
}

#[test]
fn a_store_that_is_too_slow_counts_as_failing() {
    let mut world = durable(|_| {});
    say(&mut world, "a", 1);
    assert!(batch(&mut world).is_none(), "nobody waits");
    world.run_for(60);
    batch(&mut world).expect("an entry");
    say_much(&mut world, 70);
    assert!(batch(&mut world).is_none(), "one is under way");
    assert_eq!(world.document("/health")["storage"]["status"], "failing");
    assert_eq!(world.engine.inspect().unstored_bytes(), 0);
}

#[test]
fn for_a_store_that_fails_nothing_gathers() {
    let mut world = durable(|_| {});
    let visit = Visit::new(&mut world, &["a"]);
    Store::default().take(&mut world);
    visit.enter(&mut world, &["b"]);
    Store::default().take(&mut world);
    visit.enter(&mut world, &["c"]);
    assert!(world.engine.inspect().has_resting_changes());
    fail(&mut world);
    for _ in 0..3 {
        say(&mut world, "a", 1);
        world.run_for(400);
        let held = world.engine.inspect();
        let unstored = (held.unstored_bytes(), held.has_unstored_changes());
        assert_eq!(unstored, (0, false));
        assert!(!held.has_resting_changes());
    }
}
