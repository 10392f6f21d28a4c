//! The application's own fields of a task, in the order in which they came.
//!
//! Owns their names, values and the version of each one's last change. A cleared field stays as a *tombstone*, so that a delta can say
//! `null`, until [`OwnFields::drop_tombstones`]. How many fields or tombstones are too many is not decided here
//! ([`size`](crate::hub::tasks::size), [`Task::set_own`](crate::hub::tasks::state::Task::set_own)). Invariants: names are unique;
//! `tombstones` counts the fields without a value; the index, once there are more than a few fields, holds every place.

use crate::base::names::Names;
use crate::wire::message::envelope::push_string;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Up to this many names are compared one by one, which is faster than hashing and needs no index; most tasks have no more.
const SCANNED: usize = 8;

#[derive(Debug, Clone)]
pub struct OwnField {
    pub name: Box<str>,
    /// `None`: a tombstone.
    pub value: Option<Box<RawValue>>,
    /// The task's version in which it last changed.
    pub version: u32,
}

/// Whether setting a field changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Same,
    Changed,
}

#[derive(Debug, Clone, Default)]
pub struct OwnFields {
    fields: Vec<OwnField>,
    /// Places of fields by name.
    index: Option<Box<Names<u32>>>,
    tombstones: usize,
}

/// Pairs, so that no name can collide with a field of ours.
impl Serialize for OwnFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for OwnFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut own = Self::default();
        for (name, value) in Vec::<(Box<str>, Box<RawValue>)>::deserialize(deserializer)? {
            // Version 0: no viewer of this process has seen an older one.
            own.set(name, Some(value), 0);
        }
        Ok(own)
    }
}

impl OwnFields {
    /// Fields with a value.
    pub fn len(&self) -> usize {
        self.fields.len() - self.tombstones
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn tombstones(&self) -> usize {
        self.tombstones
    }

    /// Names and values of the fields that have one.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.fields
            .iter()
            .filter_map(|field| Some((&*field.name, &**field.value.as_ref()?)))
    }

    /// Fields that changed after a version, tombstones included.
    pub fn changed_after(&self, version: u32) -> impl Iterator<Item = &OwnField> {
        self.fields
            .iter()
            // A walk over all fields: they are few, and a delta is made once for all readers that lack the same.
            .filter(move |field| field.version > version)
    }

    pub fn value(&self, name: &str) -> Option<&RawValue> {
        self.fields[self.find(name)?].value.as_deref()
    }

    /// Sets or clears a field in this version of the task. Clearing an unknown field changes nothing and leaves no tombstone.
    pub fn set(&mut self, name: Box<str>, value: Option<Box<RawValue>>, version: u32) -> Change {
        let Some(place) = self.find(&name) else {
            // A tombstone for a field that no reader has seen would say nothing, and cost memory.
            if value.is_none() {
                return Change::Same;
            }
            self.push(OwnField {
                name,
                value,
                version,
            });
            return Change::Changed;
        };
        let field = &mut self.fields[place];
        if same(&field.value, &value) {
            return Change::Same;
        }
        self.tombstones += usize::from(value.is_none());
        self.tombstones -= usize::from(field.value.is_none());
        (field.value, field.version) = (value, version);
        Change::Changed
    }

    /// Drops the tombstones. From now on no delta can start at a version before the current one.
    pub fn drop_tombstones(&mut self) {
        self.fields.retain(|field| field.value.is_some());
        self.fields.shrink_to_fit();
        self.tombstones = 0;
        // Places have moved.
        self.index = None;
        self.build_index();
    }

    /// Appends `,"name":value` for each field that has a value.
    pub fn push_all(&self, out: &mut String) {
        for (name, value) in self.iter() {
            push_member(out, name, value.get());
        }
    }

    /// Appends `,"name":value` for each field that changed after a version, `null` for cleared ones.
    pub fn push_changed(&self, out: &mut String, seen: u32) {
        for field in self.changed_after(seen) {
            let value = field.value.as_deref().map_or("null", RawValue::get);
            push_member(out, &field.name, value);
        }
    }

    fn push(&mut self, field: OwnField) {
        self.fields.push(field);
        match &mut self.index {
            Some(index) => index.insert(self.fields.len() as u32 - 1, name_in(&self.fields)),
            None => self.build_index(),
        }
        debug_assert!(
            self.index
                .as_deref()
                .is_none_or(|index| index.len() == self.fields.len())
        );
    }

    fn build_index(&mut self) {
        if self.fields.len() <= SCANNED {
            return;
        }
        // Fixed seeds: names chosen to collide gain little among a few hundred, and equal runs must behave equally.
        let mut index = Box::new(Names::new([1, 2, 3, 4]));
        let places = 0..self.fields.len() as u32;
        places.for_each(|place| index.insert(place, name_in(&self.fields)));
        self.index = Some(index);
    }

    fn find(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => Some(index.find(name, name_in(&self.fields))? as usize),
            None => self.fields.iter().position(|field| &*field.name == name),
        }
    }
}

fn name_in<'a>(fields: &'a [OwnField]) -> impl Fn(u32) -> &'a str {
    |place| &fields[place as usize].name
}

/// Whether two values are the same text. Equal JSON of another spelling counts as a change, which costs a field in a delta and no more.
pub fn same(one: &Option<Box<RawValue>>, other: &Option<Box<RawValue>>) -> bool {
    one.as_ref().map(|raw| raw.get()) == other.as_ref().map(|raw| raw.get())
}

fn push_member(out: &mut String, name: &str, value: &str) {
    out.push(',');
    push_string(out, name);
    out.push(':');
    out.push_str(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn raw(number: u32) -> Box<RawValue> {
        RawValue::from_string(number.to_string()).unwrap()
    }

    proptest! {
        #[test]
        fn fields_behave_like_a_map_with_versions(
            steps in prop::collection::vec((0u32..40, prop::option::of(0u32..3), prop::bool::weighted(0.05)), 0..200)
        ) {
            let mut fields = OwnFields::default();
            let mut model: BTreeMap<String, u32> = BTreeMap::new();
            for (version, (name, value, drop)) in (1_u32..).zip(steps) {
                let name = format!("f{name}");
                let was = model.get(&name).copied();
                let change = fields.set(name.as_str().into(), value.map(raw), version);
                match value {
                    Some(value) => model.insert(name.clone(), value),
                    None => model.remove(&name),
                };
                prop_assert_eq!(change == Change::Changed, was != value);
                if drop {
                    fields.drop_tombstones();
                    prop_assert_eq!(fields.tombstones(), 0);
                }
                prop_assert_eq!(fields.value(&name).map(|raw| raw.get().to_owned()), value.map(|value| value.to_string()));
                prop_assert_eq!(fields.len(), model.len());
                let shown: BTreeMap<String, u32> = fields.iter()
                    .map(|(name, value)| (name.to_owned(), value.get().parse().unwrap()))
                    .collect();
                prop_assert_eq!(&shown, &model);
            }
        }
    }
}
