//! Workspaces (contract section 6): their documents, their order, and the commands that change them.
//!
//! Owns documents, order and their sizes. A command is decided without changing anything and returns an [`Edit`] or a fault;
//! [`Workspaces::apply`] carries the edit out and returns what clients are told. It sends and stores nothing. Fields that
//! mean nothing here stay text. The stored order is one record, written when places change; a workspace that it does not name was
//! created since, and its document tells its place. Invariants, which [`Workspaces::check_invariants`] states: places are dense, every id
//! is found, sizes add up.

use crate::base::names::Names;
use crate::base::random::Random;
use crate::hub::durable::record::{Record, Table};
use crate::hub::durable::rows;
use crate::hub::settings::{HubSettings, Moment, WorkspacesConfig};
use crate::wire::locale::{WorkspaceFault as Fault, WorkspaceField as Field};
use crate::wire::message::envelope::{push_string, to_json};
use crate::wire::message::incoming::parse;
use crate::wire::message::malformed::shortened;
use crate::wire::message::name::check_name;
use crate::wire::message::{Malformed, Members};
use serde::de::DeserializeOwned;
use serde_json::json;
use slab::Slab;
use std::fmt::Write;

/// Key in [`Table::Meta`] of the order, a JSON array of ids.
pub const ORDER_KEY: &str = "workspace_order";

/// Deepest nesting of a field: merging and reading recurse.
pub const MAX_DEPTH: usize = crate::wire::message::relayable::MAX_DEPTH;

/// Members of a document that the server sets; of these only `name` may be patched.
const OWN: [&str; 5] = ["id", "name", "order", "createdAt", "updatedAt"];

/// Length of a generated id's random part: 80 bits, five per character.
const ID_CHARACTERS: usize = 16;

/// A change of workspaces that was decided.
#[derive(Debug, Clone)]
pub enum Edit {
    /// A new workspace, which comes last.
    Created(Written),
    /// A workspace in its new form.
    Updated(Written),
    Deleted(Box<str>),
    /// All ids, in their new order.
    Reordered(Vec<Box<str>>),
}

/// A workspace with its document, which may be long: written once, to be measured, sent and kept.
#[derive(Debug, Clone)]
pub struct Written {
    workspace: Workspace,
    document: String,
}

/// What clients are told of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The type of its message.
    pub kind: &'static str,
    /// The workspace; empty for a change of the order.
    pub id: Box<str>,
    /// The message's payload, as JSON.
    pub payload: String,
}

#[derive(Debug, Clone)]
pub struct Workspace {
    id: Box<str>,
    name: Box<str>,
    place: u32,
    created_at: u64,
    updated_at: u64,
    /// All members but those in [`OWN`], as a JSON object.
    fields: Box<str>,
    /// Bytes of the document at its last change. A later change of its place may add a digit, which is not counted.
    size: usize,
}

impl Workspace {
    fn push_document(&self, out: &mut String) {
        out.push_str("{\"id\":");
        push_string(out, &self.id);
        out.push_str(",\"name\":");
        push_string(out, &self.name);
        let (place, created, updated) = (self.place, self.created_at, self.updated_at);
        let _ = write!(
            out,
            ",\"order\":{place},\"createdAt\":{created},\"updatedAt\":{updated}"
        );
        // Both objects become one: the brace that opens the fields gives way to a comma.
        if &*self.fields != "{}" {
            out.push(',');
        }
        out.push_str(&self.fields[1..]);
    }

    fn document(&self) -> String {
        let mut out = String::with_capacity(self.fields.len() + self.name.len() + 128);
        self.push_document(&mut out);
        out
    }

    fn written(mut self) -> Written {
        let document = self.document();
        self.size = document.len();
        Written {
            workspace: self,
            document,
        }
    }
}

impl Written {
    fn into_edited(self, kind: &'static str, records: &mut Vec<Record>) -> (Workspace, Edited) {
        let (id, payload) = (self.workspace.id.clone(), self.document);
        records.push(rows::put(Table::Workspace, &id, payload.clone()));
        (self.workspace, Edited { kind, id, payload })
    }
}

/// All workspaces and their order.
#[derive(Debug)]
pub struct Workspaces {
    slots: Slab<Workspace>,
    ids: Names<u32>,
    /// All slots, in the order of the workspaces.
    order: Vec<u32>,
    /// While restoring: the stored order.
    stored_order: Vec<String>,
    total_size: usize,
    /// Rises with each change, so that lists can be cached.
    version: u64,
}

impl Workspaces {
    /// `seed` keys the hash.
    pub fn new(seed: [u64; 2]) -> Self {
        Self {
            slots: Slab::new(),
            // Keys other than the directory's, of the same seed.
            ids: Names::new([seed[0], !seed[1], seed[1], !seed[0]]),
            order: Vec::new(),
            stored_order: Vec::new(),
            total_size: 0,
            version: 0,
        }
    }

    /// A number that differs after every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Number of workspaces.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are no workspaces.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// A workspace's document, as JSON.
    pub fn document(&self, id: &str) -> Option<String> {
        Some(self.slots[self.find(id)? as usize].document())
    }

    /// Records of all workspaces and their order, for a store that was emptied.
    pub fn records(&self) -> Vec<Record> {
        let workspaces = self.order.iter().map(|slot| &self.slots[*slot as usize]);
        let documents =
            workspaces.map(|known| rows::put(Table::Workspace, &known.id, known.document()));
        documents.chain([order_record(self.ids_json())]).collect()
    }

    /// `{workspaces: […]}`: every document, in order.
    pub fn list(&self) -> String {
        let mut out = String::with_capacity(self.total_size + 2 * self.len() + 32);
        out.push_str("{\"workspaces\":[");
        for (place, slot) in self.order.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            self.slots[*slot as usize].push_document(&mut out);
        }
        out.push_str("]}");
        out
    }

    /// `workspace.create`: a `name`, optionally an `id`, and any fields.
    pub fn create(
        &self,
        Moment { now, settings }: Moment<'_>,
        request: Members<'_>,
        random: &mut Random,
    ) -> Result<Edit, Fault> {
        let name = name_of(&request)?.ok_or(Fault::Missing(Field::Name))?;
        let id = match id_of(&request)? {
            Some(id) if self.find(&id).is_some() => return Err(Fault::Taken(quoted(&id))),
            Some(id) => id,
            None => self.fresh_id(random),
        };
        check_depth(&request)?;
        let limit = settings.workspaces.max_workspaces;
        if limit > 0 && self.len() >= limit {
            return Err(Fault::TooMany { limit });
        }
        let new = Workspace {
            id,
            name,
            place: self.order.len() as u32,
            created_at: now.wall_ms,
            updated_at: now.wall_ms,
            fields: request.without(&OWN).to_json().into(),
            size: 0,
        };
        let new = new.written();
        self.check_size(0, new.document.len(), settings)?;
        Ok(Edit::Created(new))
    }

    /// `workspace.update`: the `id`, and a merge patch of the rest. Members that the server sets are ignored.
    pub fn update(
        &self,
        Moment { now, settings }: Moment<'_>,
        request: Members<'_>,
    ) -> Result<Edit, Fault> {
        let old = &self.slots[self.named(&request)? as usize];
        let name = name_of(&request)?;
        check_depth(&request)?;
        let fields = Members::parse(&old.fields).and_then(|old| old.merge(&request.without(&OWN)));
        let new = Workspace {
            id: old.id.clone(),
            name: name.unwrap_or_else(|| old.name.clone()),
            fields: fields.map_err(unreadable)?.into(),
            updated_at: now.wall_ms,
            ..*old
        };
        let new = new.written();
        self.check_size(old.size, new.document.len(), settings)?;
        Ok(Edit::Updated(new))
    }

    /// `workspace.delete`: the `id`.
    pub fn delete(&self, request: &Members<'_>) -> Result<Edit, Fault> {
        let slot = self.named(request)?;
        Ok(Edit::Deleted(self.slots[slot as usize].id.clone()))
    }

    /// `workspace.reorder`: `ids`, each exactly once.
    pub fn reorder(&self, request: &Members<'_>) -> Result<Edit, Fault> {
        let ids = ids_of(request)?;
        // Marks by place, so that the check stays linear in the number of ids.
        let mut seen = vec![false; self.len()];
        for id in &ids {
            let slot = self.find(id).ok_or_else(|| Fault::Stray(quoted(id)))?;
            let place = self.slots[slot as usize].place as usize;
            if std::mem::replace(&mut seen[place], true) {
                return Err(Fault::Repeated(quoted(id)));
            }
        }
        if let Some(place) = seen.iter().position(|seen| !seen) {
            let left_out = &self.slots[self.order[place] as usize].id;
            return Err(Fault::LeftOut(quoted(left_out)));
        }
        Ok(Edit::Reordered(ids))
    }

    /// Applies an edit that was decided by these workspaces as they are, and adds what the store must keep of it to `records`.
    pub fn apply(&mut self, edit: Edit, records: &mut Vec<Record>) -> Edited {
        match edit {
            Edit::Created(new) => {
                let (new, edited) = new.into_edited("workspace.created", records);
                self.insert(new);
                edited
            }
            Edit::Updated(new) => {
                let (new, edited) = new.into_edited("workspace.updated", records);
                if let Some(slot) = self.find(&new.id) {
                    let old = &mut self.slots[slot as usize];
                    self.total_size = self.total_size - old.size + new.size;
                    self.version += 1;
                    *old = new;
                }
                edited
            }
            Edit::Deleted(id) => {
                self.remove(&id);
                records.push(Record::Delete {
                    table: Table::Workspace,
                    key: id.clone(),
                });
                records.push(order_record(self.ids_json()));
                let payload = json!({ "id": id }).to_string();
                let kind = "workspace.deleted";
                Edited { kind, id, payload }
            }
            Edit::Reordered(ids) => {
                self.order = ids.iter().filter_map(|id| self.find(id)).collect();
                self.number_places();
                let ids = self.ids_json();
                let payload = format!("{{\"ids\":{ids}}}");
                records.push(order_record(ids));
                let (kind, id) = ("workspace.reordered", Box::default());
                Edited { kind, id, payload }
            }
        }
    }

    /// Later workspaces move up; their documents are not written again, the order record suffices.
    fn remove(&mut self, id: &str) {
        let Some(slot) = self.find(id) else {
            return;
        };
        self.ids.remove(id, slot);
        let gone = self.slots.remove(slot as usize);
        self.total_size -= gone.size;
        self.version += 1;
        self.order.remove(gone.place as usize);
        // Linear in those that move up, as the removal from the order is.
        for later in &self.order[gone.place as usize..] {
            self.slots[*later as usize].place -= 1;
        }
    }

    /// Restores a slice of the store. Limits do not apply: what was accepted is kept.
    pub fn restore(&mut self, rows: &[(Table, Box<str>, String)]) {
        for (table, key, value) in rows {
            match table {
                Table::Workspace => match stored(key, value) {
                    // A damaged document must not keep the others away.
                    Ok(workspace) => self.insert(workspace),
                    Err(fault) => {
                        ::log::warn!("workspace `{key}` in the store is unreadable: {fault}");
                    }
                },
                Table::Meta if &**key == ORDER_KEY => {
                    self.stored_order = parse(value).unwrap_or_default();
                }
                _ => {}
            }
        }
    }

    /// Call after the last slice. A stored order that names too few ids or too many is followed as far as it goes.
    pub fn finish_restoring(&mut self) {
        let ids = std::mem::take(&mut self.stored_order);
        let listed = ids.iter().filter_map(|id| self.find(id));
        // An id that is listed twice counts at its first place; those not listed come last, by the place in their document.
        let mut ranks: Vec<Option<usize>> = vec![None; self.slots.capacity()];
        for (rank, slot) in listed.enumerate() {
            ranks[slot as usize].get_or_insert(rank);
        }
        let slots = &self.slots;
        self.order.sort_by_key(|slot| {
            let workspace = &slots[*slot as usize];
            let rank = ranks[*slot as usize];
            (
                rank.is_none(),
                rank,
                workspace.place,
                workspace.created_at,
                &workspace.id,
            )
        });
        self.number_places();
    }

    /// Panics if an invariant is broken; for tests and debug builds.
    pub fn check_invariants(&self) {
        assert_eq!(
            self.order.len(),
            self.slots.len(),
            "the order misses somebody"
        );
        assert_eq!(self.ids.len(), self.slots.len(), "an id too many");
        for (place, slot) in self.order.iter().enumerate() {
            let workspace = &self.slots[*slot as usize];
            assert_eq!(workspace.place as usize, place, "places are dense");
            assert_eq!(self.find(&workspace.id), Some(*slot), "an id is lost");
        }
        let sizes = self.slots.iter().map(|(_, workspace)| workspace.size);
        assert_eq!(
            sizes.sum::<usize>(),
            self.total_size,
            "sizes are miscounted"
        );
    }

    fn find(&self, id: &str) -> Option<u32> {
        self.ids.find(id, |slot| &self.slots[slot as usize].id)
    }

    /// The workspace that a request names.
    fn named(&self, request: &Members<'_>) -> Result<u32, Fault> {
        let id = id_of(request)?.ok_or(Fault::Missing(Field::Id))?;
        self.find(&id).ok_or_else(|| Fault::Unknown(quoted(&id)))
    }

    fn fresh_id(&self, random: &mut Random) -> Box<str> {
        loop {
            // Clients choose ids too, so that even a random one is checked.
            let id = format!("workspace_{}", random.token(ID_CHARACTERS));
            if self.find(&id).is_none() {
                return id.into();
            }
        }
    }

    /// A document beyond a limit, which was lowered since, may shrink or stay but not grow.
    fn check_size(&self, old: usize, new: usize, settings: &HubSettings) -> Result<(), Fault> {
        let WorkspacesConfig {
            max_size,
            max_total_size,
            ..
        } = settings.workspaces;
        if new <= old {
            return Ok(());
        }
        if max_size > 0 && new > max_size {
            return Err(Fault::TooLarge {
                size: new,
                limit: max_size,
            });
        }
        let total = self.total_size - old + new;
        if max_total_size > 0 && total > max_total_size {
            return Err(Fault::TooLargeTogether {
                size: total,
                limit: max_total_size,
            });
        }
        Ok(())
    }

    fn insert(&mut self, workspace: Workspace) {
        self.total_size += workspace.size;
        self.version += 1;
        let slot = self.slots.insert(workspace) as u32;
        self.order.push(slot);
        let slots = &self.slots;
        self.ids.insert(slot, |slot| &slots[slot as usize].id);
    }

    fn number_places(&mut self) {
        self.version += 1;
        for (place, slot) in self.order.iter().enumerate() {
            self.slots[*slot as usize].place = place as u32;
        }
    }

    /// The ids in order, as a JSON array.
    fn ids_json(&self) -> String {
        let ids = self
            .order
            .iter()
            .map(|slot| &*self.slots[*slot as usize].id);
        to_json(&ids.collect::<Vec<&str>>())
    }
}

fn order_record(ids: String) -> Record {
    rows::put(Table::Meta, ORDER_KEY, ids)
}

/// The `id` of a request; `null` is taken as absent.
fn id_of(request: &Members<'_>) -> Result<Option<Box<str>>, Fault> {
    let is_right =
        |id: &Option<Box<str>>| id.as_ref().is_none_or(|id| check_name("id", id).is_ok());
    Ok(member(request, Field::Id, is_right)?.flatten())
}

fn name_of(request: &Members<'_>) -> Result<Option<Box<str>>, Fault> {
    member::<Box<str>>(request, Field::Name, |name| !name.trim().is_empty())
}

fn ids_of(request: &Members<'_>) -> Result<Vec<Box<str>>, Fault> {
    member(request, Field::Ids, |_| true)?.ok_or(Fault::Missing(Field::Ids))
}

/// A member of a request in its own type, if it is there.
fn member<T: DeserializeOwned>(
    request: &Members<'_>,
    field: Field,
    is_right: impl FnOnce(&T) -> bool,
) -> Result<Option<T>, Fault> {
    let Some(found) = request.value(field.as_str()) else {
        return Ok(None);
    };
    let value = parse(found).ok().filter(is_right);
    value.map(Some).ok_or_else(|| Fault::Wrong {
        field,
        found: quoted(found),
    })
}

fn check_depth(request: &Members<'_>) -> Result<(), Fault> {
    match request.depth() {
        depth if depth > MAX_DEPTH => Err(Fault::TooDeep { limit: MAX_DEPTH }),
        _ => Ok(()),
    }
}

fn unreadable(fault: Malformed) -> Fault {
    Fault::Unreadable(fault.to_string())
}

fn quoted(text: &str) -> String {
    shortened(text).into_owned()
}

/// Reads a stored document; its place may be outdated, and the stored order overrides it.
fn stored(id: &str, document: &str) -> Result<Workspace, Malformed> {
    let members = Members::parse(document)?;
    let number = |name: &str| {
        members
            .value(name)
            .map_or(Ok(0), parse::<u64>)
            .map_err(|fault| fault.under(name))
    };
    let name = parse(members.value("name").unwrap_or("null"));
    Ok(Workspace {
        id: id.into(),
        name: name.map_err(|fault| fault.under("name"))?,
        place: number("order")?.try_into().unwrap_or(u32::MAX),
        created_at: number("createdAt")?,
        updated_at: number("updatedAt")?,
        size: document.len(),
        fields: members.without(&OWN).to_json().into(),
    })
}

#[cfg(test)]
mod tests;
