//! What the store is told of sessions: no more than has changed, and all that is needed to go on.

use super::kept::session_key;
use super::kept::{Store, durable, restarted, say, write_to};
use super::visit::{Visit, settle};
use joblight::internals::hub::{Record, Table};
use serde_json::json;

#[test]
fn a_confirmation_is_a_small_row_however_many_rooms_there_are() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["all"]);
    let rooms: Vec<String> = (0..50).map(|room| format!("{room:0200}")).collect();
    let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
    visit.enter(&mut world, &rooms);
    kept.take(&mut world);
    let (rows, bytes) = kept.take_written(Table::Membership);
    assert!((rows, bytes) > (50, 10_000), "{rows} rows, {bytes} bytes");
    kept.take_written(Table::Received);
    kept.take_written(Table::Session);
    for number in 0..3 {
        say(&mut world, "all", number);
        settle(&mut world);
        world.run_for(1_000);
        kept.take(&mut world);
        assert_eq!(kept.take_written(Table::Session), (0, 0));
        assert_eq!(kept.take_written(Table::Membership), (0, 0));
        let (rows, bytes) = kept.take_written(Table::Received);
        assert!(rows == 1 && bytes < 40, "{rows} rows, {bytes} bytes");
    }
}

#[test]
fn a_letter_is_one_row_until_it_has_arrived() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    for _ in 0..20 {
        write_to(&mut world, &visit.id, json!("x".repeat(5_000)));
        kept.take(&mut world);
    }
    let (rows, bytes) = kept.take_written(Table::DirectMessage);
    assert_eq!((rows, kept.count(Table::DirectMessage)), (20, 20));
    assert!(bytes < 20 * 5_200, "{bytes} bytes");
    assert_eq!(kept.take_written(Table::Session).0, 1);
    let again = visit.again(&mut world);
    assert_eq!(again.missed().len(), 20);
    settle(&mut world);
    kept.take(&mut world);
    assert_eq!(kept.count(Table::DirectMessage), 0);
}

#[test]
fn letters_that_make_room_for_others_leave_the_store() {
    let mut world = durable(|config| config.websocket.message_queue_size = 3);
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    for number in 0..5 {
        write_to(&mut world, &visit.id, number);
    }
    kept.take(&mut world);
    assert_eq!(kept.count(Table::DirectMessage), 3);
    let mut world = restarted(2, &kept, |_| {});
    let again = visit.again(&mut world);
    assert_eq!(again.missed(), ["letter 2", "letter 3", "letter 4"]);
}

#[test]
fn a_session_that_ends_takes_all_its_rows_along() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visits = [(); 2].map(|()| Visit::new(&mut world, &["a"]));
    for visit in &visits {
        world.set_answers_pings(visit.peer, false);
        write_to(&mut world, &visit.id, 1);
    }
    kept.take(&mut world);
    for table in [
        Table::Session,
        Table::Received,
        Table::Membership,
        Table::DirectMessage,
    ] {
        assert_eq!(kept.count(table), 2, "{table:?}");
    }
    let path = format!("/api/clients/{}?code=4000", visits[0].id);
    world.call("DELETE", &path, &json!(null));
    kept.take(&mut world);
    for table in [
        Table::Session,
        Table::Received,
        Table::Membership,
        Table::DirectMessage,
    ] {
        assert_eq!(kept.count(table), 1, "{table:?}");
    }
    world.leave(visits[1].peer);
    world.run_for(3_600_000);
    kept.take(&mut world);
    for table in [
        Table::Session,
        Table::Received,
        Table::Membership,
        Table::DirectMessage,
    ] {
        assert_eq!(kept.count(table), 0, "{table:?}");
    }
}

/// The first version of the store kept all of a session in one row.
#[test]
fn a_session_of_the_first_version_goes_on() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a"]);
    say(&mut world, "a", 1);
    say(&mut world, "a", 2);
    kept.take(&mut world);
    let first = kept.entries.values().next().expect("an entry");
    let letter = json!({"serial": 90, "kind": "letter", "payload": "3", "timestamp": 1, "id": "msg_abc123_1"});
    let room = &kept.rows[&(Table::Room, "a".into())];
    let room: serde_json::Value = serde_json::from_str(room).expect("a row");
    let row = json!({
        "connectedAt": 5,
        "received": first.serial,
        "rooms": [["a", room["position"].as_str().expect("a position").replace(":1", ":0")]],
        "mail": [letter],
    });
    let key = session_key(&visit.id);
    kept.rows.retain(|(table, _), _| *table != Table::Received);
    kept.rows
        .insert((Table::Session, key.into()), row.to_string());
    for seed in 2..4 {
        let mut world = restarted(seed, &kept, |_| {});
        kept.take(&mut world);
        assert_eq!(kept.count(Table::DirectMessage), 1);
        let again = visit.again(&mut world);
        assert_eq!(again.recovered(), json!({"a": true}));
        assert_eq!(again.missed(), ["a 2", "letter 3"]);
    }
}

/// The second version listed a session's rooms in its row, and knew no other row of them.
#[test]
fn a_session_of_the_second_version_goes_on_and_its_rooms_become_rows() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a", "b"]);
    world.set_answers_pings(visit.peer, false);
    say(&mut world, "a", 1);
    kept.take(&mut world);
    say(&mut world, "a", 2);
    kept.take(&mut world);
    let places: Vec<_> = kept
        .rows
        .iter()
        .filter(|((table, _), _)| *table == Table::Membership)
        .map(|((_, key), row)| {
            let (_, room) = key.split_once(':').expect("a session and a room");
            json!([room, row.trim_matches('"')])
        })
        .collect();
    assert_eq!(places.len(), 2);
    let key = session_key(&visit.id);
    kept.rows
        .retain(|(table, _), _| *table != Table::Membership);
    let row = json!({"connectedAt": 5, "rooms": places}).to_string();
    kept.rows.insert((Table::Session, key.into()), row);
    let mut world = restarted(2, &kept, |_| {});
    kept.take(&mut world);
    assert_eq!(kept.count(Table::Membership), 2);
    let mut world = restarted(3, &kept, |_| {});
    let again = visit.again(&mut world);
    assert_eq!(again.recovered(), json!({"a": true, "b": true}));
    assert_eq!(again.missed(), ["a 1", "a 2"]);
}

/// A client that enters a room twenty times a second is written once a second, the first time with the next batch.
#[test]
fn a_session_that_changes_all_the_time_is_written_once_a_second() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a"]);
    kept.take(&mut world);
    world.run_for(2_000);
    let mut batches = Vec::new();
    for number in 0..60 {
        visit.enter(&mut world, &[&format!("room {number}")]);
        world.send(
            visit.peer,
            &json!({"type": "leave_room", "room": format!("room {}", number / 2)}),
        );
        world.messages(visit.peer);
        let before = world.millis();
        world.run_for(50);
        while let Some(batch) = super::kept::batch(&mut world) {
            let is_session = |record: &Record| match record {
                Record::Put { table, .. } => matches!(table, Table::Membership | Table::Received),
                Record::Delete { table, .. } => *table == Table::Membership,
                _ => false,
            };
            if batch.records.iter().any(is_session) {
                batches.push(before);
            }
            super::kept::stored(&mut world, batch.seq, Ok(()));
        }
    }
    let first = batches[0];
    let offsets: Vec<u64> = batches.iter().map(|at| (at - first) / 1_000).collect();
    assert_eq!(offsets, [0, 1, 2], "{batches:?}");
}

#[test]
fn a_room_that_a_call_has_promised_does_not_wait_for_its_second() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a"]);
    kept.take(&mut world);
    visit.enter(&mut world, &["b"]);
    kept.take(&mut world);
    visit.enter(&mut world, &["c"]);
    for (method, rows) in [("PUT", 4), ("DELETE", 3)] {
        let path = format!("/api/clients/{}/rooms/d", visit.id);
        let peer = world.connect(joblight::internals::engine::Services::HTTP, [127, 0, 0, 1]);
        let text = super::world::request(method, &path, &json!(null));
        world.say(peer, text.as_bytes());
        assert!(world.heard(peer).is_empty(), "not kept yet");
        let batch = super::kept::batch(&mut world).expect("somebody waits");
        kept.keep(&mut world, batch);
        assert!(!world.heard(peer).is_empty(), "kept");
        assert_eq!(kept.count(Table::Membership), rows, "{method}");
    }
}

#[test]
fn a_clean_end_writes_what_waits_for_its_second() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a"]);
    kept.take(&mut world);
    visit.enter(&mut world, &["b"]);
    kept.take(&mut world);
    visit.enter(&mut world, &["c"]);
    world.run_for(60);
    assert!(super::kept::batch(&mut world).is_none(), "it rests");
    let last = world.engine.last_batch().expect("what waits");
    kept.keep(&mut world, last);
    assert_eq!(kept.count(Table::Membership), 3);
}

/// Positions of sixteen epochs are understood: a row that is never written again must not grow older than that.
#[test]
fn a_room_that_is_only_restored_stays_understood() {
    let mut world = durable(|_| {});
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &["a"]);
    say(&mut world, "a", 1);
    kept.take(&mut world);
    for seed in 2..40 {
        world = restarted(seed, &kept, |_| {});
        kept.take(&mut world);
    }
    let again = visit.again(&mut world);
    assert_eq!(again.recovered(), json!({"a": true}));
}

#[test]
fn rows_without_a_session_go_at_the_next_start() {
    let mut kept = Store::default();
    for (table, key) in [
        (Table::Received, "00000000000000ab"),
        (Table::DirectMessage, "00000000000000ab:0000000000000001"),
        (Table::DirectMessage, "nothing"),
        (Table::Membership, "00000000000000ab:a"),
        (Table::Membership, "nothing"),
    ] {
        kept.rows.insert((table, key.into()), "1".to_owned());
    }
    let mut world = restarted(2, &kept, |_| {});
    kept.take(&mut world);
    for table in [Table::Received, Table::DirectMessage, Table::Membership] {
        assert_eq!(kept.count(table), 0, "{table:?}");
    }
}

/// Bytes put into all tables since this was last asked.
fn bytes_written(kept: &mut Store) -> usize {
    let written = std::mem::take(&mut kept.written);
    written.values().map(|(_, bytes)| bytes).sum()
}

#[test]
fn one_room_more_is_one_small_row_however_many_rooms_there_are() {
    let mut world = durable(|config| config.websocket.max_rooms_per_client = 0);
    let mut kept = Store::default();
    let visit = Visit::new(&mut world, &[]);
    let rooms: Vec<String> = (0..1000).map(|room| format!("{room:0250}")).collect();
    let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
    visit.enter(&mut world, &rooms);
    kept.take(&mut world);
    world.run_for(2_000);
    kept.take(&mut world);
    bytes_written(&mut kept);
    visit.enter(&mut world, &["one more"]);
    visit.enter(&mut world, &["one more"]);
    kept.take(&mut world);
    let bytes = bytes_written(&mut kept);
    assert!((1..300).contains(&bytes), "{bytes} bytes for a room more");
    world.run_for(2_000);
    world.send(
        visit.peer,
        &json!({"type": "unsubscribe", "rooms": ["one more", "never entered"]}),
    );
    kept.take(&mut world);
    let bytes = bytes_written(&mut kept);
    assert!(bytes < 300, "{bytes} bytes for a room less");
}
