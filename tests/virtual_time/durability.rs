//! What is promised to be kept is answered when it is, and what is not is said to be not; the store is the test itself.

use super::visit::Visit;
use super::world::Heard;
use super::world::{PeerId, World, request};
use joblight::Config;
use joblight::config::Publish;
use joblight::internals::engine::{Batch, Input, Restored, Services};
use joblight::internals::hub::Record;
use joblight::internals::hub::Table;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn durable() -> World {
    let mut world = World::new(|_| {});
    let now = world.now();
    world.engine.restore(now, &Restored::default());
    world
}

fn batch(world: &mut World) -> Option<Batch> {
    world.batch()
}

fn stored(world: &mut World, seq: u64, result: Result<(), &str>) {
    let now = world.now();
    let result = result.map_err(str::to_owned);
    world.turn(|world| {
        world
            .engine
            .handle_input(now, Input::Appended { seq, result })
    });
}

/// A connection that posts events and waits for no answer.
fn producer(world: &mut World) -> PeerId {
    world.connect(Services::HTTP, [127, 0, 0, 1])
}

fn post(world: &mut World, producer: PeerId, task: &str) {
    let path = format!("/api/tasks/{task}/completed");
    let text = request("POST", &path, &json!({"result": 1}));
    world.say(producer, text.as_bytes());
}

/// The status and the body of every answer that has come.
fn answers(world: &mut World, producer: PeerId) -> Vec<(u16, Value)> {
    let heard = world.heard(producer).into_iter();
    heard
        .filter_map(|(_, heard)| match heard {
            Heard::Answer(status, body) => Some((status, body)),
            _ => None,
        })
        .collect()
}

fn health(world: &mut World) -> Value {
    let health = world.document("/health");
    json!([health["status"], health["storage"]["status"]])
}

#[test]
fn an_answer_waits_until_what_it_is_about_is_kept() {
    let mut world = durable();
    let (one, other) = (producer(&mut world), producer(&mut world));
    post(&mut world, one, "a");
    let first = batch(&mut world).expect("somebody waits");
    assert_eq!(answers(&mut world, one), []);
    post(&mut world, other, "b");
    assert!(batch(&mut world).is_none(), "one is under way");
    stored(&mut world, first.seq, Ok(()));
    assert_eq!(answers(&mut world, one)[0].0, 200);
    assert_eq!(answers(&mut world, other), [], "it is about the next");
    let second = batch(&mut world).expect("the other waits");
    stored(&mut world, second.seq, Ok(()));
    assert_eq!(answers(&mut world, other)[0].0, 200);
    assert!(batch(&mut world).is_none());
}

#[test]
fn what_a_connection_asks_meanwhile_waits_its_turn() {
    let mut world = durable();
    let producer = producer(&mut world);
    let two = request("POST", "/api/tasks/a/started", &json!({}))
        + &request("GET", "/api/tasks/a", &Value::Null);
    world.say(producer, two.as_bytes());
    world.say(producer, request("GET", "/health", &Value::Null).as_bytes());
    assert_eq!(answers(&mut world, producer), []);
    let batch = batch(&mut world).expect("somebody waits");
    stored(&mut world, batch.seq, Ok(()));
    let answers = answers(&mut world, producer);
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0].1["accepted"], 1);
    assert_eq!(answers[1].1["taskId"], "a");
    assert_eq!(answers[2].1["status"], "healthy");
}

#[test]
fn a_store_that_fails_is_told_everything_anew_when_it_works_again() {
    let mut world = durable();
    let viewer = world.watcher("b");
    let producer = producer(&mut world);
    post(&mut world, producer, "a");
    let lost = batch(&mut world).expect("somebody waits");
    stored(&mut world, lost.seq, Err("joblight.db: no space left"));
    let (status, problem) = answers(&mut world, producer).remove(0);
    assert_eq!(
        (status, &problem["code"]),
        (503, &json!("storage_unavailable"))
    );
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(
        detail.ends_with("not kept: joblight.db: no space left"),
        "{detail}"
    );
    assert_eq!(health(&mut world), json!(["degraded", "failing"]));
    post(&mut world, producer, "b");
    assert_eq!(answers(&mut world, producer)[0].0, 503);
    let heard = world.messages(viewer);
    assert_eq!(heard.last().expect("live")["type"], "task_completed");
    assert!(batch(&mut world).is_none(), "it rests");
    world.run_for(1000);
    let probe = batch(&mut world).expect("it is tried again");
    assert_eq!(probe.records.len(), 1, "{:?}", probe.records);
    stored(&mut world, probe.seq, Ok(()));
    let all = batch(&mut world).expect("it works");
    assert_eq!(all.records[0], Record::Clear);
    let text = format!("{:?}", all.records);
    for kept in ["task:a", "task:b", "session_key"] {
        assert!(text.contains(kept), "{kept} is missing");
    }
    stored(&mut world, all.seq, Ok(()));
    assert_eq!(health(&mut world), json!(["healthy", "ok"]));
    post(&mut world, producer, "c");
    let next = batch(&mut world).expect("somebody waits");
    assert!(!next.records.contains(&Record::Clear));
    stored(&mut world, next.seq, Ok(()));
    assert_eq!(answers(&mut world, producer)[0].0, 200);
}

#[test]
fn the_news_of_a_workspace_waits_and_a_list_behind_it() {
    let mut world = durable();
    let (maker, reader) = (world.upgrade("/", ""), world.upgrade("/", ""));
    let create = json!({"type": "workspace.create", "data": {"name": "W"}});
    world.send(maker, &create);
    world.send(reader, &json!({"type": "workspace.list"}));
    assert_eq!(world.messages(reader), [Value::Null; 0]);
    let first = batch(&mut world).expect("somebody waits");
    stored(&mut world, first.seq, Ok(()));
    let heard = world.messages(reader);
    assert_eq!(heard[0]["type"], "workspace.created");
    assert_eq!(heard[1]["type"], "workspace.list");
    assert_eq!(world.messages(maker)[0], heard[0]);
    world.send(maker, &create);
    let second = batch(&mut world).expect("somebody waits");
    stored(&mut world, second.seq, Err("full"));
    let heard = world.messages(maker);
    assert_eq!(
        heard[0]["type"], "workspace.created",
        "live delivery goes on"
    );
    assert_eq!(heard[1]["message"], "done, but not kept: full");
}

#[test]
fn a_letter_that_waits_and_a_place_in_a_room_are_promised_and_what_has_gone_out_is_not() {
    let mut world = durable();
    let here = Visit::new(&mut world, &["a"]);
    let away = Visit::new(&mut world, &["a"]);
    world.leave(away.peer);
    let one = producer(&mut world);
    let letter = json!({"type": "letter", "payload": 1});
    let send = |visit: &Visit| {
        let path = format!("/api/clients/{}/send", visit.id);
        request("POST", &path, &letter)
    };
    world.say(one, send(&here).as_bytes());
    let answer = (200, json!({"delivered": 1}));
    assert_eq!(answers(&mut world, one), [answer]);
    let place = format!("/api/clients/{}/rooms/b", here.id);
    for (text, status) in [
        (send(&away), 200),
        (request("PUT", &place, &Value::Null), 204),
        (request("DELETE", &place, &Value::Null), 204),
    ] {
        world.say(one, text.as_bytes());
        assert_eq!(answers(&mut world, one), [], "not kept yet: {text}");
        let batch = batch(&mut world).expect("somebody waits");
        stored(&mut world, batch.seq, Ok(()));
        assert_eq!(answers(&mut world, one)[0].0, status, "{text}");
    }
    world.say(one, send(&away).as_bytes());
    let batch = batch(&mut world).expect("somebody waits");
    stored(&mut world, batch.seq, Err("full"));
    assert_eq!(answers(&mut world, one)[0].0, 503);
    world.say(one, send(&here).as_bytes());
    assert_eq!(answers(&mut world, one)[0].0, 200, "it has gone out");
}

#[test]
fn a_place_that_the_client_took_itself_a_moment_ago_is_kept_before_a_call_confirms_it() {
    let mut world = durable();
    let visit = Visit::new(&mut world, &["a"]);
    for room in ["b", "c"] {
        assert!(batch(&mut world).is_none(), "nobody waits");
        world.run_for(50);
        let batch = batch(&mut world).expect("its rooms");
        stored(&mut world, batch.seq, Ok(()));
        visit.enter(&mut world, &[room]);
    }
    world.run_for(50);
    assert!(batch(&mut world).is_none(), "it was written a moment ago");
    let caller = producer(&mut world);
    let place = format!("/api/clients/{}/rooms/c", visit.id);
    world.say(caller, request("PUT", &place, &Value::Null).as_bytes());
    assert_eq!(answers(&mut world, caller), [], "not kept yet");
    let batch = batch(&mut world).expect("somebody waits");
    let text = format!("{:?}", batch.records);
    assert!(text.contains(":c\""), "{text}");
    stored(&mut world, batch.seq, Ok(()));
    assert_eq!(answers(&mut world, caller)[0].0, 204);
}

#[test]
fn the_end_of_a_log_that_was_stored_is_kept_before_a_call_confirms_it() {
    let mut world = World::new(|config| {
        config.websocket.session_ttl = 0;
        config.broadcaster.keep_completed = 60_000;
    });
    let now = world.now();
    world.engine.restore(now, &Restored::default());
    let visit = Visit::new(&mut world, &["wall"]);
    let text = request("POST", "/api/rooms/wall/broadcast", &json!({"payload": 1}));
    let caller = producer(&mut world);
    world.say(caller, text.as_bytes());
    keep_all(&mut world);
    assert_eq!(answers(&mut world, caller)[0].0, 200);
    world.run_for(120_000);
    keep_all(&mut world);
    let place = format!("/api/clients/{}/rooms/wall", visit.id);
    let caller = producer(&mut world);
    world.say(caller, request("DELETE", &place, &Value::Null).as_bytes());
    assert_eq!(answers(&mut world, caller), [], "not kept yet");
    keep_all(&mut world);
    assert_eq!(answers(&mut world, caller)[0].0, 204);
}

/// The store takes all that is due.
fn keep_all(world: &mut World) {
    world.run_for(50);
    while let Some(batch) = batch(world) {
        stored(world, batch.seq, Ok(()));
    }
}

#[test]
fn a_producer_that_ends_its_side_still_gets_its_answer() {
    let mut world = durable();
    let producer = producer(&mut world);
    post(&mut world, producer, "a");
    let batch = batch(&mut world).expect("somebody waits");
    world.end(producer);
    stored(&mut world, batch.seq, Ok(()));
    assert_eq!(answers(&mut world, producer)[0].0, 200);
    assert!(world.is_closed(producer));
}

#[test]
fn an_answer_that_waits_for_a_slow_store_outlives_the_connection_timeout() {
    let mut world = World::new(|config| config.websocket.connection_timeout = 2_000);
    let now = world.now();
    world.engine.restore(now, &Restored::default());
    let producer = producer(&mut world);
    post(&mut world, producer, "a");
    let batch = batch(&mut world).expect("somebody waits");
    world.run_for(4_900);
    stored(&mut world, batch.seq, Ok(()));
    assert_eq!(answers(&mut world, producer)[0].0, 200);
    world.run_for(1_900);
    assert!(!world.is_closed(producer), "it may ask on");
    world.run_for(2_100);
    assert!(world.is_closed(producer), "it asks nothing");
}

#[test]
fn nothing_that_nobody_waits_for_is_written_at_once() {
    let mut world = durable();
    world.viewer();
    assert!(batch(&mut world).is_none());
    world.run_for(50);
    assert!(batch(&mut world).is_some(), "its session");
}

#[test]
fn the_row_of_a_session_that_has_ended_is_not_written_again() {
    let mut world = World::new(|config| config.websocket.max_clients = 1);
    let now = world.now();
    world.engine.restore(now, &Restored::default());
    world.viewer();
    world.upgrade("/ws", "");
    assert!(batch(&mut world).is_none(), "nobody waits");
    world.run_for(50);
    let batch = batch(&mut world).expect("sessions");
    let mut kept = BTreeSet::new();
    for record in batch.records {
        match record {
            Record::Put {
                table: Table::Session,
                key,
                ..
            } => drop(kept.insert(key)),
            Record::Delete {
                table: Table::Session,
                key,
            } => drop(kept.remove(&key)),
            _ => {}
        }
    }
    assert_eq!(kept.len(), 1, "the second was refused");
}

/// The server after a crash that has kept these.
fn restarted(kept: Batch, change: impl FnOnce(&mut Config)) -> World {
    let mut restored = Restored::default();
    for record in kept.records {
        match record {
            Record::Put { table, key, value } => restored.rows.push((table, key, value)),
            Record::Append(entry) => restored.entries.push(entry),
            Record::Remember(id) => restored.ids.push(id),
            other => panic!("nothing was taken back: {other:?}"),
        }
    }
    let mut world = World::with_seed(1, change);
    let now = world.now();
    world.engine.restore(now, &restored);
    world
}

#[test]
fn an_event_that_was_kept_is_a_repeat_after_a_restart() {
    let mut world = durable();
    let one = producer(&mut world);
    let payload = json!({"taskId": "a", "documentId": 7});
    let item = json!({"type": "document_generated", "id": "e1", "payload": payload});
    let text = request("POST", "/api/events", &item);
    world.say(one, text.as_bytes());
    let kept = batch(&mut world).expect("somebody waits");
    let mut world = restarted(kept, |_| {});
    let again = producer(&mut world);
    world.say(again, text.as_bytes());
    let anew = batch(&mut world).expect("epochs");
    stored(&mut world, anew.seq, Ok(()));
    let answers = answers(&mut world, again);
    assert_eq!((answers[0].0, &answers[0].1["dropped"]), (200, &json!(1)));
}

#[test]
fn what_a_client_said_itself_does_not_come_back_to_it_after_a_restart() {
    let open = |config: &mut Config| config.websocket.publish = Publish::Members;
    let mut world = World::new(open);
    let now = world.now();
    world.engine.restore(now, &Restored::default());
    let (one, other) = (
        Visit::new(&mut world, &["lobby"]),
        Visit::new(&mut world, &["lobby"]),
    );
    for visit in [&one, &other] {
        world.set_answers_pings(visit.peer, false);
        let text = json!({"type": "room_broadcast", "room": "lobby", "message": visit.id});
        world.send(visit.peer, &text);
    }
    assert!(batch(&mut world).is_none(), "nobody waits");
    world.run_for(50);
    let kept = batch(&mut world).expect("sessions and entries");
    let mut world = restarted(kept, open);
    for (visit, heard) in [(&one, &other), (&other, &one)] {
        let again = visit.again(&mut world);
        assert_eq!(again.recovered(), json!({"lobby": true}));
        let missed = again.missed();
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert!(missed[0].contains(&heard.id), "{missed:?}");
    }
}
