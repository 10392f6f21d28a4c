//! A set of slots, as bits: to count each of many things once costs a few nanoseconds apiece.

/// Slots of a slab. It takes a bit for each slot up to the greatest.
#[derive(Debug, Default)]
pub struct SlotSet {
    words: Vec<u64>,
}

impl SlotSet {
    /// Adds a slot; `false`: it was there.
    pub fn insert(&mut self, slot: usize) -> bool {
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_is_new_once() {
        let mut set = SlotSet::default();
        for slot in [0, 63, 64, 1000, 65] {
            assert!(set.insert(slot) && !set.insert(slot), "{slot}");
        }
    }
}
