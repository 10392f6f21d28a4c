//! The task table: tasks found by id, named by key, bounded in number, and listed by the moment at which time matters to them.
//!
//! Owns every [`Task`] and the order in which tasks are looked at and give way. Never changes a task but for its
//! [`Listing`]: the caller decides where a task belongs ([`aging`](crate::hub::tasks::aging)), the table keeps the lists in step.
//! Invariants: `names` holds every slot once; a task is in exactly the list that its `listing` says.

use crate::base::names::Names;
use crate::base::time::Time;
use crate::hub::keys::TaskKey;
use crate::hub::tasks::state::{Listing, Task};
use slab::Slab;
use std::collections::BTreeSet;

/// The table is full, and no task has ended and could give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTasks;

#[derive(Debug)]
pub struct TaskTable {
    /// Each with the generation of its key: slots are reused, and timers and batches hold keys of tasks that may be gone.
    tasks: Slab<(u32, Task)>,
    /// Slots by task id.
    names: Names<u32>,
    /// Tasks that have not ended and that time may change, by when to look at them.
    alive: BTreeSet<(Time, TaskKey)>,
    /// Completed and cancelled tasks, by their end.
    completed: BTreeSet<(Time, TaskKey)>,
    /// Failed tasks, by their end.
    failed: BTreeSet<(Time, TaskKey)>,
    next_generation: u32,
}

impl TaskTable {
    pub fn new(seed: [u64; 2]) -> Self {
        Self {
            tasks: Slab::new(),
            names: Names::new([seed[0], seed[1], !seed[1], !seed[0]]),
            alive: BTreeSet::new(),
            completed: BTreeSet::new(),
            failed: BTreeSet::new(),
            next_generation: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether `count` more tasks could be created, of `max_tasks` (0: no limit). Ended tasks give way, except for the `reopened` ones that
    /// the same request needs.
    pub fn has_room_for(&self, count: usize, reopened: usize, max_tasks: usize) -> bool {
        let over = (self.tasks.len() + count).saturating_sub(max_tasks);
        if max_tasks == 0 || over == 0 {
            return true;
        }
        self.completed.len() + self.failed.len() >= over + reopened
    }

    pub fn find(&self, id: &str) -> Option<TaskKey> {
        // Indexing cannot fail: a slot that is freed leaves `names`.
        let index = self.names.find(id, id_in(&self.tasks))?;
        let generation = self.tasks[index as usize].0;
        Some(TaskKey { index, generation })
    }

    pub fn named(&self, id: &str) -> Option<&Task> {
        self.task(self.find(id)?)
    }

    /// Adds a task. Its id must not be in the table, and the caller has made room.
    pub fn insert(&mut self, task: Task) -> TaskKey {
        // A stale key would have to survive four billion insertions to meet its generation again.
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let index = self.tasks.insert((generation, task)) as u32;
        self.names.insert(index, id_in(&self.tasks));
        debug_assert_eq!(self.names.len(), self.tasks.len());
        TaskKey { index, generation }
    }

    pub fn keys(&self) -> Vec<TaskKey> {
        // Collected, because callers change the tasks as they go.
        let tasks = self.tasks.iter();
        tasks
            .map(|(index, (generation, _))| TaskKey {
                index: index as u32,
                generation: *generation,
            })
            .collect()
    }

    /// `None` when there is room for another task, else the ended task that has to give way first.
    pub fn room_for_one(&self, max_tasks: usize) -> Result<Option<TaskKey>, TooManyTasks> {
        if max_tasks == 0 || self.tasks.len() < max_tasks {
            return Ok(None);
        }
        self.first_to_go().map(Some).ok_or(TooManyTasks)
    }

    /// The ended task to give way: the oldest that did not fail, else the oldest that did, because failures are looked up later.
    pub fn first_to_go(&self) -> Option<TaskKey> {
        let oldest = self.completed.first().or(self.failed.first());
        oldest.map(|(_, key)| *key)
    }

    /// More tasks than allowed, as after a restart with a lower limit.
    pub fn is_over_full(&self, max_tasks: usize) -> bool {
        max_tasks > 0 && self.tasks.len() > max_tasks
    }

    /// The live task to look at first, and when.
    pub fn first_alive(&self) -> Option<(Time, TaskKey)> {
        self.alive.first().copied()
    }

    /// The oldest completed or cancelled task, and its end.
    pub fn first_completed(&self) -> Option<(Time, TaskKey)> {
        self.completed.first().copied()
    }

    /// The oldest failed task, and its end.
    pub fn first_failed(&self) -> Option<(Time, TaskKey)> {
        self.failed.first().copied()
    }

    /// Moves a task to another list, or to another place in its list.
    pub fn list(&mut self, key: TaskKey, listing: Listing) {
        let task = self.task_mut(key);
        let before = task.map(|task| std::mem::replace(&mut task.listing, listing));
        if let Some(before) = before.filter(|before| *before != listing) {
            self.unlist(key, before);
            let list = self.list_of(listing);
            list.map(|(list, at)| list.insert((at, key)));
        }
    }

    fn unlist(&mut self, key: TaskKey, listing: Listing) {
        self.list_of(listing)
            .map(|(list, at)| list.remove(&(at, key)));
    }

    fn list_of(&mut self, listing: Listing) -> Option<(&mut BTreeSet<(Time, TaskKey)>, Time)> {
        match listing {
            Listing::Unlisted => None,
            Listing::Alive(at) => Some((&mut self.alive, at)),
            Listing::Completed(at) => Some((&mut self.completed, at)),
            Listing::Failed(at) => Some((&mut self.failed, at)),
        }
    }

    /// `None` when the task is gone, even if its slot holds another.
    pub fn task(&self, key: TaskKey) -> Option<&Task> {
        self.tasks
            .get(key.index as usize)
            .filter(|(generation, _)| *generation == key.generation)
            .map(|(_, task)| task)
    }

    pub fn task_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        self.tasks
            .get_mut(key.index as usize)
            .filter(|(generation, _)| *generation == key.generation)
            .map(|(_, task)| task)
    }

    pub fn remove(&mut self, key: TaskKey) -> Option<Task> {
        self.task(key)?;
        let (_, task) = self.tasks.remove(key.index as usize);
        self.names.remove(&task.id, key.index);
        self.unlist(key, task.listing);
        debug_assert_eq!(self.names.len(), self.tasks.len());
        // A slab never shrinks by itself: after a peak its memory would stay.
        if self.tasks.is_empty() {
            self.tasks.shrink_to_fit();
        }
        Some(task)
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Task)> {
        self.iter_from(0)
    }

    /// Every task from a slot on, in the order of slots, so that a listing in pages can use the slot as its cursor.
    pub fn iter_from(&self, slot: usize) -> impl Iterator<Item = (usize, &Task)> {
        let slots = slot..self.tasks.capacity();
        slots.filter_map(|slot| Some((slot, &self.tasks.get(slot)?.1)))
    }
}

fn id_in<'a>(tasks: &'a Slab<(u32, Task)>) -> impl Fn(u32) -> &'a str {
    |slot| &tasks[slot as usize].1.id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(cache: &mut TaskTable, id: &str) -> TaskKey {
        cache.insert(Task::new(id.into(), Time::ZERO))
    }

    fn cache<const N: usize>(ids: [&str; N]) -> (TaskTable, [TaskKey; N]) {
        let mut cache = TaskTable::new([1, 2]);
        let keys = ids.map(|id| create(&mut cache, id));
        (cache, keys)
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn a_task_that_ends_again_makes_room_once_and_last() {
        let (mut cache, [first, second]) = cache(["a", "b"]);
        (0..100).for_each(|second| cache.list(first, Listing::Completed(at(second))));
        assert!(cache.has_room_for(1, 0, 2) && !cache.has_room_for(2, 0, 2));
        cache.list(second, Listing::Completed(at(101)));
        cache.list(first, Listing::Completed(at(102)));
        assert_eq!(cache.room_for_one(2), Ok(Some(second)));
    }

    #[test]
    fn completed_tasks_make_room_before_older_failed_ones() {
        let (mut cache, [failed, alive, completed]) = cache(["f", "a", "c"]);
        cache.list(failed, Listing::Failed(at(1)));
        cache.list(alive, Listing::Alive(at(0)));
        cache.list(completed, Listing::Completed(at(2)));
        for expected in [completed, failed] {
            assert_eq!(cache.room_for_one(3), Ok(Some(expected)));
            cache.remove(expected);
            create(&mut cache, "next");
        }
        assert_eq!(cache.room_for_one(3), Err(TooManyTasks));
    }

    #[test]
    fn a_task_leaves_no_entry_in_any_list() {
        let (mut cache, [task]) = cache(["t"]);
        for listing in [
            Listing::Alive(at(1)),
            Listing::Failed(at(2)),
            Listing::Alive(at(3)),
            Listing::Completed(at(4)),
        ] {
            cache.list(task, listing);
            let lists = [&cache.alive, &cache.completed, &cache.failed];
            assert_eq!(lists.map(BTreeSet::len).iter().sum::<usize>(), 1);
        }
        cache.remove(task);
        assert_eq!(cache.first_to_go(), None);
    }
}
