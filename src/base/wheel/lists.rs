//! Which list a deadline belongs to, and which list time reaches next. It holds the head of every list and the bitmaps
//! of the occupied ones; the nodes, and how they hang together, are the wheel's.
//!
//! Ticks are read as numbers in base 64. A timer lies on the level of the highest digit in which its deadline differs
//! from the current tick, in the slot which that digit names. So every occupied slot lies ahead, lower levels come
//! before higher ones, and the lowest set bit of the lowest occupied level is where time goes next. When time enters a
//! slot of a higher level, its timers move to lower ones, at most once per level.

use crate::base::index::Index;
use crate::base::time::Time;

const BITS_PER_LEVEL: u32 = 6;
const SLOTS_PER_LEVEL: usize = 1 << BITS_PER_LEVEL;
const SLOT_MASK: u64 = SLOTS_PER_LEVEL as u64 - 1;

/// The last tick of a `Time`. A later deadline would round up to a tick that no `Time` expresses.
pub(super) const TICK_MAX: u64 = Time::from_micros(u64::MAX).as_millis();

/// Enough digits for `TICK_MAX`: no deadline is too far away for a slot of its own.
pub(super) const LEVELS: usize =
    (u64::BITS - TICK_MAX.leading_zeros()).div_ceil(BITS_PER_LEVEL) as usize;

#[derive(Debug)]
pub(super) struct Lists {
    heads: Box<[Option<Index>]>,
    occupied_slots: [u64; LEVELS],
    occupied_levels: u16,
}

/// One per slot, and three more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List(u16);

/// An occupied slot and the first tick it covers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) list: List,
    pub(super) first_tick: u64,
}

impl Lists {
    pub(super) fn head(&self, list: List) -> Option<Index> {
        self.heads[usize::from(list.0)]
    }

    pub(super) fn set_head(&mut self, list: List, head: Option<Index>) {
        self.heads[usize::from(list.0)] = head;
        if let Some((level, digit)) = list.level_and_digit() {
            let slots = &mut self.occupied_slots[level];
            *slots = (*slots & !(1 << digit)) | (u64::from(head.is_some()) << digit);
            let is_occupied = u16::from(*slots != 0);
            self.occupied_levels = (self.occupied_levels & !(1 << level)) | (is_occupied << level);
        }
    }

    pub(super) fn earliest_slot(&self, current_tick: u64) -> Option<Slot> {
        if self.occupied_levels == 0 {
            return None;
        }
        let level = self.occupied_levels.trailing_zeros();
        let digit = self.occupied_slots[level as usize].trailing_zeros();
        let shift = level * BITS_PER_LEVEL;
        let higher_digits = (current_tick >> shift) & !SLOT_MASK;
        let first_tick = (higher_digits | u64::from(digit)) << shift;
        Some(Slot {
            list: List::slot(level, digit),
            first_tick,
        })
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        for list in (0..List::SLOTS).map(List) {
            let (level, digit) = list
                .level_and_digit()
                .expect("slots have a level and a digit");
            let is_marked = self.occupied_slots[level] >> digit & 1 == 1;
            assert_eq!(is_marked, self.head(list).is_some());
        }
        for (level, slots) in self.occupied_slots.iter().enumerate() {
            assert_eq!(self.occupied_levels >> level & 1 == 1, *slots != 0);
        }
    }
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            heads: vec![None; List::COUNT].into_boxed_slice(),
            occupied_slots: [0; LEVELS],
            occupied_levels: 0,
        }
    }
}

impl List {
    const SLOTS: u16 = (LEVELS * SLOTS_PER_LEVEL) as u16;
    const COUNT: usize = Self::SLOTS as usize + 3;

    /// Expired, and to be popped.
    pub(super) const DUE: Self = Self(Self::SLOTS);
    /// Scheduled after its own deadline, and due with the next `advance`.
    pub(super) const OVERDUE: Self = Self(Self::SLOTS + 1);
    /// No timer: a node to be used again.
    pub(super) const VACANT: Self = Self(Self::SLOTS + 2);

    /// Where a timer waits; `None` if there is nothing to wait for.
    pub(super) fn ahead(current_tick: u64, deadline_tick: u64) -> Option<Self> {
        if deadline_tick <= current_tick {
            return None;
        }
        let level = (current_tick ^ deadline_tick).ilog2() / BITS_PER_LEVEL;
        let digit = (deadline_tick >> (level * BITS_PER_LEVEL)) & SLOT_MASK;
        Some(Self::slot(level, digit as u32))
    }

    fn slot(level: u32, digit: u32) -> Self {
        Self((level << BITS_PER_LEVEL | digit) as u16)
    }

    fn level_and_digit(self) -> Option<(usize, u32)> {
        let slot = usize::from(self.0);
        (self.0 < Self::SLOTS).then_some((slot / SLOTS_PER_LEVEL, (slot % SLOTS_PER_LEVEL) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_lies_on_the_level_of_its_highest_differing_digit() {
        assert_eq!(LEVELS, 10);
        assert_eq!(List::ahead(70, 70), None);
        assert_eq!(List::ahead(70, 71), Some(List::slot(0, 7)));
        assert_eq!(List::ahead(63, 64), Some(List::slot(1, 1)));
        assert_eq!(List::ahead(0, 64 * 64 * 5 + 9), Some(List::slot(2, 5)));
        assert!(List::ahead(0, TICK_MAX).is_some_and(|list| list.0 < List::SLOTS));
    }

    #[test]
    fn the_earliest_slot_is_the_lowest_of_the_lowest_level() {
        let mut lists = Lists::default();
        assert_eq!(lists.earliest_slot(130), None);
        for deadline_tick in [5_000, 200, 193] {
            lists.set_head(
                List::ahead(130, deadline_tick).unwrap(),
                Some(Index::new(0)),
            );
        }
        let slot = lists.earliest_slot(130).unwrap();
        assert_eq!(
            slot,
            Slot {
                list: List::slot(1, 3),
                first_tick: 192
            }
        );
        lists.set_head(slot.list, None);
        assert_eq!(
            lists.earliest_slot(130).map(|slot| slot.first_tick),
            Some(4_096)
        );
        lists.check_invariants();
    }
}
