//! Things found by name where the names stay with the things: a table of keys, and no second copy of any name.
//!
//! Owns keys and the hash; its caller says how each key's thing is called. A name must not change, and its key must be removed before the
//! thing is, or it is not found again.

use hashbrown::HashTable;

#[derive(Debug, Clone)]
pub struct Names<K> {
    keys: HashTable<K>,
    hasher: ahash::RandomState,
}

impl<K: Copy + Eq> Names<K> {
    /// Names come from outside, so the hash is keyed; `seeds` are an input, so that a simulated run repeats itself.
    pub fn new([first, second, third, fourth]: [u64; 4]) -> Self {
        Self {
            keys: HashTable::new(),
            hasher: ahash::RandomState::with_seeds(first, second, third, fourth),
        }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn find<'a>(&self, name: &str, name_of: impl Fn(K) -> &'a str) -> Option<K> {
        let hash = self.hasher.hash_one(name);
        self.keys.find(hash, |key| name_of(*key) == name).copied()
    }

    /// Adds a key whose name is not in the table.
    pub fn insert<'a>(&mut self, key: K, name_of: impl Fn(K) -> &'a str) {
        let hash = |key: &K| self.hasher.hash_one(name_of(*key));
        self.keys.insert_unique(hash(&key), key, hash);
    }

    /// Removes a key by its name; after the last one the table's memory is given back.
    pub fn remove(&mut self, name: &str, key: K) {
        let hash = self.hasher.hash_one(name);
        if let Ok(entry) = self.keys.find_entry(hash, |known| *known == key) {
            entry.remove();
        }
        if self.keys.is_empty() {
            self.keys = HashTable::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_names_that_stay_with_their_things() {
        let things: Vec<String> = (0..100).map(|number| format!("thing {number}")).collect();
        let name_of = |key: usize| things[key].as_str();
        let mut names = Names::new([1, 2, 3, 4]);
        (0..things.len()).for_each(|key| names.insert(key, name_of));
        assert_eq!(names.find("thing 77", name_of), Some(77));
        names.remove("thing 77", 77);
        names.remove("thing 78", 1);
        assert_eq!(names.find("thing 77", name_of), None);
        assert_eq!(names.find("thing 78", name_of), Some(78), "of another key");
        assert_eq!(names.len(), 99);
    }
}
