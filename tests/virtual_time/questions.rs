//! Questions to the application whose senders go away and come back: each ends with an answer or an error.

use super::visit::Visit;
use super::world::{PeerId, World};
use serde_json::{Value, json};

/// A world with an application that takes one question at a time.
fn world() -> (World, PeerId) {
    let mut world = World::new(|config| {
        config.routes.types = vec!["chat.*".to_owned()];
        config.routes.max_pending = 1;
        config.routes.timeout = 5_000;
    });
    let backend = world.upgrade("/backend", "");
    (world, backend)
}

/// A client asks; the name of the question.
fn ask(world: &mut World, visit: &Visit, backend: PeerId) -> Value {
    let question = json!({"type": "chat.send", "payload": {}, "id": 7});
    world.send(visit.peer, &question);
    world.messages(backend)[0]["requestId"].clone()
}

#[test]
fn a_sender_that_has_come_back_counts_as_one_that_is_here() {
    let (mut world, backend) = world();
    let visit = Visit::new(&mut world, &["a"]);
    let other = Visit::new(&mut world, &["a"]);
    let request = ask(&mut world, &visit, backend);
    world.leave(visit.peer);
    let again = visit.again(&mut world);
    assert!(again.resumed);
    world.send(other.peer, &json!({"type": "chat.send", "payload": {}}));
    let refused = world.messages(other.peer);
    assert_eq!(refused[0]["payload"]["code"], "limit_exceeded");
    world.send(backend, &json!({"requestId": request, "payload": 1}));
    let told = world.messages(again.peer);
    assert_eq!(
        (&told[0]["type"], &told[0]["replyTo"]),
        (&json!("chat.send"), &json!(7))
    );
}

#[test]
fn an_answer_to_a_client_that_is_away_waits_for_it() {
    let (mut world, backend) = world();
    let visit = Visit::new(&mut world, &["a"]);
    let request = ask(&mut world, &visit, backend);
    world.leave(visit.peer);
    world.send(backend, &json!({"requestId": request, "payload": 1}));
    let again = visit.again(&mut world);
    assert_eq!(again.missed(), ["chat.send"]);
    assert_eq!(again.first[1]["payload"], 1);
}

#[test]
fn an_error_to_a_client_that_is_away_waits_for_it() {
    let (mut world, backend) = world();
    let visit = Visit::new(&mut world, &["a"]);
    let request = ask(&mut world, &visit, backend);
    world.leave(visit.peer);
    let error = json!({"code": "no_stock", "message": "sold out"});
    world.send(backend, &json!({"requestId": request, "error": error}));
    let again = visit.again(&mut world);
    assert_eq!(again.first[1]["type"], "error");
    let told = json!({"code": "no_stock", "message": "sold out", "replyTo": 7});
    assert_eq!(again.first[1]["payload"], told);
}

#[test]
fn who_was_away_when_its_question_was_given_up_is_told() {
    let (mut world, backend) = world();
    let visit = Visit::new(&mut world, &["a"]);
    ask(&mut world, &visit, backend);
    world.leave(visit.peer);
    world.run_for(6_000);
    let again = visit.again(&mut world);
    assert_eq!(again.first[1]["payload"]["code"], "internal");
}

#[test]
fn who_was_away_when_its_question_made_way_is_told() {
    let (mut world, backend) = world();
    let visit = Visit::new(&mut world, &["a"]);
    let other = Visit::new(&mut world, &["a"]);
    ask(&mut world, &visit, backend);
    world.leave(visit.peer);
    ask(&mut world, &other, backend);
    let again = visit.again(&mut world);
    assert_eq!(again.first[1]["payload"]["code"], "limit_exceeded");
}
