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

/// The known tasks.
#[derive(Debug)]
pub struct TaskCache {
    tasks: Slab<(u32, Task)>,
    names: HashTable<u32>,
    hasher: ahash::RandomState,
    ended: VecDeque<TaskKey>,
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
        let ended = self
            .ended
            .iter()
            .filter(|key| self.task(**key).is_some_and(has_ended));
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
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let index = self
            .tasks
            .insert((generation, Task::new(id.into(), now.at))) as u32;
        let (tasks, hasher) = (&self.tasks, &self.hasher);
        self.names
            .insert_unique(hasher.hash_one(id), index, |slot| {
                hasher.hash_one(&*tasks[*slot as usize].1.id)
            });
        TaskKey { index, generation }
    }

    /// Whether a task could be made now; else the ended task that should make room for it.
    pub fn room_for_one(&mut self) -> Result<Option<TaskKey>, TooManyTasks> {
        if self.max_tasks == 0 || self.tasks.len() < self.max_tasks {
            return Ok(None);
        }
        while let Some(key) = self.ended.pop_front() {
            if self.task(key).is_some_and(has_ended) {
                return Ok(Some(key));
            }
        }
        Err(TooManyTasks)
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
        if self.max_tasks > 0 {
            self.ended.push_back(key);
            if self.ended.len() > self.max_tasks.saturating_mul(2) {
                let tasks = &self.tasks;
                self.ended.retain(|key| {
                    tasks
                        .get(key.index as usize)
                        .is_some_and(|(generation, _)| *generation == key.generation)
                });
            }
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

fn has_ended(task: &Task) -> bool {
    task.view.status.is_terminal()
}
