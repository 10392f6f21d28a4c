//! What the store is told of sessions: no more than has changed, and all that is needed to go on.

use super::kept::{Kept, durable, restarted, say, write_to};
use super::visit::{Visit, settle};
use joblight::hub::ClientId;
use joblight::hub::journal::Table;
use serde_json::json;

#[test]
fn a_confirmation_is_a_small_row_however_many_rooms_there_are() {
    let mut world = durable(|_| {});
    let mut kept = Kept::default();
    let visit = Visit::new(&mut world, &["all"]);
    let rooms: Vec<String> = (0..50).map(|room| format!("{room:0200}")).collect();
    let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
    visit.enter(&mut world, &rooms);
    kept.take(&mut world);
    let (rows, bytes) = kept.take_written(Table::Session);
    assert!((rows, bytes) > (0, 10_000), "{rows} rows, {bytes} bytes");
    kept.take_written(Table::Received);
    for number in 0..3 {
        say(&mut world, "all", number);
        settle(&mut world);
        kept.take(&mut world);
        assert_eq!(kept.take_written(Table::Session), (0, 0));
        let (rows, bytes) = kept.take_written(Table::Received);
        assert!(rows == 1 && bytes < 40, "{rows} rows, {bytes} bytes");
    }
}

#[test]
fn a_letter_is_one_row_until_it_has_arrived() {
    let mut world = durable(|_| {});
    let mut kept = Kept::default();
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    for _ in 0..20 {
        write_to(&mut world, &visit.id, json!("x".repeat(5_000)));
        kept.take(&mut world);
    }
    let (rows, bytes) = kept.take_written(Table::Letter);
    assert_eq!((rows, kept.count(Table::Letter)), (20, 20));
    assert!(bytes < 20 * 5_200, "{bytes} bytes");
    assert_eq!(kept.take_written(Table::Session).0, 1);
    let again = visit.again(&mut world);
    assert_eq!(again.missed().len(), 20);
    settle(&mut world);
    kept.take(&mut world);
    assert_eq!(kept.count(Table::Letter), 0);
}

#[test]
fn letters_that_make_room_for_others_leave_the_store() {
    let mut world = durable(|config| config.websocket.message_queue_size = 3);
    let mut kept = Kept::default();
    let visit = Visit::new(&mut world, &["a"]);
    world.leave(visit.peer);
    for number in 0..5 {
        write_to(&mut world, &visit.id, number);
    }
    kept.take(&mut world);
    assert_eq!(kept.count(Table::Letter), 3);
    let mut world = restarted(2, &kept, |_| {});
    let again = visit.again(&mut world);
    assert_eq!(again.missed(), ["letter 2", "letter 3", "letter 4"]);
}

#[test]
fn a_session_that_ends_takes_all_its_rows_along() {
    let mut world = durable(|_| {});
    let mut kept = Kept::default();
    let visits = [(); 2].map(|()| Visit::new(&mut world, &["a"]));
    for visit in &visits {
        world.set_answers_pings(visit.peer, false);
        write_to(&mut world, &visit.id, 1);
    }
    kept.take(&mut world);
    for table in [Table::Session, Table::Received, Table::Letter] {
        assert_eq!(kept.count(table), 2, "{table:?}");
    }
    let path = format!("/api/clients/{}?code=4000", visits[0].id);
    world.call("DELETE", &path, &json!(null));
    kept.take(&mut world);
    for table in [Table::Session, Table::Received, Table::Letter] {
        assert_eq!(kept.count(table), 1, "{table:?}");
    }
    world.leave(visits[1].peer);
    world.run_for(3_600_000);
    kept.take(&mut world);
    for table in [Table::Session, Table::Received, Table::Letter] {
        assert_eq!(kept.count(table), 0, "{table:?}");
    }
}

/// The first version of the store kept all of a session in one row.
#[test]
fn a_session_of_the_first_version_goes_on() {
    let mut world = durable(|_| {});
    let mut kept = Kept::default();
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
    let id = ClientId::parse(&visit.id).expect("an id");
    let key = joblight::hub::saved::session_key(id);
    kept.rows.retain(|(table, _), _| *table != Table::Received);
    kept.rows
        .insert((Table::Session, key.into()), row.to_string());
    for seed in 2..4 {
        let mut world = restarted(seed, &kept, |_| {});
        kept.take(&mut world);
        assert_eq!(kept.count(Table::Letter), 1);
        let again = visit.again(&mut world);
        assert_eq!(again.recovered(), json!({"a": true}));
        assert_eq!(again.missed(), ["a 2", "letter 3"]);
    }
}

#[test]
fn rows_without_a_session_go_at_the_next_start() {
    let mut kept = Kept::default();
    for (table, key) in [
        (Table::Received, "00000000000000ab"),
        (Table::Letter, "00000000000000ab:0000000000000001"),
        (Table::Letter, "nothing"),
    ] {
        kept.rows.insert((table, key.into()), "1".to_owned());
    }
    let mut world = restarted(2, &kept, |_| {});
    kept.take(&mut world);
    assert_eq!(kept.count(Table::Received) + kept.count(Table::Letter), 0);
}
