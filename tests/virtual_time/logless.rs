//! Rooms without logs (`websocket.message_queue_size = 0`) and their traces in the store.

use super::kept::{Store, durable, restarted, say};
use super::visit::Visit;
use super::world::World;
use joblight::Config;
use joblight::internals::hub::Table;
use serde_json::{Value, json};

fn logless(config: &mut Config) {
    config.websocket.message_queue_size = 0;
}

fn position(world: &World) -> Value {
    let position = world.engine.inspect().position("a");
    position.expect("the room").into()
}

#[test]
fn a_loss_is_admitted_after_a_restart_however_much_is_lost() {
    for count in [1, 31, 32, 33, 64] {
        let mut world = durable(logless);
        let mut kept = Store::default();
        let visit = Visit::new(&mut world, &["a"]);
        let since = position(&world);
        world.set_answers_pings(visit.peer, false);
        for number in 0..count {
            say(&mut world, "a", number);
            kept.take(&mut world);
        }
        let mut world = restarted(2, &kept, logless);
        let viewer = world.viewer();
        let wish = json!({"type": "subscribe", "rooms": ["a"], "since": {"a": since}});
        world.send(viewer, &wish);
        let recovered = &world.messages(viewer)[0]["payload"]["recovered"];
        assert_eq!(*recovered, json!({"a": false}), "{count} are missing");
        let again = visit.again(&mut world);
        assert_eq!(
            again.recovered(),
            json!({"a": false}),
            "{count} are missing"
        );
    }
}

#[test]
fn nothing_is_left_in_the_store_of_rooms_that_are_gone() {
    let mut world = durable(logless);
    let mut kept = Store::default();
    for life in 0..20 {
        let room = format!("room{life}");
        let visit = Visit::new(&mut world, &[&room]);
        for number in 0..31 {
            say(&mut world, &room, number);
        }
        kept.take(&mut world);
        let leave = json!({"type": "leave_room", "room": room});
        world.send(visit.peer, &leave);
        kept.take(&mut world);
    }
    assert_eq!((kept.entries.len(), kept.count(Table::Room)), (0, 0));
}

#[test]
fn a_room_that_comes_again_keeps_nothing_of_its_earlier_life() {
    let mut world = durable(logless);
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &[]);
    for life in 0..3 {
        visit.enter(&mut world, &["a"]);
        say(&mut world, "a", life);
        let leave = json!({"type": "leave_room", "room": "a"});
        world.send(visit.peer, &leave);
        world.messages(visit.peer);
    }
    visit.enter(&mut world, &["a"]);
    say(&mut world, "a", 9);
    kept.take(&mut world);
    assert_eq!((kept.entries.len(), kept.count(Table::Room)), (1, 1));
}

#[test]
fn a_room_without_members_is_gone_with_its_message() {
    let mut world = World::new(logless);
    for number in 0..10 {
        let path = format!("/api/rooms/r{number}/broadcast");
        assert_eq!(
            world.call("POST", &path, &json!({"payload": number})).0,
            200
        );
    }
    assert_eq!(world.engine.inspect().rooms().len(), 0);
    world.assert_empty();
}

#[test]
fn a_message_to_a_room_that_nobody_is_in_has_no_position() {
    let mut world = World::new(logless);
    let publish = |world: &mut World| {
        let message = json!({"payload": 1});
        world.post("/api/rooms/a/broadcast", message)["position"].clone()
    };
    assert_eq!(publish(&mut world), Value::Null);
    let _visit = Visit::new(&mut world, &["a"]);
    let told = publish(&mut world);
    assert_eq!(told, position(&world), "its reader can ask by it");
}
