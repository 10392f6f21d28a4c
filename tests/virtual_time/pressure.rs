//! What load does: slow turns and slow readers stretch the interval; a slow reader costs one mark a task, not a queue.

use super::world::{PeerId, World};
use joblight::internals::engine::Services;
use serde_json::{Value, json};

fn slowdown(world: &mut World) -> f64 {
    let statistics = world.document("/api/broadcaster/stats");
    let slowdown = statistics["slowdown"].as_f64().expect("a number");
    let interval = statistics["broadcastInterval"].as_f64().expect("a number");
    assert!(
        (interval / 100.0 - slowdown).abs() < 0.02,
        "{interval} ms, {slowdown} times"
    );
    slowdown
}

fn moments(world: &mut World, viewer: PeerId) -> Vec<u64> {
    world.messages(viewer).iter().map(World::moment).collect()
}

#[test]
fn long_turns_stretch_the_interval_and_calm_brings_it_back() {
    let mut world = World::new(|config| config.broadcaster.max_slowdown = 3);
    let viewer = world.watcher("t");
    let mut highest = 1.0_f64;
    for _ in 0..60 {
        world.long_turn(80, |_| {});
        world.run_for(20);
        highest = highest.max(slowdown(&mut world));
    }
    assert!(highest > 2.5 && highest <= 3.0, "{highest}");
    let begin = world.millis();
    for step in 0..200 {
        world.report("t", "progress", json!({"current": step, "total": 400}));
        world.run_for(1);
    }
    let stretched = moments(&mut world, viewer);
    assert!(stretched.len() <= 2, "{stretched:?} from {begin}");
    world.run_for(20_000);
    assert_eq!(slowdown(&mut world), 1.0);
    world.messages(viewer);
    for step in 200..400 {
        world.report("t", "progress", json!({"current": step, "total": 400}));
        world.run_for(1);
    }
    assert!(moments(&mut world, viewer).len() >= 2);
}

#[test]
fn slow_readers_stretch_it_too_and_their_draining_brings_it_back() {
    let mut world = World::new(|_| {});
    let viewers: Vec<PeerId> = (0..8).map(|_| world.watcher("t")).collect();
    for viewer in &viewers[..4] {
        world.stall(*viewer, 0);
    }
    for step in 0..100 {
        world.report("t", "progress", json!({"current": step, "total": 100}));
        world.run_for(50);
    }
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["backlogged"], 4);
    assert!(slowdown(&mut world) > 1.4);
    for viewer in &viewers[..4] {
        world.read(*viewer, None);
    }
    world.run_for(20_000);
    assert_eq!(slowdown(&mut world), 1.0);
    let statistics = world.document("/api/websocket/stats");
    assert_eq!(statistics["connections"]["backlogged"], 0);
}

#[test]
fn with_a_slowdown_of_one_it_never_stretches() {
    let mut world = World::new(|config| config.broadcaster.max_slowdown = 1);
    for _ in 0..60 {
        world.long_turn(500, |_| {});
        assert_eq!(slowdown(&mut world), 1.0);
    }
}

#[test]
fn a_slow_reader_gets_the_newest_state_and_its_backlog_does_not_grow() {
    let mut world = World::new(|config| config.websocket.heartbeat_interval = 0);
    let (slow, quick) = (world.watcher("t"), world.watcher("t"));
    world.report("t", "progress", json!({"current": 0, "total": 1_000}));
    world.messages(slow);
    world.stall(slow, 3);
    let mut backlog = Vec::new();
    for step in 1..1_000 {
        world.report(
            "t",
            "progress",
            json!({"current": step, "message": format!("{step}")}),
        );
        world.run_for(100);
        backlog.push(world.unsent_bytes(slow));
        if step % 250 == 0 {
            world.read(slow, Some(3));
        }
    }
    assert!(
        backlog.iter().max() < Some(&1_000),
        "{:?}",
        backlog.iter().max()
    );
    world.read(slow, None);
    let late = world.messages(slow);
    assert!(late.len() <= 3, "{late:?}");
    assert_eq!(late.last().expect("the newest")["payload"]["current"], 999);
    assert!(world.messages(quick).len() > 100, "the quick one goes on");
}

#[test]
fn a_reader_that_was_behind_when_the_task_ended_hears_nothing_after_the_end() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    world.stall(viewer, 1);
    world.report("t", "started", json!({"total": 3}));
    world.report("t", "progress", json!({"current": 2}));
    world.report("t", "completed", json!({"result": 1}));
    world.read(viewer, None);
    world.run_for(20_000);
    let kinds: Vec<Value> = world
        .messages(viewer)
        .into_iter()
        .map(|message| message["type"].clone())
        .collect();
    assert_eq!(kinds, ["task_started", "task_completed"]);
}

#[test]
fn work_done_while_answers_are_read_is_not_left_lying() {
    let mut world = World::new(|_| {});
    let viewer = world.watcher("t");
    for task in 0..1_000 {
        world.report(
            &format!("other{task}"),
            "progress",
            json!({"meta": "x".repeat(300)}),
        );
    }
    let producer = world.connect(joblight::internals::engine::Services::HTTP, [127, 0, 0, 1]);
    let list = super::world::request("GET", "/api/tasks?limit=1000", &Value::Null);
    let event = super::world::request("POST", "/api/tasks/t/progress", &json!({"progress": 50}));
    let pipelined = [list.as_str(), &event, &list, &list].concat();
    let one_answer = world.document("/api/tasks?limit=1000").to_string().len();
    world.stall(producer, one_answer * 3 / 2);
    world.say(producer, pipelined.as_bytes());
    assert!(world.unsent_bytes(producer) > 0, "it waits for its reader");
    let messages = world.messages(viewer);
    assert_eq!(messages.len(), 1, "the event was served, so it is seen");
}

#[test]
fn an_answer_may_be_read_slowly_but_not_left_unread() {
    let mut world = World::new(|_| {});
    for _ in 0..8 {
        let message = json!({"payload": "x".repeat(100_000)});
        world.post("/api/rooms/r/broadcast", message);
    }
    let reader = world.connect(Services::HTTP, [127, 0, 0, 1]);
    world.stall(reader, 0);
    let request =
        b"GET /api/rooms/r/history HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    world.say(reader, request);
    for _ in 0..20 {
        world.run_for(2_000);
        world.read(reader, Some(10_000));
    }
    assert!(!world.is_closed(reader), "it reads on");
    world.run_for(10_000);
    assert!(world.is_closed(reader), "it has stopped reading");
}
