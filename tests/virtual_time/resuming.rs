//! What is said of losses, and what counts as arrived: the corners of coming back.

use super::masked::{PONG, TEXT, masked};
use super::visit::{Visit, position_of, publish, settle};
use super::world::World;
use serde_json::{Value, json};

#[test]
fn a_log_that_no_longer_reaches_back_is_admitted_and_the_others_are_made_up_for() {
    let mut world = World::new(|config| config.websocket.message_queue_size = 4);
    let visit = Visit::new(&mut world, &["a", "b", "task:t", "task:u"]);
    settle(&mut world);
    world.leave(visit.peer);
    publish(&mut world, "b", 0);
    for number in 0..5 {
        publish(&mut world, "a", number);
        world.report("t", "started", json!({"attempt": number + 1}));
    }
    world.report("u", "started", json!({}));
    let again = visit.again(&mut world);
    let recovered = json!({"a": false, "b": true, "task:t": false, "task:u": true});
    assert_eq!(again.recovered(), recovered);
    let mut missed = again.missed();
    let states = missed.split_off(missed.len() - 2);
    assert_eq!(states, ["task_progress", "task_progress"]);
    let is_turn = |message: &String| message == "task_started";
    let turns = missed.iter().filter(|message| is_turn(message)).count();
    assert_eq!(turns, 4 + 1, "all that is there of `t`, and that of `u`");
    missed.retain(|message| !is_turn(message));
    assert_eq!(missed, ["b 0", "a 1", "a 2", "a 3", "a 4"]);
    let states = &again.first[again.first.len() - 2..];
    assert!(
        states
            .iter()
            .all(|state| state["payload"]["snapshot"] == true)
    );
    publish(&mut world, "a", 5);
    assert_eq!(again.heard(&mut world), ["a 5"]);
    settle(&mut world);
    world.leave(again.peer);
    let third = again.again(&mut world);
    assert_eq!(third.recovered()["a"], true, "it knows of the loss");
}

#[test]
fn a_loss_is_admitted_until_that_has_arrived() {
    let mut world = World::new(|config| config.websocket.message_queue_size = 2);
    let visit = Visit::new(&mut world, &["a", "b"]);
    settle(&mut world);
    world.leave(visit.peer);
    for number in 0..3 {
        publish(&mut world, "a", number);
    }
    publish(&mut world, "b", 3);
    for _ in 0..3 {
        let deaf = visit.again_reading(&mut world, 0);
        world.run_for(100);
        world.leave(deaf);
    }
    let again = visit.again(&mut world);
    assert_eq!(again.recovered(), json!({"a": false, "b": true}));
    assert_eq!(again.missed(), ["a 1", "a 2", "b 3"]);
    settle(&mut world);
    let third = again.again(&mut world);
    assert_eq!(third.recovered(), json!({"a": true, "b": true}));
    assert_eq!(third.missed(), Vec::<String>::new());
}

#[test]
fn a_loss_that_was_told_to_a_connection_that_broke_is_told_again() {
    let mut world = World::new(|config| {
        config.websocket.message_queue_size = 2;
        config.websocket.max_outbox_size = 100;
    });
    let visit = Visit::new(&mut world, &["a"]);
    world.set_answers_pings(visit.peer, false);
    publish(&mut world, "a", 0);
    settle(&mut world);
    let pings = world.pings(visit.peer);
    world.stall(visit.peer, 0);
    for number in 1..9 {
        publish(&mut world, "a", number);
    }
    world.stall(visit.peer, 0);
    let unsent = world.unsent_bytes(visit.peer);
    world.read(visit.peer, Some(unsent));
    assert!(world.unsent_bytes(visit.peer) > 0, "the loss is being told");
    // The answer to what was asked before says nothing of it.
    world.pong(visit.peer, &pings[0]);
    world.leave(visit.peer);
    assert_eq!(visit.again(&mut world).recovered(), json!({"a": false}));
}

#[test]
fn coming_back_again_before_anything_arrived_loses_nothing() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a", "b"]);
    settle(&mut world);
    world.leave(visit.peer);
    publish(&mut world, "a", 1);
    visit.write_to(&mut world, json!(2));
    let deaf = visit.again_reading(&mut world, 0);
    publish(&mut world, "b", 3);
    visit.write_to(&mut world, json!(4));
    let half = visit.again_reading(&mut world, 700);
    publish(&mut world, "a", 5);
    let again = visit.again(&mut world);
    assert_eq!(
        again.missed(),
        ["a 1", "letter 2", "b 3", "letter 4", "a 5"]
    );
    world.run_for(60_000);
    assert!(world.is_closed(deaf) && world.is_closed(half));
    assert!(!world.is_closed(again.peer));
}

/// A client that owes an answer about what it was sent, and its wish for older messages, not yet said.
fn wish_with_a_question_open(world: &mut World) -> (Visit, Vec<Vec<u8>>, Value) {
    let since = position_of(world, "old");
    publish(world, "old", 1);
    publish(world, "old", 2);
    let visit = Visit::new(world, &["a"]);
    world.set_answers_pings(visit.peer, false);
    publish(world, "a", 3);
    settle(world);
    let pings = world.pings(visit.peer);
    assert_eq!(pings.len(), 1);
    let wish = json!({"type": "subscribe", "rooms": ["old"], "since": {"old": since}});
    (visit, pings, wish)
}

#[test]
fn an_old_answer_does_not_confirm_what_was_sent_again() {
    let mut world = World::new(|_| {});
    let (visit, pings, wish) = wish_with_a_question_open(&mut world);
    world.stall(visit.peer, 0);
    // The answer to the ping was sent before the answer to the wish could arrive.
    let wish = masked(TEXT, wish.to_string().as_bytes());
    let both = [wish, masked(PONG, &pings[0])].concat();
    world.say(visit.peer, &both);
    world.leave(visit.peer);
    let again = visit.again(&mut world);
    assert_eq!(again.missed(), ["old 1", "old 2", "a 3"]);
}

#[test]
fn what_one_room_is_asked_for_again_does_not_repeat_the_others() {
    let mut world = World::new(|config| config.websocket.message_queue_size = 3);
    let answer = world.post("/api/rooms/old/broadcast", json!({"payload": 0}));
    publish(&mut world, "old", 1);
    let visit = Visit::new(&mut world, &["a", "b"]);
    publish(&mut world, "b", 0);
    for number in 0..9 {
        publish(&mut world, "a", number);
        settle(&mut world);
    }
    world.set_answers_pings(visit.peer, false);
    let wish = json!({"type": "subscribe", "rooms": ["old"], "since": {"old": answer["position"]}});
    world.send(visit.peer, &wish);
    world.leave(visit.peer);
    let again = visit.again(&mut world);
    assert_eq!(
        again.recovered(),
        json!({"a": true, "b": true, "old": true})
    );
    assert_eq!(again.missed(), ["old 1"]);
}

#[test]
fn whoever_answers_only_the_newest_ping_is_asked_again() {
    let mut world = World::new(|_| {});
    let visit = Visit::new(&mut world, &["a"]);
    world.set_answers_pings(visit.peer, false);
    publish(&mut world, "a", 1);
    world.run_for(30_001);
    let pings = world.pings(visit.peer);
    assert_eq!(pings.len(), 2, "a question, and a heartbeat");
    world.set_answers_pings(visit.peer, true);
    world.pong(visit.peer, pings.last().expect("the newest"));
    settle(&mut world);
    world.leave(visit.peer);
    assert_eq!(visit.again(&mut world).missed(), Vec::<String>::new());
}

#[test]
fn what_a_slow_reader_was_sent_late_is_asked_for_at_once() {
    let mut world = World::new(|config| config.websocket.max_outbox_size = 500);
    let visit = Visit::new(&mut world, &["a"]);
    settle(&mut world);
    world.stall(visit.peer, 0);
    for number in 0..20 {
        publish(&mut world, "a", number);
    }
    world.read(visit.peer, None);
    world.leave(visit.peer);
    assert_eq!(visit.again(&mut world).missed(), Vec::<String>::new());
}

#[test]
fn an_old_answer_after_an_unasked_pong_does_not_confirm_what_was_sent_again() {
    let mut world = World::new(|_| {});
    let (visit, pings, wish) = wish_with_a_question_open(&mut world);
    world.send(visit.peer, &wish);
    // A sign of life that nobody asked for (RFC 6455 section 5.5.3), then the answer to the first question: both were
    // sent before anything of the answer to the wish arrived, which is lost with the connection.
    world.pong(visit.peer, b"");
    world.pong(visit.peer, &pings[0]);
    world.leave(visit.peer);
    let mut missed = visit.again(&mut world).missed();
    missed.retain(|message| message.starts_with("old"));
    assert_eq!(missed, ["old 1", "old 2"]);
}
