//! What a turn may cost, whoever asks for it and however many ask at once (contract section 5).

use super::masked::{TEXT, masked};
use super::visit::{Visit, settle};
use super::world::{PeerId, World, upgrade_request};
use joblight::internals::engine::Services;
use joblight::internals::hub::Work;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a machine of today does in far less than fifty milliseconds.
const MOST: Work = Work {
    visited: 100_000,
    encoded: 8 * 1024 * 1024,
};

fn check_turns(world: &mut World, what: &str) {
    let peak = world.engine.load().peak();
    assert!(
        peak.visited <= MOST.visited && peak.encoded <= MOST.encoded,
        "{what}: {peak:?} in one turn"
    );
}

/// Rooms with so many entries each.
fn full_rooms(world: &mut World, rooms: usize, entries: usize, bytes: usize) -> Vec<String> {
    let names: Vec<String> = (0..rooms).map(|room| format!("r{room}")).collect();
    for number in 0..entries {
        let payload = json!({"n": number, "text": "x".repeat(bytes)});
        for rooms in names.chunks(500) {
            let note = |room| json!({"type": "note", "room": room, "payload": payload});
            world.post("/api/events", rooms.iter().map(note).collect());
        }
    }
    names
}

/// Everything after each room's beginning, by each of them at once.
fn ask_for_all(world: &mut World, viewers: &[PeerId], rooms: &[String]) {
    let since: BTreeMap<&String, &str> = rooms.iter().map(|room| (room, "start")).collect();
    let wish = json!({"type": "subscribe", "rooms": rooms, "since": since});
    let wish = masked(TEXT, wish.to_string().as_bytes());
    world.turn(|world| viewers.iter().for_each(|viewer| world.feed(*viewer, &wish)));
}

fn numbers(heard: &[Value]) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in heard.iter().filter(|message| message["type"] == "note") {
        let room = message["room"].as_str().expect("a room").to_owned();
        let number = message["payload"]["n"].as_u64().expect("a number");
        found.entry(room).or_default().push(number);
    }
    found
}

#[test]
fn twelve_replays_of_many_rooms_share_the_loop() {
    let mut world = World::new(|config| config.http.max_body_size = 0);
    let rooms = full_rooms(&mut world, 500, 20, 10);
    let viewers: Vec<PeerId> = (0..12).map(|_| world.viewer()).collect();
    ask_for_all(&mut world, &viewers, &rooms);
    world.run_for(10_000);
    check_turns(&mut world, "replays");
    for viewer in viewers {
        let heard = numbers(&world.messages(viewer));
        assert_eq!(heard.len(), 500);
        let all: Vec<u64> = (0..20).collect();
        assert!(heard.values().all(|numbers| *numbers == all));
    }
}

#[test]
fn replays_of_large_entries_share_the_loop() {
    let mut world = World::new(|config| config.http.max_body_size = 0);
    let rooms = full_rooms(&mut world, 4, 5, 700_000);
    let viewers: Vec<PeerId> = (0..12).map(|_| world.viewer()).collect();
    ask_for_all(&mut world, &viewers, &rooms);
    world.run_for(10_000);
    check_turns(&mut world, "replays");
    for viewer in viewers {
        let heard = numbers(&world.messages(viewer));
        assert_eq!(heard.len(), 4);
        assert!(heard.values().all(|numbers| *numbers == [0, 1, 2, 3, 4]));
    }
}

#[test]
fn viewers_who_come_back_at_once_share_the_loop() {
    let mut world = World::new(|_| {});
    let rooms: Vec<String> = (0..100).map(|room| format!("r{room}")).collect();
    let names: Vec<&str> = rooms.iter().map(String::as_str).collect();
    let visits: Vec<Visit> = (0..200).map(|_| Visit::new(&mut world, &names)).collect();
    settle(&mut world);
    visits.iter().for_each(|visit| world.leave(visit.peer));
    full_rooms(&mut world, 100, 20, 100);
    let peers: Vec<PeerId> = visits
        .iter()
        .map(|_| world.connect(Services::BOTH, [127, 0, 0, 1]))
        .collect();
    world.turn(|world| {
        for (peer, visit) in peers.iter().zip(&visits) {
            let path = format!("/ws?session={}", visit.secret);
            world.feed(*peer, upgrade_request(&path, "").as_bytes());
        }
    });
    world.run_for(10_000);
    check_turns(&mut world, "returning viewers");
    for peer in peers {
        let heard = world.messages(peer);
        assert_eq!(heard[0]["payload"]["resumed"], true);
        assert_eq!(heard[1]["type"], "subscription_ack");
        let heard = numbers(&heard);
        let all: Vec<u64> = (0..20).collect();
        assert!(heard.len() == 100 && heard.values().all(|numbers| *numbers == all));
    }
}

#[test]
fn snapshots_of_many_large_tasks_share_the_loop_and_come_before_what_is_live() {
    let mut world = World::new(|_| {});
    let tasks: Vec<String> = (0..300).map(|task| format!("t{task}")).collect();
    for task in &tasks {
        let meta = json!({"text": "x".repeat(20_000)});
        world.report(task, "progress", json!({"progress": 1, "meta": meta}));
    }
    let viewers: Vec<PeerId> = (0..50).map(|_| world.viewer()).collect();
    let wish = json!({"type": "subscribe", "taskIds": tasks});
    let wish = masked(TEXT, wish.to_string().as_bytes());
    world.turn(|world| viewers.iter().for_each(|viewer| world.feed(*viewer, &wish)));
    world.report("t299", "progress", json!({"progress": 50}));
    world.run_for(20_000);
    check_turns(&mut world, "snapshots");
    for viewer in viewers {
        let heard = world.messages(viewer);
        let states = heard
            .iter()
            .filter(|message| message["type"] == "task_progress");
        let mut told: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for state in states {
            let task = state["payload"]["taskId"].as_str().expect("a task");
            told.entry(task).or_default().push(&state["payload"]);
        }
        assert_eq!(told.len(), 300);
        assert!(told.values().all(|states| states[0]["snapshot"] == true));
        assert_eq!(told["t299"].last().expect("a state")["progress"], 50);
    }
}

#[test]
fn a_reader_that_is_postponed_hears_everything_once_and_in_order() {
    let mut world = World::new(|_| {});
    world.postpone_readers();
    let rooms = full_rooms(&mut world, 10, 10, 10);
    let viewers: Vec<PeerId> = (0..5).map(|_| world.viewer()).collect();
    ask_for_all(&mut world, &viewers, &rooms);
    for number in 10..20 {
        let payload = json!({"n": number});
        let note = |room| json!({"type": "note", "room": room, "payload": payload});
        world.post("/api/events", rooms.iter().map(note).collect());
    }
    world.run_for(10_000);
    for viewer in viewers {
        let heard = numbers(&world.messages(viewer));
        let all: Vec<u64> = (0..20).collect();
        assert!(heard.len() == 10 && heard.values().all(|numbers| *numbers == all));
    }
}
