//! A running task that is later than usual (contract section 4, "Time left"): pages are told that its end moves away while
//! nothing else happens, seldom enough.

use super::world::{PeerId, World};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;

/// Movement may be held for so long.
const HELD_MS: u64 = 1_000;

/// What one viewer knows of a task.
struct Page {
    viewer: PeerId,
    task: &'static str,
    state: Map<String, Value>,
    /// Progress messages so far, by the moment.
    told: Vec<u64>,
}

impl Page {
    fn open(world: &mut World, task: &'static str) -> Self {
        let viewer = world.viewer();
        world.send(viewer, &json!({"type": "subscribe", "taskIds": [task]}));
        let (state, told) = (Map::new(), Vec::new());
        let mut page = Self {
            viewer,
            task,
            state,
            told,
        };
        page.listen(world);
        page
    }

    fn listen(&mut self, world: &mut World) {
        let messages = world.messages(self.viewer).into_iter();
        for message in messages.filter(|message| message["payload"]["taskId"] == self.task) {
            let Some(kind) = message["type"]
                .as_str()
                .filter(|kind| kind.contains("task_"))
            else {
                continue;
            };
            let fields = message["payload"].as_object().expect("a task").clone();
            if kind != "task_progress" || fields.contains_key("snapshot") {
                self.state.clear();
            }
            if kind == "task_progress" {
                self.told.push(World::moment(&message));
            }
            self.state.extend(fields);
            self.state.retain(|_, value| !value.is_null());
        }
    }

    fn end(&self) -> Option<f64> {
        self.state.get("estimatedEndAt").and_then(Value::as_f64)
    }

    /// How many messages came since the last time.
    fn count(&mut self, world: &mut World) -> usize {
        self.listen(world);
        std::mem::take(&mut self.told).len()
    }
}

/// What happens while a task does not advance.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Noise {
    None,
    Items,
    Heartbeats,
}

/// How a task counts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unit {
    Steps,
    Percent,
    PercentBesideSteps,
}

impl Unit {
    fn body(self, done: u64) -> Value {
        match self {
            Self::Steps => json!({"current": done, "total": 60}),
            Self::Percent => json!({"progress": done}),
            Self::PercentBesideSteps => json!({"current": done * 7, "progress": done}),
        }
    }
}

/// Ten steps, of which the last has just been done, or as many as it takes until an end is known.
fn work(world: &mut World, unit: Unit, from: u64, gap_ms: u64) {
    for done in from..from + u64::max(10, 4_000 / gap_ms) {
        world.run_for(gap_ms);
        world.report("t", "progress", unit.body(done + 1));
    }
}

fn make_noise(world: &mut World, noise: Noise) {
    match noise {
        Noise::None => {}
        Noise::Items => {
            let item = json!({"type": "document_generated", "payload": {"taskId": "t", "documentId": "d"}});
            world.post("/api/events", item);
        }
        Noise::Heartbeats => {
            world.report("t", "progress", json!({}));
        }
    }
}

fn asked(world: &mut World) -> Value {
    world.document("/api/tasks/t")
}

fn asked_end(world: &mut World) -> Option<f64> {
    asked(world)["estimatedEndAt"].as_f64()
}

/// At any second of a silence the page has the end that a `GET` gave a quarter of the silence and ten intervals ago, or a
/// later one.
fn follow(world: &mut World, page: &mut Page, seconds: u64, noise: Noise, case: &str) {
    let begin_ms = world.millis();
    let mut ends = VecDeque::from([(0, asked_end(world))]);
    for second in 1..=seconds {
        world.run_for(650);
        make_noise(world, noise);
        world.run_for(second * 1_000 - (world.millis() - begin_ms));
        page.listen(world);
        let now = asked(world);
        let end = now["estimatedEndAt"].as_f64();
        let oldest_ms =
            second * 1_000 - HELD_MS - u64::max(1_000, second * 250).min(second * 1_000 - HELD_MS);
        ends.push_back((second * 1_000, end));
        while ends.get(1).is_some_and(|(at_ms, _)| *at_ms <= oldest_ms) {
            ends.pop_front();
        }
        let oldest = ends[0].1;
        let Some(told) = page.end() else {
            assert!(
                end.is_none() || oldest.is_none(),
                "{case}, {second} s: nothing told, {now}"
            );
            continue;
        };
        let oldest =
            oldest.unwrap_or_else(|| panic!("{case}, {second} s: {told} told, but there is none"));
        let left_ms = now["estimatedTimeRemaining"].as_f64().unwrap_or(f64::MAX);
        let tolerance = f64::max(1_001.0, left_ms * 0.02);
        assert!(
            oldest - tolerance <= told && told <= end.unwrap_or(f64::MAX) + tolerance,
            "{case}, {second} s: {told} told, {oldest} to {end:?} in truth"
        );
    }
}

fn every_case(mut check: impl FnMut(bool, Unit, Noise, u64)) {
    for incremental in [true, false] {
        for unit in [Unit::Steps, Unit::Percent, Unit::PercentBesideSteps] {
            for noise in [Noise::None, Noise::Items, Noise::Heartbeats] {
                for gap_ms in [100, 500, 1_000, 3_000, 15_000] {
                    check(incremental, unit, noise, gap_ms);
                }
            }
        }
    }
}

#[test]
fn a_page_knows_of_a_silence_what_a_get_says() {
    let mut world = World::new(|_| {});
    world.report("t", "started", json!({}));
    let mut page = Page::open(&mut world, "t");
    work(&mut world, Unit::Steps, 0, 500);
    for _ in 0..12 {
        world.run_for(1_000);
        page.listen(&mut world);
    }
    let (told, truth) = (
        page.end().expect("an end"),
        asked_end(&mut world).expect("one"),
    );
    let now = World::wall_ms(world.millis()) as f64;
    assert!(truth - now > 100_000.0, "{truth}");
    assert!(told - now > 70_000.0, "{} s of {}", told - now, truth - now);
    assert!(page.state["rate"].as_f64().expect("a rate") < 1.0);
    let left_ms = page.state["estimatedTimeRemaining"]
        .as_f64()
        .expect("time left");
    assert!(left_ms > 70_000.0, "{left_ms}");
}

#[test]
fn the_end_on_a_page_is_a_quarter_of_the_silence_old_at_most() {
    every_case(|incremental, unit, noise, gap_ms| {
        let mut world = World::new(|config| {
            config.broadcaster.stall_timeout = 0;
            config.broadcaster.enable_incremental_updates = incremental;
        });
        world.report("t", "started", json!({}));
        let mut page = Page::open(&mut world, "t");
        work(&mut world, unit, 0, gap_ms);
        let case = format!("{incremental} {unit:?} {noise:?} {gap_ms} ms");
        follow(&mut world, &mut page, 400, noise, &case);
    });
}

#[test]
fn an_end_by_an_own_rate_moves_with_the_silence_and_its_page_is_a_quarter_of_it_behind() {
    let mut world = World::new(|config| config.broadcaster.stall_timeout = 0);
    world.report("t", "started", json!({"rate": 2}));
    let mut page = Page::open(&mut world, "t");
    work(&mut world, Unit::Steps, 0, 500);
    for second in 1..=3_600 {
        world.run_for(1_000);
        page.listen(&mut world);
        let (told, truth) = (
            page.end().expect("an end"),
            asked_end(&mut world).expect("one"),
        );
        // Once it is later than all the rest should take, its end moves by two seconds a second.
        let bound_ms = f64::max(1_000.0, f64::from(second) * 500.0) + HELD_MS as f64;
        assert!(
            (told - truth).abs() <= bound_ms,
            "{second} s: {told}, in truth {truth}"
        );
    }
    let told = page.told.split_off(10);
    assert!((10..=36).contains(&told.len()), "{told:?}");
}

#[test]
fn a_silence_of_an_hour_takes_few_messages() {
    every_case(|incremental, unit, noise, gap_ms| {
        for stall_timeout in [0, 86_400_000] {
            let mut world = World::new(|config| {
                config.broadcaster.stall_timeout = stall_timeout;
                config.broadcaster.enable_incremental_updates = incremental;
            });
            world.report("t", "started", json!({}));
            let mut page = Page::open(&mut world, "t");
            work(&mut world, unit, 0, gap_ms);
            world.run_for(1_000);
            page.count(&mut world);
            for _ in 0..360 {
                make_noise(&mut world, noise);
                world.run_for(10_000);
            }
            page.listen(&mut world);
            let told = &page.told;
            let case = format!("{incremental} {unit:?} {noise:?} {gap_ms} ms: {told:?}");
            assert!((3..=36).contains(&told.len()), "{case}");
        }
    });
}

#[test]
fn who_has_no_end_to_move_is_told_nothing() {
    let cases: [(&str, Value, &str); 6] = [
        ("paused", json!({}), "paused"),
        ("completed", json!({}), "completed"),
        ("failed", json!({"error": "e"}), "failed"),
        ("cancelled", json!({}), "cancelled"),
        (
            "progress",
            json!({"estimatedTimeRemaining": 3_000_000}),
            "running",
        ),
        (
            "progress",
            json!({"total": null, "progress": null}),
            "running",
        ),
    ];
    for (verb, body, status) in cases {
        let mut world = World::new(|config| config.broadcaster.stall_timeout = 0);
        world.report("t", "started", json!({}));
        let mut page = Page::open(&mut world, "t");
        work(&mut world, Unit::Steps, 0, 500);
        world.report("t", verb, body.clone());
        world.run_for(1_500);
        assert!(page.count(&mut world) > 0);
        assert_eq!(page.state["status"], status);
        world.run_for(1_800_000);
        assert_eq!(page.count(&mut world), 0, "{verb} {body}");
    }
}

#[test]
fn a_stalled_task_is_told_once_and_then_left_alone() {
    let mut world = World::new(|_| {});
    world.report("t", "started", json!({}));
    let mut page = Page::open(&mut world, "t");
    work(&mut world, Unit::Steps, 0, 500);
    world.run_for(60_000);
    page.count(&mut world);
    assert_eq!(page.state["stalled"], true);
    assert_eq!(page.end(), None);
    world.run_for(3_600_000);
    assert_eq!(page.count(&mut world), 0);
}

#[test]
fn a_task_that_nobody_watches_is_not_looked_at() {
    let mut world = World::new(|config| config.broadcaster.stall_timeout = 0);
    world.report("t", "started", json!({}));
    let next = |world: &World| {
        let at = world.engine.inspect().next_aging().expect("it may be lost");
        at.saturating_since(world.now().at).as_millis()
    };
    work(&mut world, Unit::Steps, 0, 500);
    assert!(next(&world) > 3_600_000, "nobody has watched it");
    let viewer = world.watcher("t");
    assert!(next(&world) <= 1_500, "{}", next(&world));
    world.send(viewer, &json!({"type": "unsubscribe", "taskIds": ["t"]}));
    world.run_for(2_000);
    assert!(next(&world) > 3_600_000, "{}", next(&world));
    work(&mut world, Unit::Steps, 10, 500);
    assert!(next(&world) > 3_600_000, "{}", next(&world));
    world.send(viewer, &json!({"type": "subscribe", "taskIds": ["t"]}));
    // The two seconds between may be a pace of its own.
    assert!(next(&world) <= 4_000, "{}", next(&world));
}

#[test]
fn two_who_came_at_different_times_hold_the_same_figures() {
    for incremental in [true, false] {
        let mut world = World::new(|config| {
            config.broadcaster.stall_timeout = 0;
            config.broadcaster.enable_incremental_updates = incremental;
        });
        world.report("t", "started", json!({}));
        let mut first = Page::open(&mut world, "t");
        work(&mut world, Unit::Steps, 0, 1_000);
        for came_ms in [7_300_u64, 3_100, 30_000] {
            world.run_for(came_ms);
            let mut second = Page::open(&mut world, "t");
            let late_ms = world.millis() - 10_000;
            world.run_for(u64::max(1_000, late_ms / 4) + HELD_MS);
            first.listen(&mut world);
            second.listen(&mut world);
            for name in [
                "estimatedEndAt",
                "estimatedTimeRemaining",
                "rate",
                "etaSource",
            ] {
                assert_eq!(first.state[name], second.state[name], "{name} at {came_ms}");
            }
            world.leave(second.viewer);
        }
    }
}

#[test]
fn a_silence_after_a_long_one_is_followed_from_its_beginning() {
    let mut world = World::new(|config| config.broadcaster.stall_timeout = 0);
    world.report("t", "started", json!({}));
    let mut page = Page::open(&mut world, "t");
    work(&mut world, Unit::Steps, 0, 3_000);
    world.run_for(100_000);
    assert!(page.count(&mut world) > 10);
    let stage = json!({"stage": "next", "current": 0, "total": 60});
    world.report("t", "progress", stage);
    work(&mut world, Unit::Steps, 0, 500);
    world.run_for(400);
    assert!(page.count(&mut world) > 3, "an advance is told as ever");
    let told = page.end().expect("an end");
    assert_eq!(Some(told), asked_end(&mut world));
    follow(&mut world, &mut page, 60, Noise::None, "again");
}

#[test]
fn a_steady_task_says_no_more_than_before() {
    let mut world = World::new(|_| {});
    world.report("t", "started", json!({}));
    let mut page = Page::open(&mut world, "t");
    work(&mut world, Unit::Steps, 0, 1_000);
    page.count(&mut world);
    for from in [10, 20, 30, 40] {
        work(&mut world, Unit::Steps, from, 1_000);
    }
    assert_eq!(page.count(&mut world), 40);
}

#[test]
fn many_that_are_late_at_once_are_all_told() {
    let mut world = World::new(|config| config.broadcaster.stall_timeout = 0);
    let viewer = world.viewer();
    let ids: Vec<String> = (0..600).map(|index| format!("t{index}")).collect();
    let rooms: Vec<String> = ids.iter().map(|id| format!("task:{id}")).collect();
    for rooms in rooms.chunks(50) {
        world.send(viewer, &json!({"type": "subscribe", "rooms": rooms}));
    }
    for done in 0..=10 {
        for id in &ids {
            world.report(id, "progress", json!({"current": done, "total": 60}));
        }
        world.run_for(500);
    }
    world.run_for(1_500);
    world.messages(viewer);
    world.run_for(10_000);
    let mut told: Vec<usize> = vec![0; ids.len()];
    for message in world.messages(viewer) {
        let id = message["payload"]["taskId"].as_str().expect("a task");
        told[id[1..].parse::<usize>().expect("a number")] +=
            usize::from(message["payload"]["estimatedEndAt"].is_u64());
    }
    assert!(
        told.iter().all(|count| (3..=10).contains(count)),
        "{told:?}"
    );
}
