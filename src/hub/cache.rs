//! The tasks that are known: found by id, named by key, bounded in number.

use super::task::Task;
use crate::base::time::Now;
use hashbrown::HashTable;
use slab::Slab;
use std::collections::VecDeque;

/// Names a task while it is known; a stale key finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    index: u32,
    generation: u32,
}

/// There are as many tasks as allowed, and none of them has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTasks;

/// One end of a task: it counts unless the task has begun anew, or ended again, since.
#[derive(Debug, Clone, Copy)]
struct Ending {
    key: TaskKey,
    number: u32,
}

/// The known tasks.
#[derive(Debug)]
pub struct TaskCache {
    tasks: Slab<(u32, Task)>,
    names: HashTable<u32>,
    hasher: ahash::RandomState,
    ended: VecDeque<Ending>,
    next_ending: u32,
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
            ended: VecDeque::new(),
            next_ending: 0,
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
    pub fn has_room_for(&self, count: usize) -> bool {
        let over = (self.tasks.len() + count).saturating_sub(self.max_tasks);
        if self.max_tasks == 0 || over == 0 {
            return true;
        }
        let ended = self.ended.iter().filter(|ending| self.counts(**ending));
        ended.take(over).count() == over
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

    /// Makes a task. The caller has seen that there is none of that id and that there is room.
    pub fn create(&mut self, id: &str, now: Now) -> TaskKey {
        self.insert(Task::new(id.into(), now.at))
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
    pub fn room_for_one(&mut self) -> Result<Option<TaskKey>, TooManyTasks> {
        if self.max_tasks == 0 || self.tasks.len() < self.max_tasks {
            return Ok(None);
        }
        while let Some(ending) = self.ended.pop_front() {
            if self.counts(ending) {
                return Ok(Some(ending.key));
            }
        }
        Err(TooManyTasks)
    }

    fn counts(&self, ending: Ending) -> bool {
        let is_last = |task: &Task| task.ending == ending.number && task.view.status.is_terminal();
        self.task(ending.key).is_some_and(is_last)
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

    /// Takes note that a task has ended, so that it may make room.
    pub fn handle_ended(&mut self, key: TaskKey) {
        if self.max_tasks == 0 {
            return;
        }
        self.next_ending = self.next_ending.wrapping_add(1);
        let number = self.next_ending;
        if let Some(task) = self.task_mut(key) {
            task.ending = number;
        }
        self.ended.push_back(Ending { key, number });
        if self.ended.len() > self.max_tasks.saturating_mul(2) {
            let mut ended = std::mem::take(&mut self.ended);
            ended.retain(|ending| self.counts(*ending));
            self.ended = ended;
        }
    }

    /// Forgets a task.
    pub fn remove(&mut self, key: TaskKey) -> Option<Task> {
        let hash = self.hasher.hash_one(&*self.task(key)?.id);
        if let Ok(entry) = self.names.find_entry(hash, |slot| *slot == key.index) {
            entry.remove();
        }
        let (_, task) = self.tasks.remove(key.index as usize);
        if self.tasks.is_empty() {
            self.tasks.shrink_to_fit();
            self.names = HashTable::new();
            self.ended = VecDeque::new();
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
    use crate::wire::message::Status;

    fn end(cache: &mut TaskCache, key: TaskKey) {
        cache.task_mut(key).unwrap().view.status = Status::Completed;
        cache.handle_ended(key);
    }

    #[test]
    fn a_task_that_ends_again_makes_room_once_and_last() {
        let mut cache = TaskCache::new(2, [1, 2]);
        let (first, second) = (
            cache.create("a", Now::default()),
            cache.create("b", Now::default()),
        );
        (0..100).for_each(|_| end(&mut cache, first));
        assert!(
            cache.ended.len() <= 4,
            "{} ends are kept",
            cache.ended.len()
        );
        assert!(cache.has_room_for(1) && !cache.has_room_for(2));
        end(&mut cache, second);
        end(&mut cache, first);
        assert_eq!(cache.room_for_one(), Ok(Some(second)));
    }
}
