//! A slab whose keys carry a generation, in four bytes: a key of a value that was removed finds nothing, even if its slot holds
//! another value by then.
//!
//! A slot has 255 generations. A key would have to be kept while its slot is used that often again, to name a wrong value; those that
//! outlive a turn are few, and go with what they name. A byte for each slot stays when the memory of the values is given back:
//! without it an old key could name a new value.

use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};
use slab::Slab;

/// Bits of a key that are its slot: 16 million values are far more than memory has room for.
pub const SLOT_BITS: u32 = 24;

const GENERATION_BITS: u32 = 32 - SLOT_BITS;

/// A slot, and above which of its generations: keys are ordered by slot. Never 0, so that an `Option` costs no space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotKey(NonZeroU32);

impl SlotKey {
    fn new(slot: usize, generation: u8) -> Self {
        debug_assert!(slot < 1 << SLOT_BITS);
        let bits = (slot as u32) << GENERATION_BITS | u32::from(generation);
        Self(NonZeroU32::new(bits).expect("generations begin with 1"))
    }

    pub fn slot(self) -> usize {
        (self.0.get() >> GENERATION_BITS) as usize
    }

    fn generation(self) -> u8 {
        // Its lowest bits.
        self.0.get() as u8
    }
}

#[derive(Debug)]
pub struct Slots<T> {
    values: Slab<T>,
    /// Of every slot that was ever used: the generation of its value, or of the next one.
    generations: Vec<u8>,
}

impl<T> Slots<T> {
    pub const fn new() -> Self {
        Self {
            values: Slab::new(),
            generations: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether `count` more values have a slot each.
    pub fn has_room_for(&self, count: usize) -> bool {
        self.values.len() + count <= 1 << SLOT_BITS
    }

    /// The slot of the value that is inserted next.
    pub fn next_slot(&self) -> usize {
        self.values.vacant_key()
    }

    /// Panics when no slot is left: ask [`Slots::has_room_for`].
    pub fn insert(&mut self, value: T) -> SlotKey {
        assert!(self.has_room_for(1), "the caller has asked for room");
        let slot = self.values.insert(value);
        if slot == self.generations.len() {
            self.generations.push(1);
        }
        SlotKey::new(slot, self.generations[slot])
    }

    /// Removes a value; after the last one the memory of all is given back.
    pub fn remove(&mut self, key: SlotKey) -> Option<T> {
        self.get(key)?;
        let value = self.values.remove(key.slot());
        self.generations[key.slot()] = key.generation().checked_add(1).unwrap_or(1);
        if self.values.is_empty() {
            self.values.shrink_to_fit();
        }
        Some(value)
    }

    pub fn get(&self, key: SlotKey) -> Option<&T> {
        let is_same = self.generations.get(key.slot()) == Some(&key.generation());
        self.values.get(key.slot()).filter(|_| is_same)
    }

    /// The key of the value in a slot.
    pub fn key_at(&self, slot: usize) -> Option<SlotKey> {
        let is_used = self.values.contains(slot);
        is_used.then(|| SlotKey::new(slot, self.generations[slot]))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SlotKey, &T)> {
        let values = self.values.iter();
        values.map(|(slot, value)| (SlotKey::new(slot, self.generations[slot]), value))
    }
}

/// For keys of values that are surely there; only debug builds look at the generation.
impl<T> Index<SlotKey> for Slots<T> {
    type Output = T;

    fn index(&self, key: SlotKey) -> &T {
        debug_assert!(self.get(key).is_some(), "a key of something that is gone");
        &self.values[key.slot()]
    }
}

impl<T> IndexMut<SlotKey> for Slots<T> {
    fn index_mut(&mut self, key: SlotKey) -> &mut T {
        debug_assert!(self.get(key).is_some(), "a key of something that is gone");
        &mut self.values[key.slot()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_removed_value_finds_nothing_in_its_reused_slot() {
        let mut slots = Slots::new();
        let mut keys: Vec<SlotKey> = Vec::new();
        for value in 0..255 {
            let key = slots.insert(value);
            assert_eq!((key.slot(), slots.key_at(0)), (0, Some(key)));
            assert!(keys.iter().all(|old| slots.get(*old).is_none()));
            assert!(keys.iter().all(|old| *old != key));
            assert_eq!((slots.remove(key), slots.remove(key)), (Some(value), None));
            keys.push(key);
        }
        assert_eq!(slots.key_at(0), None);
    }

    #[test]
    #[should_panic(expected = "gone")]
    #[cfg(debug_assertions)]
    fn indexing_by_a_stale_key_is_a_bug() {
        let mut slots = Slots::new();
        let key = slots.insert('a');
        slots.remove(key);
        slots.insert('b');
        let _ = slots[key];
    }

    #[test]
    fn an_optional_key_takes_four_bytes() {
        assert_eq!(size_of::<Option<SlotKey>>(), 4);
    }
}
