//! Tasks' rows that could not be read, for example because a newer version wrote them. They stay in the store until their task is
//! deleted or created again.
//!
//! Owns their text for one purpose: a rewrite of the store empties it, and these rows must survive that. Bounded by `max_tasks`.

use std::collections::HashMap;

#[derive(Debug, Default)]
pub struct UnreadRows {
    rows: HashMap<Box<str>, String>,
}

impl UnreadRows {
    /// Holds a row. One beyond `max_rows` (0: no limit) stays in the store until that is rewritten.
    pub fn hold(&mut self, id: &str, row: &str, max_rows: usize) {
        if max_rows == 0 || self.rows.len() < max_rows {
            self.rows.insert(id.into(), row.to_owned());
        } else {
            log::warn!(
                "task `{id}`: more rows are unreadable than broadcaster.max_tasks; this one is lost if the store is rewritten"
            );
        }
    }

    pub fn holds(&self, id: &str) -> bool {
        self.rows.contains_key(id)
    }

    /// Removes the row of a task; returns whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        // Asked for every new task: usually there are no such rows, and nothing is hashed.
        !self.rows.is_empty() && self.rows.remove(id).is_some()
    }

    /// Ids of tasks and their rows.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().map(|(id, row)| (&**id, row.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded_and_found_by_id() {
        let mut rows = UnreadRows::default();
        for id in ["a", "b", "c"] {
            rows.hold(id, "?", 2);
        }
        assert_eq!(rows.iter().count(), 2);
        assert!(rows.remove("a") && !rows.remove("a") && !rows.remove("c"));
        rows.hold("d", "?", 2);
        assert_eq!(rows.iter().count(), 2);
    }
}
