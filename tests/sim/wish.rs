//! What editors wish of the workspaces (contract section 6), and what each wish does to a list of them.

use super::dice::Dice;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// All workspaces, in order.
pub(crate) type List = Vec<Map<String, Value>>;

/// Members of a document that are the server's own.
const OWN: [&str; 5] = ["id", "name", "order", "createdAt", "updatedAt"];

/// Where there are as many, no more are created.
const MAX_WORKSPACES: usize = 8;

/// A message that asks for a change.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// Its name, which stands in what it creates and updates as `mark`.
    pub(crate) number: u64,
    /// `create`, `update`, `delete` or `reorder`.
    pub(crate) kind: &'static str,
    pub(crate) fields: Value,
}

impl Wish {
    /// Any wish where there are workspaces of these ids; some cannot be obeyed.
    pub(crate) fn any(dice: &mut Dice, number: u64, mut ids: Vec<String>) -> Self {
        let kind = match dice.below(10) {
            0..4 if ids.len() < MAX_WORKSPACES => "create",
            4..8 => "update",
            8 => "reorder",
            _ => "delete",
        };
        if ids.is_empty() || dice.one_in(6) {
            ids.push(any_id(dice));
        }
        let mut fields = match kind {
            "create" => json!({"mark": number, "name": "new"}),
            "update" => json!({"mark": number, "id": dice.pick(&ids)}),
            "delete" => json!({"id": dice.pick(&ids)}),
            _ => json!({"ids": shuffled(dice, ids)}),
        };
        if kind == "create" && dice.one_in(3) {
            fields["id"] = json!(any_id(dice));
        }
        if ["create", "update"].contains(&kind) {
            decorate(dice, kind, &mut fields);
        }
        Self {
            number,
            kind,
            fields,
        }
    }

    /// As a client sends it.
    pub(crate) fn message(&self) -> Value {
        json!({
            "type": format!("workspace.{}", self.kind),
            "id": self.number,
            "data": self.fields,
        })
    }

    /// The type of its news.
    pub(crate) fn effect(&self) -> String {
        match self.kind {
            "reorder" => "workspace.reordered".to_owned(),
            kind => format!("workspace.{kind}d"),
        }
    }

    /// What its news are known by.
    pub(crate) fn token(&self) -> String {
        let fields = &self.fields;
        match self.kind {
            "delete" => format!("deleted {}", fields["id"]),
            "reorder" => format!("reordered {}", fields["ids"]),
            _ => format!("marked {}", self.number),
        }
    }

    /// Why it must be refused where these workspaces are; `None`: it must be obeyed.
    pub(crate) fn fault(&self, list: &List, limit: usize) -> Option<&'static str> {
        let id = self.fields["id"].as_str();
        let is_there = id.is_some_and(|id| place(list, id).is_some());
        let name = &self.fields["name"];
        let has_name = name.as_str().is_some_and(|name| !name.trim().is_empty());
        let is_unnamed = self.fields.get("name").is_none();
        match self.kind {
            "create" if !has_name || is_there => Some("invalid_message"),
            "create" if limit > 0 && list.len() >= limit => Some("limit_exceeded"),
            "create" => None,
            "reorder" if self.is_permutation(list) => None,
            "reorder" => Some("invalid_message"),
            _ if id.is_none() => Some("invalid_message"),
            _ if !is_there => Some("not_found"),
            "update" if !has_name && !is_unnamed => Some("invalid_message"),
            _ => None,
        }
    }

    fn is_permutation(&self, list: &List) -> bool {
        let ids = self.fields["ids"].as_array().expect("an array");
        let named: BTreeSet<Option<&str>> = ids.iter().map(Value::as_str).collect();
        let known = list.iter().map(|document| Some(id_of(document))).collect();
        ids.len() == list.len() && named == known
    }

    /// The workspaces after it, of which the news told.
    pub(crate) fn obey(&self, list: &List, news: &Value) -> List {
        let mut list = list.clone();
        match self.kind {
            "create" => {
                let document = self.created(list.len(), news);
                list.push(document);
            }
            "update" => {
                let place = place(&list, self.fields["id"].as_str().expect("an id"));
                let old = &mut list[place.expect("it is there")];
                *old = self.updated(old, news);
            }
            "delete" => list.retain(|document| document["id"] != self.fields["id"]),
            _ => {
                let ids = self.fields["ids"].as_array().expect("an array").iter();
                let ids = ids.map(|id| place(&list, id.as_str().expect("text")));
                list = ids
                    .map(|place| list[place.expect("it is there")].clone())
                    .collect();
            }
        }
        for (order, document) in list.iter_mut().enumerate() {
            document["order"] = json!(order);
        }
        list
    }

    /// The document of a new workspace: what it was given, and what only the server knows.
    fn created(&self, order: usize, news: &Value) -> Map<String, Value> {
        let mut document = self.fields.as_object().expect("an object").clone();
        let id = news["id"].as_str().expect("an id");
        let is_given = self.fields["id"] == *id;
        let is_made = self.fields["id"].is_null() && id.starts_with("workspace_");
        assert!(is_given || is_made, "{self:?} creates {news}");
        document.insert("id".to_owned(), json!(id));
        document.insert("order".to_owned(), json!(order));
        document.insert("createdAt".to_owned(), news["updatedAt"].clone());
        document.insert("updatedAt".to_owned(), news["updatedAt"].clone());
        document
    }

    fn updated(&self, old: &Map<String, Value>, news: &Value) -> Map<String, Value> {
        let mut patch = self.fields.as_object().expect("an object").clone();
        patch.retain(|name, _| name == "name" || !OWN.contains(&name.as_str()));
        let Value::Object(mut document) = merged(&Value::Object(old.clone()), &json!(patch)) else {
            unreachable!("objects merge to an object");
        };
        assert!(
            news["updatedAt"].as_u64() >= old["updatedAt"].as_u64(),
            "{news} is older than {old:?}"
        );
        document.insert("updatedAt".to_owned(), news["updatedAt"].clone());
        document
    }
}

/// Any members: some stay, some are cleared, some are the server's own, some names are none.
fn decorate(dice: &mut Dice, kind: &str, fields: &mut Value) {
    let names = [
        json!("one"),
        json!("two"),
        json!(" "),
        json!(3),
        Value::Null,
    ];
    if dice.one_in(if kind == "create" { 12 } else { 3 }) {
        fields["name"] = dice.pick(&names);
    }
    let empty = json!({"a": null, "b": {"c": []}});
    for (name, values) in [
        ("colour", [json!("red"), json!(false), Value::Null]),
        ("part", [json!({"a": 1}), json!(4), empty]),
        ("order", [json!(5), json!("first"), json!(0)]),
    ] {
        if dice.one_in(4) {
            fields[name] = dice.pick(&values);
        }
    }
}

fn any_id(dice: &mut Dice) -> String {
    format!("w{}", dice.below(8))
}

fn shuffled(dice: &mut Dice, mut ids: Vec<String>) -> Vec<String> {
    for last in (1..ids.len()).rev() {
        ids.swap(last, dice.below(last as u64 + 1) as usize);
    }
    ids
}

/// The workspaces of a `workspace.list`.
pub(crate) fn parse_list(payload: &Value) -> List {
    let documents = payload["workspaces"].as_array().expect("an array").iter();
    documents
        .map(|document| document.as_object().expect("an object").clone())
        .collect()
}

/// The id of a document.
pub(crate) fn id_of(document: &Map<String, Value>) -> &str {
    document["id"].as_str().expect("an id")
}

fn place(list: &List, id: &str) -> Option<usize> {
    list.iter().position(|document| id_of(document) == id)
}

/// RFC 7396.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else {
        return patch.clone();
    };
    let mut members = target.as_object().cloned().unwrap_or_default();
    for (name, change) in changes {
        match change.is_null() {
            true => drop(members.remove(name)),
            false => {
                let old = members.get(name).unwrap_or(&Value::Null);
                members.insert(name.clone(), merged(old, change));
            }
        }
    }
    Value::Object(members)
}
