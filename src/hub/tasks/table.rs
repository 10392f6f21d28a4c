//! The tasks that are known: found by id, named by key, bounded in number.

use crate::base::time::Time;
use crate::hub::keys::TaskKey;
use crate::hub::tasks::listing::Listing;
use crate::hub::tasks::state::Task;
use hashbrown::HashTable;
use slab::Slab;
use std::collections::BTreeSet;

/// There are as many tasks as allowed, and none of them has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTasks;

/// The known tasks.
#[derive(Debug)]
pub struct TaskCache {
    tasks: Slab<(u32, Task)>,
    names: HashTable<u32>,
    hasher: ahash::RandomState,
    /// Those that have not ended and that time may change, by when to look at them.
    alive: BTreeSet<(Time, TaskKey)>,
    /// Those that completed or were cancelled, by their end.
    completed: BTreeSet<(Time, TaskKey)>,
    /// Those that failed, by their end.
    failed: BTreeSet<(Time, TaskKey)>,
    next_generation: u32,
    max_tasks: usize,
}

impl TaskCache {
    /// An empty cache of at most `max_tasks` tasks (0: no limit).
    pub fn new(max_tasks: usize, seed: [u64; 2]) -> Self {
        Self {
            tasks: Slab::new(),
            names: HashTable::new(),
            hasher: ahash::RandomState::with_seeds(seed[0], seed[1], !seed[1], !seed[0]),
            alive: BTreeSet::new(),
            completed: BTreeSet::new(),
            failed: BTreeSet::new(),
            next_generation: 0,
            max_tasks,
        }
    }

    /// How many tasks are known.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether so many more tasks could be made, counting the ended ones that would make room.
    pub fn has_room_for(&self, count: usize, reopened: usize) -> bool {
        let over = (self.tasks.len() + count).saturating_sub(self.max_tasks);
        if self.max_tasks == 0 || over == 0 {
            return true;
        }
        self.completed.len() + self.failed.len() >= over + reopened
    }

    /// The task of that id.
    pub fn find(&self, id: &str) -> Option<TaskKey> {
        let slot = self.names.find(self.hasher.hash_one(id), |slot| {
            &*self.tasks[*slot as usize].1.id == id
        })?;
        Some(TaskKey {
            index: *slot,
            generation: self.tasks[*slot as usize].0,
        })
    }

    /// Adds a task. The caller has seen that there is none of that id.
    pub fn insert(&mut self, task: Task) -> TaskKey {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let hash = self.hasher.hash_one(&*task.id);
        let index = self.tasks.insert((generation, task)) as u32;
        let (tasks, hasher) = (&self.tasks, &self.hasher);
        self.names.insert_unique(hash, index, |slot| {
            hasher.hash_one(&*tasks[*slot as usize].1.id)
        });
        TaskKey { index, generation }
    }

    /// The keys of all tasks.
    pub fn keys(&self) -> Vec<TaskKey> {
        let tasks = self.tasks.iter();
        tasks
            .map(|(index, (generation, _))| TaskKey {
                index: index as u32,
                generation: *generation,
            })
            .collect()
    }

    /// Whether a task could be made now; else the ended task that should make room for it.
    pub fn room_for_one(&self) -> Result<Option<TaskKey>, TooManyTasks> {
        if self.max_tasks == 0 || self.tasks.len() < self.max_tasks {
            return Ok(None);
        }
        self.first_to_go().map(Some).ok_or(TooManyTasks)
    }

    /// The ended task that is missed least: the oldest that did not fail, else the oldest of all.
    pub fn first_to_go(&self) -> Option<TaskKey> {
        let oldest = self.completed.first().or(self.failed.first());
        oldest.map(|(_, key)| *key)
    }

    /// Whether there are more tasks than allowed, as after a restart with a lower limit.
    pub fn is_over_full(&self) -> bool {
        self.max_tasks > 0 && self.tasks.len() > self.max_tasks
    }

    /// The task that time may change first, and when to look at it.
    pub fn first_alive(&self) -> Option<(Time, TaskKey)> {
        self.alive.first().copied()
    }

    /// The oldest task that has completed or was cancelled, and its end.
    pub fn first_completed(&self) -> Option<(Time, TaskKey)> {
        self.completed.first().copied()
    }

    /// The oldest task that has failed, and its end.
    pub fn first_failed(&self) -> Option<(Time, TaskKey)> {
        self.failed.first().copied()
    }

    /// Puts a task into another list, or to another place in it.
    pub fn list(&mut self, key: TaskKey, listing: Listing) {
        let Some(task) = self.task_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut task.listing, listing);
        if before != listing {
            self.unlist(key, before);
            match listing {
                Listing::Unlisted => false,
                Listing::Alive(at) => self.alive.insert((at, key)),
                Listing::Completed(at) => self.completed.insert((at, key)),
                Listing::Failed(at) => self.failed.insert((at, key)),
            };
        }
    }

    fn unlist(&mut self, key: TaskKey, listing: Listing) {
        match listing {
            Listing::Unlisted => false,
            Listing::Alive(at) => self.alive.remove(&(at, key)),
            Listing::Completed(at) => self.completed.remove(&(at, key)),
            Listing::Failed(at) => self.failed.remove(&(at, key)),
        };
    }

    /// The task of that key.
    pub fn task(&self, key: TaskKey) -> Option<&Task> {
        self.tasks
            .get(key.index as usize)
            .filter(|(generation, _)| *generation == key.generation)
            .map(|(_, task)| task)
    }

    /// The task of that key, to be changed.
    pub fn task_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        self.tasks
            .get_mut(key.index as usize)
            .filter(|(generation, _)| *generation == key.generation)
            .map(|(_, task)| task)
    }

    /// Forgets a task.
    pub fn remove(&mut self, key: TaskKey) -> Option<Task> {
        let hash = self.hasher.hash_one(&*self.task(key)?.id);
        if let Ok(entry) = self.names.find_entry(hash, |slot| *slot == key.index) {
            entry.remove();
        }
        let (_, task) = self.tasks.remove(key.index as usize);
        self.unlist(key, task.listing);
        if self.tasks.is_empty() {
            self.tasks.shrink_to_fit();
            self.names = HashTable::new();
        }
        Some(task)
    }

    /// Every task, in the order of their slots: a slot number is a cursor.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Task)> {
        self.tasks.iter().map(|(slot, (_, task))| (slot, task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(cache: &mut TaskCache, id: &str) -> TaskKey {
        cache.insert(Task::new(id.into(), Time::ZERO))
    }

    fn cache<const N: usize>(max_tasks: usize, ids: [&str; N]) -> (TaskCache, [TaskKey; N]) {
        let mut cache = TaskCache::new(max_tasks, [1, 2]);
        let keys = ids.map(|id| create(&mut cache, id));
        (cache, keys)
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn a_task_that_ends_again_makes_room_once_and_last() {
        let (mut cache, [first, second]) = cache(2, ["a", "b"]);
        (0..100).for_each(|second| cache.list(first, Listing::Completed(at(second))));
        assert!(cache.has_room_for(1, 0) && !cache.has_room_for(2, 0));
        cache.list(second, Listing::Completed(at(101)));
        cache.list(first, Listing::Completed(at(102)));
        assert_eq!(cache.room_for_one(), Ok(Some(second)));
    }

    #[test]
    fn completed_tasks_make_room_before_older_failed_ones() {
        let (mut cache, [failed, alive, completed]) = cache(3, ["f", "a", "c"]);
        cache.list(failed, Listing::Failed(at(1)));
        cache.list(alive, Listing::Alive(at(0)));
        cache.list(completed, Listing::Completed(at(2)));
        for expected in [completed, failed] {
            assert_eq!(cache.room_for_one(), Ok(Some(expected)));
            cache.remove(expected);
            create(&mut cache, "next");
        }
        assert_eq!(cache.room_for_one(), Err(TooManyTasks));
    }

    #[test]
    fn a_task_leaves_no_entry_in_any_list() {
        let (mut cache, [task]) = cache(1, ["t"]);
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
