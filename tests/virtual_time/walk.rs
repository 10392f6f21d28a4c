//! Random walks: clients come, go, stall and drain, producers report whatever they like, and the shadow agrees all along.

use super::dice::Dice;
use super::event::{self, Event, essence};
use super::model::Shadow;
use super::viewer_model::{Rules, ViewerModel};
use super::world::Heard;
use super::world::{PeerId, World};
use joblight::Config;
use joblight::config::Control;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SEEDS: u64 = 250;
/// How long ended tasks and logs are kept.
const KEEP_MS: u64 = 3_600_000;
const STEPS: usize = 400;
const TASKS: [&str; 4] = ["a", "b", "c", "d"];
const ROOMS: [&str; 5] = ["task:a", "task:b", "task:c", "task:d", "lobby"];
const MAX_VIEWERS: usize = 6;

#[test]
fn whatever_happens_the_contract_holds() {
    match std::env::var("SIM_SEED") {
        Ok(seed) => drop(Walk::run(seed.parse().expect("SIM_SEED is a number"))),
        Err(_) => (0..SEEDS).for_each(|seed| drop(Walk::run(seed))),
    }
}

#[test]
fn the_same_seed_and_inputs_give_the_same_outputs() {
    let [one, again, other] = [7, 7, 8].map(|seed| Walk::run(seed).world.transcript());
    assert_eq!(one, again);
    assert_ne!(one, other, "the transcript says something");
}

struct Walk {
    world: World,
    shadow: Shadow,
    dice: Dice,
    viewers: BTreeMap<PeerId, ViewerModel>,
    rules: Rules,
    past: Vec<Event>,
    seed: u64,
    step: usize,
}

impl Drop for Walk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "failed at step {} of {STEPS}; replay with SIM_SEED={}",
                self.step, self.seed
            );
        }
    }
}

impl Walk {
    fn run(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let rules = Rules {
            interval: dice.pick(&[0, 100, 100, 250]),
            log_limit: dice.pick(&[2, 10, 100]),
            incremental: !dice.one_in(5),
        };
        let world = World::with_seed(seed, |config| configure(config, &mut dice, rules));
        let mut walk = Self {
            world,
            shadow: Shadow::default(),
            dice,
            viewers: BTreeMap::new(),
            rules,
            past: Vec::new(),
            seed,
            step: 0,
        };
        for step in 0..STEPS {
            walk.step = step;
            walk.step();
            walk.listen();
            walk.world.engine.inspect().check_invariants();
        }
        walk.converge();
        walk.tear_down();
        walk
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..5 => self.arrive(),
            5..7 => self.depart(),
            7..17 => self.enter(),
            17..22 => self.leave(),
            22..27 => self.stall(),
            27..33 => self.drain(),
            33..75 => self.report(),
            75..80 => self.item(),
            80..84 => self.broadcast(),
            84..87 => self.control(),
            87 if self.seed % 2 == 1 => self.forget(),
            88..91 => self.world.long_turn(90, |_| {}),
            _ => {
                let millis = self.dice.pick(&[1, 20, 100, 1_000, 5_000, 70_000]);
                self.world.run_for(millis);
            }
        }
        let millis = self.dice.below(60);
        self.world.run_for(millis);
    }

    fn arrive(&mut self) {
        if self.viewers.len() >= MAX_VIEWERS {
            return;
        }
        let path = self.dice.pick(&["/ws", "/ws", "/ws?batch=1"]);
        let headers = self
            .dice
            .pick(&["", "", "Sec-WebSocket-Protocol: joblight.msgpack\r\n"]);
        let viewer = self.world.upgrade(path, headers);
        let model = ViewerModel::new(self.rules);
        self.viewers.insert(viewer, model);
    }

    fn any_viewer(&mut self) -> Option<PeerId> {
        let viewers: Vec<PeerId> = self.viewers.keys().copied().collect();
        (!viewers.is_empty()).then(|| self.dice.pick(&viewers))
    }

    fn depart(&mut self) {
        let Some(viewer) = self.any_viewer() else {
            return;
        };
        self.viewers.remove(&viewer);
        self.world.leave(viewer);
    }

    fn enter(&mut self) {
        // What is held back happens in another world than the one that was seen when it was asked for.
        let viewer = self.any_viewer();
        let Some(viewer) = viewer.filter(|viewer| !self.world.is_held_back(*viewer)) else {
            return;
        };
        let model = self.viewers.get_mut(&viewer).expect("it is here");
        let first = self.dice.pick(&ROOMS).to_owned();
        let second = self.dice.pick(&ROOMS).to_owned();
        let mut rooms = vec![first, second];
        rooms.dedup();
        rooms.retain(|room| !model.rooms.contains(room));
        if rooms.is_empty() {
            return;
        }
        let resumes = self.dice.one_in(2);
        let message = model.enter(&self.shadow, &rooms, resumes);
        self.world.send(viewer, &message);
    }

    fn leave(&mut self) {
        // What is held back happens in another world than the one that was seen when it was asked for.
        let viewer = self.any_viewer();
        let Some(viewer) = viewer.filter(|viewer| !self.world.is_held_back(*viewer)) else {
            return;
        };
        let model = self.viewers.get_mut(&viewer).expect("it is here");
        let rooms: Vec<String> = model.rooms.iter().cloned().collect();
        if rooms.is_empty() {
            return;
        }
        let room = self.dice.pick(&rooms);
        model.leave(&self.shadow, &room);
        self.world.send(
            viewer,
            &json!({"type": "leave_room", "id": "leave", "room": room}),
        );
    }

    fn stall(&mut self) {
        if let Some(viewer) = self.any_viewer() {
            self.viewers.get_mut(&viewer).expect("it is here").was_slow = true;
            let bytes = self.dice.below(400) as usize;
            self.world.stall(viewer, bytes);
        }
    }

    fn drain(&mut self) {
        let slow: Vec<PeerId> = self
            .viewers
            .iter()
            .filter(|(_, model)| model.was_slow)
            .map(|(viewer, _)| *viewer)
            .collect();
        if !slow.is_empty() {
            let viewer = self.dice.pick(&slow);
            let bytes = self.dice.pick(&[None, None, Some(1), Some(300)]);
            self.world.read(viewer, bytes);
        }
    }

    fn report(&mut self) {
        if !self.past.is_empty() && self.dice.one_in(12) {
            let again = self.dice.pick(&self.past);
            return self.post(again);
        }
        let task = self.dice.pick(&TASKS).to_owned();
        let kind = self.dice.pick(&[
            "task_progress",
            "task_progress",
            "task_progress",
            "task_progress",
            "task_progress",
            "task_progress",
            "task_started",
            "task_paused",
            "task_completed",
            "task_failed",
            "task_cancelled",
        ]);
        let mut payload = json!({});
        if kind == "task_progress" && self.dice.one_in(30) {
            payload["status"] = json!(self.dice.pick(&["completed", "failed", "cancelled"]));
        }
        if kind != "task_progress" || payload.get("status").is_some() {
            payload["mark"] = json!(self.shadow.next_mark());
        }
        let id = self.dice.one_in(6).then(|| format!("e{}", self.step));
        if kind == "task_started" && id.is_some() && self.dice.one_in(2) {
            payload["restart"] = json!(true);
        }
        let attempt = self.shadow.attempt(&task);
        let parents = [json!("a"), json!("b"), Value::Null];
        event::fill(
            &mut self.dice,
            self.step as u64,
            attempt,
            &parents,
            &mut payload,
        );
        self.post(Event {
            task,
            kind: kind.to_owned(),
            payload,
            id,
        });
    }

    fn item(&mut self) {
        let task = self.dice.pick(&TASKS).to_owned();
        let kind = self.dice.pick(&["document_generated", "document_failed"]);
        let payload = json!({"mark": self.shadow.next_mark(), "documentId": self.step});
        self.post(Event {
            task,
            kind: kind.to_owned(),
            payload,
            id: None,
        });
    }

    fn post(&mut self, event: Event) {
        let answer = self.world.post("/api/events", event.message());
        self.shadow.handle_answer(&event, &answer);
        self.past.push(event);
    }

    fn broadcast(&mut self) {
        let mark = self.shadow.next_mark();
        let room = self.dice.pick(&["lobby", "lobby", "task:a"]);
        self.world.post(
            &format!("/api/rooms/{room}/broadcast"),
            json!({"payload": {"mark": mark}}),
        );
        self.shadow.log(room, "room_broadcast", mark);
    }

    fn control(&mut self) {
        if let Some(viewer) = self.any_viewer() {
            let (task, action) = (
                self.dice.pick(&TASKS),
                self.dice.pick(&["cancel", "pause", "resume"]),
            );
            self.world.send(
                viewer,
                &json!({"type": "task_control", "taskId": task, "action": action}),
            );
        }
    }

    fn forget(&mut self) {
        let task = self.dice.pick(&TASKS);
        let (status, _) = self
            .world
            .call("DELETE", &format!("/api/tasks/{task}"), &Value::Null);
        if status == 204 {
            self.shadow.forget(task);
            let room = format!("task:{task}");
            self.viewers
                .values_mut()
                .for_each(|viewer| viewer.forget(&room));
        }
    }

    /// Every viewer hears what has reached it.
    fn listen(&mut self) {
        for (viewer, model) in &mut self.viewers {
            for (_, heard) in self.world.heard(*viewer) {
                match heard {
                    Heard::Message(message) => model.hear(&self.shadow, &message),
                    Heard::Batch(size) => assert!((2..=4).contains(&size), "{size} in a batch"),
                    Heard::Close(code) => {
                        assert!(model.was_slow, "closed with {code} for nothing");
                        assert!([4408, 4430].contains(&code), "closed with {code}");
                    }
                    Heard::Ping | Heard::Pong | Heard::Upgraded => {}
                    Heard::Answer(..) => panic!("refused: {heard:?}"),
                }
            }
        }
        let world = &self.world;
        self.viewers.retain(|viewer, model| {
            assert!(!world.is_closed(*viewer) || model.was_slow);
            !world.is_closed(*viewer)
        });
    }

    /// Calm: everybody drains, and everybody knows what the server knows.
    fn converge(&mut self) {
        self.step = STEPS;
        let viewers: Vec<PeerId> = self.viewers.keys().copied().collect();
        for viewer in viewers {
            self.world.read(viewer, None);
        }
        self.listen();
        self.world.run_for(200_000);
        self.listen();
        for model in self.viewers.values() {
            model.check_complete(&self.shadow);
        }
        for task in TASKS {
            let (status, state) =
                self.world
                    .call("GET", &format!("/api/tasks/{task}"), &Value::Null);
            let room = format!("task:{task}");
            assert_eq!(status == 200, self.shadow.knows_task_of(&room));
            // A task that only items have named has not moved, so nothing was said of it.
            if status == 200 && state["status"] != "pending" {
                self.compare(&room, &state);
            }
        }
    }

    fn compare(&self, room: &str, state: &Value) {
        let truth = essence(state.as_object().expect("an object"));
        for (viewer, model) in &self.viewers {
            if model.rooms.contains(room) {
                let seen = model.state(room).expect("a known task was shown");
                assert_eq!(essence(seen), truth, "viewer {viewer}");
            }
        }
    }

    /// When all have left and all tasks have ended, nothing is left.
    fn tear_down(&mut self) {
        while let Some(viewer) = self.any_viewer() {
            self.viewers.remove(&viewer);
            self.world.leave(viewer);
        }
        for task in TASKS {
            let attempt = self.shadow.attempt(task) + 1;
            self.world
                .report(task, "completed", json!({"attempt": attempt}));
        }
        self.world.run_for(KEEP_MS);
        self.world.assert_empty();
    }
}

fn configure(config: &mut Config, dice: &mut Dice, rules: Rules) {
    config.broadcaster.broadcast_interval = rules.interval;
    config.broadcaster.min_change_threshold = dice.pick(&[0.0, 1.0, 1.0, 10.0]);
    config.broadcaster.enable_incremental_updates = rules.incremental;
    config.broadcaster.max_slowdown = dice.pick(&[1, 10]);
    config.broadcaster.batch_size = 4;
    config.broadcaster.deduplication_window = 3_600_000;
    (
        config.broadcaster.keep_completed,
        config.broadcaster.keep_failed,
    ) = (KEEP_MS, KEEP_MS);
    config.broadcaster.lost_after = 0;
    config.websocket.control = Control::Anybody;
    config.websocket.message_queue_size = rules.log_limit;
    config.websocket.max_outbox_size = dice.pick(&[0, 4_000, 100_000]);
    config.websocket.heartbeat_interval = dice.pick(&[0, 30_000]);
    if config.websocket.heartbeat_interval == 0 {
        config.websocket.connection_timeout = 0;
    }
}
