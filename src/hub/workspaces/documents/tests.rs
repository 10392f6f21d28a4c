//! Every wish that is refused, the order, and random wishes against a plain list that is restored after every step.

use super::*;
use crate::base::time::{Now, Time};
use crate::hub::durable::record::Record;
use crate::hub::durable::record::Table;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const NO_LIMITS: WorkspacesConfig = WorkspacesConfig {
    max_workspaces: 0,
    max_size: 0,
    max_total_size: 0,
};

/// Workspaces with what they need from outside.
struct Desk {
    settings: HubSettings,
    workspaces: Workspaces,
    random: Random,
    wall_ms: u64,
    records: Vec<Record>,
}

impl Desk {
    fn new(limits: WorkspacesConfig) -> Self {
        Self {
            settings: HubSettings {
                workspaces: limits,
                ..HubSettings::unlimited()
            },
            records: Vec::new(),
            workspaces: Workspaces::new([1, 2]),
            random: Random::from_seed([5; 32]),
            wall_ms: 1000,
        }
    }

    fn ask(&mut self, verb: &str, wish: &str) -> Result<Edited, Fault> {
        let now = Now {
            at: Time::ZERO,
            wall_ms: self.wall_ms,
        };
        let settings = &self.settings;
        let moment = Moment { now, settings };
        let wish = Members::parse(wish).unwrap();
        let answer = match verb {
            "create" => self.workspaces.create(moment, wish, &mut self.random),
            "update" => self.workspaces.update(moment, wish),
            "delete" => self.workspaces.delete(&wish),
            "reorder" => self.workspaces.reorder(&wish),
            verb => panic!("nobody can {verb}"),
        };
        let answer = answer.map(|edit| self.workspaces.apply(edit, &mut self.records));
        self.workspaces.check_invariants();
        answer
    }

    /// What a wish is refused for; nothing may have changed.
    fn fault(&mut self, verb: &str, wish: &str) -> Fault {
        let before = self.workspaces.list();
        let fault = self
            .ask(verb, wish)
            .expect_err("the wish cannot be granted");
        assert_eq!(self.workspaces.list(), before, "{verb} {wish}");
        fault
    }

    fn ids(&self) -> Vec<String> {
        let list: Value = serde_json::from_str(&self.workspaces.list()).unwrap();
        let list = list["workspaces"].as_array().unwrap();
        list.iter()
            .enumerate()
            .map(|(place, workspace)| {
                assert_eq!(workspace["order"], place, "places are dense");
                workspace["id"].as_str().unwrap().to_owned()
            })
            .collect()
    }
}

fn wrong(field: Field, found: &str) -> Fault {
    Fault::Wrong {
        field,
        found: found.into(),
    }
}

#[test]
fn a_workspace_keeps_the_fields_it_was_given_in_their_order() {
    let mut desk = Desk::new(NO_LIMITS);
    let wish = r#"{"zoom":1.50,"id":"w","name":"A \"b\"","none":null,"order":7,"createdAt":1,"layout":{"b":1,"a":[]}}"#;
    let change = desk.ask("create", wish).unwrap();
    let document = concat!(
        r#"{"id":"w","name":"A \"b\"","order":0,"createdAt":1000,"updatedAt":1000,"#,
        r#""zoom":1.50,"none":null,"layout":{"b":1,"a":[]}}"#
    );
    assert_eq!(
        (change.kind, &*change.payload),
        ("workspace.created", document)
    );
    assert_eq!(desk.workspaces.document("w").as_deref(), Some(document));
    desk.wall_ms = 2000;
    let patch = r#"{"id":"w","layout":{"b":null,"c":2},"zoom":null,"name":"B","order":9,"createdAt":5,"updatedAt":6}"#;
    let change = desk.ask("update", patch).unwrap();
    assert_eq!(change.kind, "workspace.updated");
    assert_eq!(
        change.payload,
        r#"{"id":"w","name":"B","order":0,"createdAt":1000,"updatedAt":2000,"none":null,"layout":{"a":[],"c":2}}"#
    );
    assert_eq!(
        desk.workspaces.list(),
        format!("{{\"workspaces\":[{}]}}", change.payload)
    );
}

#[test]
fn ids_are_made_when_none_is_given() {
    let mut desk = Desk::new(NO_LIMITS);
    desk.ask("create", r#"{"name":"a"}"#).unwrap();
    desk.ask("create", r#"{"name":"a","id":null}"#).unwrap();
    let ids = desk.ids();
    assert_ne!(ids[0], ids[1]);
    assert!(
        ids.iter()
            .all(|id| id.starts_with("workspace_") && id.len() == 26),
        "{ids:?}"
    );
}

#[test]
fn what_is_wrong_changes_nothing() {
    let mut desk = Desk::new(NO_LIMITS);
    desk.ask("create", r#"{"name":"a","id":"a"}"#).unwrap();
    desk.ask("create", r#"{"name":"b","id":"b"}"#).unwrap();
    let long = format!(r#"{{"name":"x","id":"{}"}}"#, "x".repeat(257));
    let cases = [
        ("create", "{}", Fault::Missing(Field::Name)),
        ("create", r#"{"name":null}"#, wrong(Field::Name, "null")),
        (
            "create",
            r#"{"name":" \t"}"#,
            wrong(Field::Name, r#"" \t""#),
        ),
        ("create", r#"{"name":5}"#, wrong(Field::Name, "5")),
        ("create", r#"{"name":"x","id":5}"#, wrong(Field::Id, "5")),
        (
            "create",
            r#"{"name":"x","id":""}"#,
            wrong(Field::Id, "\"\""),
        ),
        (
            "create",
            &long,
            wrong(Field::Id, &format!("\"{}…", "x".repeat(39))),
        ),
        (
            "create",
            r#"{"name":"x","id":"a"}"#,
            Fault::Taken("a".into()),
        ),
        ("update", "{}", Fault::Missing(Field::Id)),
        ("update", r#"{"id":null}"#, Fault::Missing(Field::Id)),
        ("update", r#"{"id":["a"]}"#, wrong(Field::Id, r#"["a"]"#)),
        ("update", r#"{"id":"c"}"#, Fault::Unknown("c".into())),
        (
            "update",
            r#"{"id":"a","name":null}"#,
            wrong(Field::Name, "null"),
        ),
        (
            "update",
            r#"{"id":"a","name":""}"#,
            wrong(Field::Name, "\"\""),
        ),
        ("delete", "{}", Fault::Missing(Field::Id)),
        ("delete", r#"{"id":"c"}"#, Fault::Unknown("c".into())),
        ("reorder", "{}", Fault::Missing(Field::Ids)),
        ("reorder", r#"{"ids":"a"}"#, wrong(Field::Ids, "\"a\"")),
        ("reorder", r#"{"ids":[1,2]}"#, wrong(Field::Ids, "[1,2]")),
        ("reorder", r#"{"ids":["a"]}"#, Fault::LeftOut("b".into())),
        ("reorder", r#"{"ids":[]}"#, Fault::LeftOut("a".into())),
        (
            "reorder",
            r#"{"ids":["a","b","a"]}"#,
            Fault::Repeated("a".into()),
        ),
        ("reorder", r#"{"ids":["a","c"]}"#, Fault::Stray("c".into())),
    ];
    for (verb, wish, expected) in cases {
        assert_eq!(desk.fault(verb, wish), expected, "{verb} {wish}");
    }
}

#[test]
fn limits_hold_and_what_is_too_large_may_still_shrink() {
    let mut desk = Desk::new(WorkspacesConfig {
        max_workspaces: 2,
        max_size: 200,
        max_total_size: 300,
    });
    let sized = |id: &str, bytes: usize| {
        format!(
            r#"{{"id":"{id}","name":"n","text":"{}"}}"#,
            "x".repeat(bytes)
        )
    };
    let large = desk.fault("create", &sized("a", 500));
    assert!(
        matches!(large, Fault::TooLarge { size, limit: 200 } if size > 500),
        "{large:?}"
    );
    desk.ask("create", &sized("a", 100)).unwrap();
    let grown = desk.fault("update", r#"{"id":"a","more":{"and":"more, and more"}}"#);
    assert!(
        matches!(grown, Fault::TooLarge { limit: 200, .. }),
        "{grown:?}"
    );
    let both = desk.fault("create", &sized("b", 100));
    assert!(
        matches!(both, Fault::TooLargeTogether { limit: 300, .. }),
        "{both:?}"
    );
    desk.ask("create", &sized("b", 0)).unwrap();
    let third = desk.fault("create", r#"{"name":"c"}"#);
    assert_eq!(third, Fault::TooMany { limit: 2 });
    let rows = [(
        Table::Workspace,
        "c".into(),
        sized("c", 1000).replace("\"n\"", "\"n\",\"updatedAt\":5"),
    )];
    desk.workspaces = Workspaces::new([1, 2]);
    desk.workspaces.restore(&rows);
    desk.workspaces.finish_restoring();
    desk.ask("update", &sized("c", 900)).unwrap();
    desk.fault("update", &sized("c", 901));
}

#[test]
fn depth_is_bounded_before_anything_calls_itself() {
    let mut desk = Desk::new(NO_LIMITS);
    desk.ask("create", r#"{"name":"a","id":"a"}"#).unwrap();
    let nested = |levels: usize| {
        let (open, close) = ("{\"a\":".repeat(levels), "}".repeat(levels));
        format!(r#"{{"id":"a","name":"a","deep":{open}1{close}}}"#)
    };
    desk.ask("update", &nested(MAX_DEPTH)).unwrap();
    for levels in [MAX_DEPTH + 1, 100_000] {
        let fault = desk.fault("update", &nested(levels));
        assert_eq!(fault, Fault::TooDeep { limit: MAX_DEPTH });
    }
    let fault = desk.fault("create", &nested(100_000).replace("\"id\":\"a\",", ""));
    assert_eq!(fault, Fault::TooDeep { limit: MAX_DEPTH });
}

#[test]
fn places_close_up_and_a_reorder_is_one_record() {
    let mut desk = Desk::new(NO_LIMITS);
    for id in ["a", "b", "c", "d"] {
        desk.ask("create", &json!({"id": id, "name": id}).to_string())
            .unwrap();
        assert_eq!(std::mem::take(&mut desk.records).len(), 1);
    }
    let change = desk.ask("reorder", r#"{"ids":["d","b","a","c"]}"#).unwrap();
    assert_eq!(
        (change.kind, &*change.payload),
        ("workspace.reordered", r#"{"ids":["d","b","a","c"]}"#)
    );
    assert_eq!(
        std::mem::take(&mut desk.records),
        [order_record(r#"["d","b","a","c"]"#.into())]
    );
    let change = desk.ask("delete", r#"{"id":"b"}"#).unwrap();
    assert_eq!(
        (change.kind, &*change.payload),
        ("workspace.deleted", r#"{"id":"b"}"#)
    );
    assert_eq!(desk.ids(), ["d", "a", "c"]);
}

#[test]
fn a_stored_order_is_followed_as_far_as_it_goes() {
    let row = |id: &str, document: Value| (Table::Workspace, id.into(), document.to_string());
    let rows = [
        (
            Table::Meta,
            ORDER_KEY.into(),
            r#"["gone","c","a","c"]"#.into(),
        ),
        (Table::Meta, "other".into(), "[]".into()),
        row("a", json!({"id": "a", "name": "A", "order": 9})),
        row("b", json!({"name": "B", "order": 4, "createdAt": 7})),
        row("broken", json!({"order": 0})),
        row("c", json!({"name": "C"})),
        row("d", json!({"name": "D", "order": 3})),
        (Table::Task, "e".into(), "{}".into()),
    ];
    let mut desk = Desk::new(NO_LIMITS);
    desk.workspaces.restore(&rows);
    desk.workspaces.finish_restoring();
    desk.workspaces.check_invariants();
    assert_eq!(desk.ids(), ["c", "a", "d", "b"]);
    let mut bare = Desk::new(NO_LIMITS);
    bare.workspaces.finish_restoring();
    assert!(bare.workspaces.is_empty());
}

/// A store: what records leave behind.
#[derive(Default)]
struct Rows(BTreeMap<(Table, Box<str>), String>);

impl Rows {
    fn take(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::Put { table, key, value } => self.0.insert((table, key), value),
                Record::Delete { table, key } => self.0.remove(&(table, key)),
                other => panic!("{other:?} is none of workspaces"),
            };
        }
    }

    fn restored(&self) -> Workspaces {
        let rows = self.0.iter();
        let rows: Vec<_> = rows
            .map(|((table, key), value)| (*table, key.clone(), value.clone()))
            .collect();
        let mut workspaces = Workspaces::new([3, 4]);
        workspaces.restore(&rows);
        workspaces.finish_restoring();
        workspaces.check_invariants();
        workspaces
    }
}

/// What workspaces should be: documents in a list.
fn step(model: &mut Vec<Value>, verb: u8, id: &str, field: Value, wall_ms: u64) -> (String, Value) {
    let place = model.iter().position(|workspace| workspace["id"] == id);
    let mut wish = json!({"id": id, "name": format!("n{wall_ms}"), "f": field});
    match verb {
        0 => {
            if place.is_none() {
                let mut workspace = wish.clone();
                workspace["createdAt"] = wall_ms.into();
                workspace["updatedAt"] = wall_ms.into();
                model.push(workspace);
            }
            ("create".into(), wish)
        }
        1 => {
            if let Some(place) = place {
                model[place]["name"] = wish["name"].clone();
                model[place]["updatedAt"] = wall_ms.into();
                match &wish["f"] {
                    Value::Null => drop(model[place].as_object_mut().unwrap().remove("f")),
                    field => model[place]["f"] = field.clone(),
                }
            }
            ("update".into(), wish)
        }
        2 => {
            place.map(|place| model.remove(place));
            wish.as_object_mut().unwrap().remove("name");
            ("delete".into(), wish)
        }
        _ => {
            let turn = wall_ms as usize % model.len().max(1);
            model.rotate_left(turn);
            let ids: Vec<Value> = model
                .iter()
                .map(|workspace| workspace["id"].clone())
                .collect();
            ("reorder".into(), json!({ "ids": ids }))
        }
    }
}

proptest! {
    #[test]
    fn workspaces_agree_with_a_plain_list_and_come_back_from_their_records(
        steps in prop::collection::vec((0..4_u8, 0..6_u8, prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from)]), 1..60)
    ) {
        let (mut desk, mut rows, mut model) = (Desk::new(NO_LIMITS), Rows::default(), Vec::new());
        for (verb, id, field) in steps {
            desk.wall_ms += u64::from(id) / 2;
            let before = model.clone();
            let (verb, wish) = step(&mut model, verb, &format!("w{id}"), field, desk.wall_ms);
            match desk.ask(&verb, &wish.to_string()) {
                Ok(_) => rows.take(std::mem::take(&mut desk.records)),
                Err(_) => prop_assert_eq!(&before, &model, "refused: {} {}", verb, wish),
            }
            let mut expected = model.clone();
            for (place, workspace) in expected.iter_mut().enumerate() {
                workspace["order"] = place.into();
            }
            let list: Value = serde_json::from_str(&desk.workspaces.list()).unwrap();
            prop_assert_eq!(&list["workspaces"], &Value::from(expected));
            prop_assert_eq!(rows.restored().list(), desk.workspaces.list());
        }
    }
}
