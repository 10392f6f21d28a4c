//! A hierarchical timer wheel: schedule, cancel and reschedule in O(1), any deadline that `Time` can express. It owns
//! the timers and their order and knows nothing of what they mean; it reads no clock. Deadlines are rounded up to the
//! next tick of one millisecond, so nothing fires early. Timers of one tick fire in the order they were scheduled.
//!
//! The nodes lie in one vector and hang together in circular lists; `lists` says which list a deadline belongs to.

mod lists;

use super::index::Index;
use super::time::Time;
use core::num::NonZeroU32;
use lists::{List, Lists, TICK_MAX};

const TICK_MICROS: u64 = 1_000;

#[derive(Debug)]
pub struct Wheel<K> {
    nodes: Vec<Node<K>>,
    lists: Lists,
    current_tick: u64,
    len: usize,
}

/// A timer that fired or was cancelled leaves a stale id, which does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: Index,
    generation: NonZeroU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired<K> {
    /// Already stale; for comparing with the id that the owner keeps.
    pub id: TimerId,
    pub payload: K,
}

/// Every node is in exactly one circular list, including vacant ones.
#[derive(Debug)]
struct Node<K> {
    deadline_tick: u64,
    previous: Index,
    next: Index,
    generation: NonZeroU32,
    list: List,
    payload: K,
}

impl<K: Copy> Wheel<K> {
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            lists: Lists::default(),
            current_tick: 0,
            len: 0,
        }
    }

    /// A deadline in the past fires on the next `advance`.
    pub fn schedule(&mut self, at: Time, payload: K) -> TimerId {
        let index = self.take_vacant(payload);
        self.link_ahead(index, at);
        self.len += 1;
        TimerId {
            index,
            generation: self.node(index).generation,
        }
    }

    /// `None` if the timer fired or was cancelled.
    pub fn cancel(&mut self, id: TimerId) -> Option<K> {
        let index = self.find(id)?;
        Some(self.release(index))
    }

    /// Also moves a timer that has expired but was not popped; `false` if it is gone.
    pub fn reschedule(&mut self, id: TimerId, at: Time) -> bool {
        let Some(index) = self.find(id) else {
            return false;
        };
        self.unlink(index);
        self.link_ahead(index, at);
        true
    }

    /// When to call `advance` next: never after the first timer is due, perhaps before. Advancing to an early one
    /// brings the true deadline nearer, at most once per level.
    pub fn next_deadline(&self) -> Option<Time> {
        let is_any_due =
            self.lists.head(List::DUE).is_some() || self.lists.head(List::OVERDUE).is_some();
        if is_any_due {
            return Some(Time::from_millis(self.current_tick));
        }
        self.lists
            .earliest_slot(self.current_tick)
            .map(|slot| Time::from_millis(slot.first_tick))
    }

    /// Moves time forward, so that `pop_expired` yields every timer that is due. Time never runs backwards.
    pub fn advance(&mut self, now: Time) {
        let now_tick = now.as_millis().max(self.current_tick);
        self.move_due(List::OVERDUE);
        while let Some(slot) = self.lists.earliest_slot(self.current_tick)
            && slot.first_tick <= now_tick
        {
            self.current_tick = slot.first_tick;
            self.move_due(slot.list);
        }
        self.current_tick = now_tick;
        debug_assert!(
            self.lists
                .earliest_slot(now_tick)
                .is_none_or(|slot| slot.first_tick > now_tick),
            "every occupied slot lies ahead"
        );
    }

    /// The earliest deadline first. Timers scheduled while popping wait for the next `advance` even if they are due at
    /// once, so popping always ends.
    pub fn pop_expired(&mut self) -> Option<Expired<K>> {
        let index = self.lists.head(List::DUE)?;
        let id = TimerId {
            index,
            generation: self.node(index).generation,
        };
        Some(Expired {
            id,
            payload: self.release(index),
        })
    }

    /// Includes timers that expired and were not popped.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn find(&self, id: TimerId) -> Option<Index> {
        let node = self.nodes.get(id.index.position())?;
        (node.generation == id.generation).then_some(id.index)
    }

    fn take_vacant(&mut self, payload: K) -> Index {
        if let Some(first) = self.lists.head(List::VACANT) {
            let last_released = self.node(first).previous;
            debug_assert!(self.node(last_released).list == List::VACANT);
            self.unlink(last_released);
            self.node_mut(last_released).payload = payload;
            return last_released;
        }
        let index = Index::new(self.nodes.len());
        self.nodes.push(Node {
            deadline_tick: 0,
            previous: index,
            next: index,
            generation: NonZeroU32::MIN,
            list: List::VACANT,
            payload,
        });
        index
    }

    fn release(&mut self, index: Index) -> K {
        self.unlink(index);
        debug_assert!(self.node(index).list != List::VACANT, "a timer ends once");
        self.link(index, List::VACANT);
        self.len -= 1;
        let node = self.node_mut(index);
        node.generation = node.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        node.payload
    }

    fn link_ahead(&mut self, index: Index, at: Time) {
        let deadline_tick = at.as_micros().div_ceil(TICK_MICROS).min(TICK_MAX);
        self.node_mut(index).deadline_tick = deadline_tick;
        self.link(
            index,
            List::ahead(self.current_tick, deadline_tick).unwrap_or(List::OVERDUE),
        );
    }

    /// Empties a list whose time has come: due timers become due, the others move to a lower level.
    fn move_due(&mut self, list: List) {
        while let Some(index) = self.lists.head(list) {
            self.unlink(index);
            let deadline_tick = self.node(index).deadline_tick;
            self.link(
                index,
                List::ahead(self.current_tick, deadline_tick).unwrap_or(List::DUE),
            );
        }
    }

    fn link(&mut self, index: Index, list: List) {
        let (previous, next) = match self.lists.head(list) {
            Some(head) => (self.node(head).previous, head),
            None => {
                self.lists.set_head(list, Some(index));
                (index, index)
            }
        };
        self.node_mut(previous).next = index;
        self.node_mut(next).previous = index;
        let node = self.node_mut(index);
        (node.previous, node.next, node.list) = (previous, next, list);
    }

    fn unlink(&mut self, index: Index) {
        let &Node {
            previous,
            next,
            list,
            ..
        } = self.node(index);
        self.node_mut(previous).next = next;
        self.node_mut(next).previous = previous;
        if self.lists.head(list) == Some(index) {
            self.lists.set_head(list, (next != index).then_some(next));
        }
    }

    fn node(&self, index: Index) -> &Node<K> {
        &self.nodes[index.position()]
    }

    fn node_mut(&mut self, index: Index) -> &mut Node<K> {
        &mut self.nodes[index.position()]
    }
}

impl<K: Copy> Default for Wheel<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Span;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, VecDeque};

    const YEAR_MICROS: u64 = 365 * 24 * 3_600 * 1_000_000;

    fn pop_all<K: Copy>(wheel: &mut Wheel<K>) -> Vec<K> {
        core::iter::from_fn(|| wheel.pop_expired())
            .map(|expired| expired.payload)
            .collect()
    }

    #[test]
    fn is_small() {
        assert_eq!(size_of::<Node<[u32; 3]>>(), 40);
        assert_eq!(size_of::<Option<TimerId>>(), 8);
    }

    #[test]
    fn fires_at_its_millisecond_and_not_before() {
        let mut wheel = Wheel::new();
        wheel.schedule(Time::from_micros(1_500), 'a');
        assert_eq!(wheel.next_deadline(), Some(Time::from_millis(2)));
        wheel.advance(Time::from_micros(1_999));
        assert_eq!(wheel.pop_expired(), None);
        wheel.advance(Time::from_millis(2));
        assert_eq!(pop_all(&mut wheel), ['a']);
        assert!(wheel.is_empty() && wheel.next_deadline().is_none());
    }

    #[test]
    fn the_past_fires_on_the_next_advance_only() {
        let mut wheel = Wheel::new();
        wheel.advance(Time::from_millis(500));
        wheel.schedule(Time::from_millis(7), 'a');
        assert_eq!(wheel.pop_expired(), None);
        assert_eq!(wheel.next_deadline(), Some(Time::from_millis(500)));
        wheel.advance(Time::from_millis(500));
        assert_eq!(
            wheel.pop_expired().map(|expired| expired.payload),
            Some('a')
        );
        wheel.schedule(Time::from_millis(500), 'b');
        assert_eq!(
            wheel.pop_expired(),
            None,
            "popping must end even if each timer schedules another at once"
        );
    }

    #[test]
    fn stale_ids_do_no_harm() {
        let mut wheel = Wheel::new();
        let fired = wheel.schedule(Time::from_millis(1), 'a');
        wheel.advance(Time::from_millis(1));
        assert_eq!(
            wheel.pop_expired(),
            Some(Expired {
                id: fired,
                payload: 'a'
            })
        );
        let successor = wheel.schedule(Time::from_millis(2), 'b');
        assert_eq!(wheel.cancel(fired), None);
        assert!(!wheel.reschedule(fired, Time::from_millis(9)));
        assert_eq!(wheel.cancel(successor), Some('b'));
        assert_eq!(wheel.cancel(successor), None);
        assert_eq!(wheel.nodes.len(), 1, "the node is used again");
    }

    #[test]
    fn an_expired_timer_can_be_cancelled_or_moved_until_it_is_popped() {
        let mut wheel = Wheel::new();
        let cancelled = wheel.schedule(Time::from_millis(1), 'a');
        let moved = wheel.schedule(Time::from_millis(1), 'b');
        wheel.advance(Time::from_millis(1));
        assert_eq!(wheel.cancel(cancelled), Some('a'));
        assert!(wheel.reschedule(moved, Time::from_millis(2)));
        assert_eq!(wheel.pop_expired(), None);
        wheel.advance(Time::from_millis(2));
        assert_eq!(pop_all(&mut wheel), ['b']);
    }

    #[test]
    fn the_end_of_time_can_be_waited_for() {
        let mut wheel = Wheel::new();
        wheel.schedule(Time::from_micros(u64::MAX), 'z');
        assert_eq!(sleep_until_empty(&mut wheel), [(TICK_MAX, 'z')]);
    }

    /// Sleeps exactly as long as `next_deadline` says; returns each payload with the tick it fired at.
    fn sleep_until_empty<K: Copy>(wheel: &mut Wheel<K>) -> Vec<(u64, K)> {
        let mut fired = Vec::new();
        let advances_max = (wheel.len() + 1) * (lists::LEVELS + 1);
        for _ in 0..advances_max {
            let Some(deadline) = wheel.next_deadline() else {
                return fired;
            };
            wheel.advance(deadline);
            fired.extend(
                pop_all(wheel)
                    .into_iter()
                    .map(|payload| (deadline.as_millis(), payload)),
            );
        }
        panic!("no progress after {advances_max} advances");
    }

    /// What a wheel does, on an ordered map: deadlines with the order of scheduling, and what is due.
    #[derive(Default)]
    struct Model {
        now: Time,
        scheduled: u64,
        waiting: BTreeMap<(u64, u64), usize>,
        due: VecDeque<usize>,
    }

    impl Model {
        fn schedule(&mut self, at: Time, payload: usize) {
            let tick = at.as_micros().div_ceil(1_000).max(self.now.as_millis());
            self.waiting.insert((tick, self.scheduled), payload);
            self.scheduled += 1;
        }

        fn remove(&mut self, payload: usize) -> bool {
            let len_before = self.len();
            self.waiting.retain(|_, waiting| *waiting != payload);
            self.due.retain(|due| *due != payload);
            self.len() < len_before
        }

        fn advance(&mut self, now: Time) {
            self.now = self.now.max(now);
            let later = self.waiting.split_off(&(self.now.as_millis() + 1, 0));
            self.due
                .extend(core::mem::replace(&mut self.waiting, later).into_values());
        }

        fn next_tick(&self) -> Option<u64> {
            if !self.due.is_empty() {
                return Some(self.now.as_millis());
            }
            self.waiting.keys().next().map(|(tick, _)| *tick)
        }

        fn len(&self) -> usize {
            self.waiting.len() + self.due.len()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Schedule { delay_micros: u64 },
        SchedulePast { ago_micros: u64 },
        Cancel { which: usize },
        Reschedule { which: usize, delay_micros: u64 },
        Advance { by_micros: u64 },
        AdvanceToDeadline,
        Pop { at_most: usize },
    }

    fn span_micros() -> impl Strategy<Value = u64> {
        prop_oneof![
            0u64..5_000,
            (0u64..200).prop_map(|millis| millis * 1_000),
            0u64..100_000_000,
            0u64..90_000_000_000,
            0u64..3 * YEAR_MICROS,
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => span_micros().prop_map(|delay_micros| Step::Schedule { delay_micros }),
            1 => (0u64..10_000).prop_map(|ago_micros| Step::SchedulePast { ago_micros }),
            2 => any::<usize>().prop_map(|which| Step::Cancel { which }),
            2 => (any::<usize>(), span_micros())
                .prop_map(|(which, delay_micros)| Step::Reschedule { which, delay_micros }),
            3 => span_micros().prop_map(|by_micros| Step::Advance { by_micros }),
            3 => Just(Step::AdvanceToDeadline),
            4 => (0usize..10).prop_map(|at_most| Step::Pop { at_most }),
        ]
    }

    /// The wheel and its model, driven in step. A timer's payload is its place in `ids`.
    #[derive(Default)]
    struct Pair {
        wheel: Wheel<usize>,
        model: Model,
        ids: Vec<TimerId>,
    }

    impl Pair {
        fn apply(&mut self, step: &Step) {
            match *step {
                Step::Schedule { delay_micros } => {
                    self.schedule(self.model.now + Span::from_micros(delay_micros))
                }
                Step::SchedulePast { ago_micros } => {
                    self.schedule(Time::from_micros(
                        self.model.now.as_micros().saturating_sub(ago_micros),
                    ));
                }
                Step::Cancel { which } => self.with_some_timer(which, |pair, payload, id| {
                    let expected = pair.model.remove(payload).then_some(payload);
                    assert_eq!(pair.wheel.cancel(id), expected);
                }),
                Step::Reschedule {
                    which,
                    delay_micros,
                } => self.with_some_timer(which, |pair, payload, id| {
                    let at = pair.model.now + Span::from_micros(delay_micros);
                    let is_alive = pair.model.remove(payload);
                    assert_eq!(pair.wheel.reschedule(id, at), is_alive);
                    if is_alive {
                        pair.model.schedule(at, payload);
                    }
                }),
                Step::Advance { by_micros } => {
                    self.advance(self.model.now + Span::from_micros(by_micros))
                }
                Step::AdvanceToDeadline => {
                    self.advance(self.wheel.next_deadline().unwrap_or(self.model.now))
                }
                Step::Pop { at_most } => (0..at_most).for_each(|_| {
                    let popped = self.wheel.pop_expired();
                    assert_eq!(
                        popped.map(|expired| expired.payload),
                        self.model.due.pop_front()
                    );
                    assert!(popped.is_none_or(|expired| expired.id == self.ids[expired.payload]));
                }),
            }
        }

        fn schedule(&mut self, at: Time) {
            let payload = self.ids.len();
            self.ids.push(self.wheel.schedule(at, payload));
            self.model.schedule(at, payload);
        }

        fn with_some_timer(
            &mut self,
            which: usize,
            action: impl FnOnce(&mut Self, usize, TimerId),
        ) {
            if !self.ids.is_empty() {
                let payload = which % self.ids.len();
                action(self, payload, self.ids[payload]);
            }
        }

        fn advance(&mut self, now: Time) {
            self.wheel.advance(now);
            self.model.advance(now);
        }

        fn check(&self) {
            assert_eq!(self.wheel.len(), self.model.len());
            assert_eq!(self.wheel.is_empty(), self.model.len() == 0);
            let next_tick = self.wheel.next_deadline().map(Time::as_millis);
            assert_eq!(next_tick.is_some(), self.model.next_tick().is_some());
            assert!(
                next_tick <= self.model.next_tick(),
                "{next_tick:?} > {:?}",
                self.model.next_tick()
            );
            self.wheel.lists.check_invariants();
        }
    }

    proptest! {
        #[test]
        fn agrees_with_an_ordered_map(steps in prop::collection::vec(step(), 0..150)) {
            let mut pair = Pair::default();
            for step in &steps {
                pair.apply(step);
                pair.check();
            }
        }

        #[test]
        fn sleeping_as_told_fires_each_timer_at_its_own_tick(
            start_micros in span_micros(),
            delays_micros in prop::collection::vec(span_micros(), 0..60),
        ) {
            let start = Time::from_micros(start_micros);
            let mut wheel = Wheel::new();
            wheel.advance(start);
            let mut expected = Vec::new();
            for (order, delay_micros) in delays_micros.into_iter().enumerate() {
                let at = start + Span::from_micros(delay_micros);
                wheel.schedule(at, order);
                expected.push((at.as_micros().div_ceil(1_000).max(start.as_millis()), order));
            }
            expected.sort_unstable();
            prop_assert_eq!(sleep_until_empty(&mut wheel), expected);
        }
    }
}
