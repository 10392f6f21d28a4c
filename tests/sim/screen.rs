//! What an editor shows of the workspaces: it does what it hears, whether that is every news or the newest of each.

use super::wish::{List, id_of, parse_list};
use serde_json::{Map, Value};

/// The documents in their order.
#[derive(Debug, Default)]
pub(crate) struct Screen(List);

impl Screen {
    /// A list may show changes whose news follow it: these change nothing in the end.
    pub(crate) fn show(&mut self, message: &Value) {
        let data = &message["data"];
        match message["type"].as_str().expect("a type") {
            "workspace.list" => self.0 = parse_list(data),
            "workspace.created" | "workspace.updated" => {
                let document = data.as_object().expect("a document").clone();
                match self.place(id_of(&document)) {
                    Some(place) => self.0[place] = document,
                    None => self.0.push(document),
                }
            }
            "workspace.deleted" => self.0.retain(|document| document["id"] != data["id"]),
            _ => {
                let ids = data["ids"].as_array().expect("an array");
                let rank = |document: &Map<String, Value>| {
                    let rank = ids.iter().position(|id| *id == document["id"]);
                    rank.unwrap_or(usize::MAX)
                };
                self.0.sort_by_key(rank);
            }
        }
    }

    /// Whether it shows these, wherever they say that they stand: whoever moves up is not told anew.
    pub(crate) fn is_like(&self, list: &List) -> bool {
        let without_place = |document: &Map<String, Value>| {
            let mut document = document.clone();
            document.remove("order");
            document
        };
        let shown = self.0.iter().map(without_place);
        shown.eq(list.iter().map(without_place))
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.0.iter().position(|document| id_of(document) == id)
    }
}
