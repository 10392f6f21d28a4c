//! Rows of tasks that could not be read, as those of a newer version: they stay in the store until somebody deletes the
//! task or makes it again.
//!
//! Their text is held for one purpose only, which is to survive when the store is rewritten.

use std::collections::HashMap;

/// Such rows, by the ids of their tasks.
#[derive(Debug)]
pub struct UnreadRows {
    rows: HashMap<Box<str>, String>,
    max_rows: usize,
}

impl UnreadRows {
    /// No row yet, and at most `max_rows` (0: no limit).
    pub fn new(max_rows: usize) -> Self {
        Self {
            rows: HashMap::new(),
            max_rows,
        }
    }

    /// Holds a row. One that is too many stays in the store, but is not there any more when that is rewritten.
    pub fn hold(&mut self, id: &str, row: &str) {
        if self.max_rows == 0 || self.rows.len() < self.max_rows {
            self.rows.insert(id.into(), row.to_owned());
        } else {
            log::warn!(
                "task `{id}`: more rows are unreadable than broadcaster.max_tasks; this one is lost if the store is rewritten"
            );
        }
    }

    /// The row of a task is not wanted any more; whether there was one.
    pub fn remove(&mut self, id: &str) -> bool {
        !self.rows.is_empty() && self.rows.remove(id).is_some()
    }

    /// Ids and rows.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().map(|(id, row)| (&**id, row.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded_and_found_by_id() {
        let mut rows = UnreadRows::new(2);
        for id in ["a", "b", "c"] {
            rows.hold(id, "?");
        }
        assert_eq!(rows.iter().count(), 2);
        assert!(rows.remove("a") && !rows.remove("a") && !rows.remove("c"));
        rows.hold("d", "?");
        assert_eq!(rows.iter().count(), 2);
    }
}
