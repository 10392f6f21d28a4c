//! What a connection still has to send: a chain of shared chunks. All chains live in one `ChunkPool`, so an idle
//! connection owns no heap and a push allocates nothing once the pool has grown to what the load needs. A `ChunkQueue`
//! must be cleared before it is dropped, and always be used with the same pool. It never copies bytes and knows no
//! frames: by convention a chunk is a whole frame, which is what makes `truncate_unstarted` safe.

use super::index::Index;
use super::shrink::LateShrink;
use bytes::{Buf, Bytes};
use core::iter;
use slab::Slab;

/// An empty pool keeps memory for this many chunks (40 KiB), so that light traffic does not allocate every turn.
const CHUNKS_KEPT: usize = 1024;

/// What a chunk costs beside its bytes: its node, and the allocation that `Bytes` makes.
pub const CHUNK_COST: usize = size_of::<Node>() + 56;

#[derive(Debug, Default)]
pub struct ChunkPool {
    nodes: Slab<Node>,
    shrink: LateShrink,
}

#[derive(Debug)]
struct Node {
    chunk: Bytes,
    next: Option<Index>,
}

/// The outbound bytes of one connection, oldest first. `Default` is empty.
#[derive(Debug, Default)]
pub struct ChunkQueue {
    ends: Option<Ends>,
    chunks: u32,
    bytes: u64,
    is_first_started: bool,
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: Index,
    last: Index,
}

impl ChunkPool {
    /// Of all queues together.
    pub fn len_chunks(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn insert(&mut self, chunk: Bytes) -> Index {
        let index = Index::new(self.nodes.insert(Node { chunk, next: None }));
        self.shrink.record(self.nodes.len());
        index
    }

    fn remove(&mut self, index: Index) -> Node {
        let node = self.nodes.remove(index.position());
        if self.nodes.is_empty() && self.shrink.is_due(self.nodes.capacity(), CHUNKS_KEPT) {
            self.nodes = Slab::new();
        }
        node
    }

    fn node(&self, index: Index) -> &Node {
        &self.nodes[index.position()]
    }

    fn node_mut(&mut self, index: Index) -> &mut Node {
        &mut self.nodes[index.position()]
    }
}

impl ChunkQueue {
    /// An empty chunk is ignored.
    pub fn push(&mut self, pool: &mut ChunkPool, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.chunks += 1;
        self.bytes += chunk.len() as u64;
        let last = pool.insert(chunk);
        if let Some(ends) = self.ends {
            pool.node_mut(ends.last).next = Some(last);
        }
        let first = self.ends.map_or(last, |ends| ends.first);
        self.ends = Some(Ends { first, last });
        self.check_invariants();
    }

    /// Unsent bytes, chunk by chunk; the first chunk begins where sending stopped.
    pub fn iter<'pool>(
        &self,
        pool: &'pool ChunkPool,
    ) -> impl Iterator<Item = &'pool [u8]> + use<'pool> {
        let first = self.ends.map(|ends| pool.node(ends.first));
        iter::successors(first, |node| node.next.map(|next| pool.node(next)))
            .map(|node| node.chunk.as_ref())
    }

    /// Records bytes as sent and frees chunks that are sent whole; returns how many it freed.
    pub fn advance(&mut self, pool: &mut ChunkPool, sent_bytes: usize) -> u32 {
        debug_assert!(
            sent_bytes as u64 <= self.bytes,
            "a socket cannot send more than it was given"
        );
        let chunks_before = self.chunks;
        let mut left_bytes = sent_bytes;
        while left_bytes > 0
            && let Some(ends) = self.ends
        {
            let chunk = &mut pool.node_mut(ends.first).chunk;
            if left_bytes < chunk.len() {
                chunk.advance(left_bytes);
                self.bytes -= left_bytes as u64;
                self.is_first_started = true;
                break;
            }
            left_bytes -= chunk.len();
            self.remove_first(pool, ends);
        }
        self.check_invariants();
        chunks_before - self.chunks
    }

    pub fn len_bytes(&self) -> u64 {
        self.bytes
    }

    /// Includes a chunk that is partly sent.
    pub fn len_chunks(&self) -> u32 {
        self.chunks
    }

    pub fn clear(&mut self, pool: &mut ChunkPool) {
        while let Some(ends) = self.ends {
            self.remove_first(pool, ends);
        }
    }

    /// Drops all but the rest of a partly sent chunk, so that a hurried close never cuts a frame in two.
    pub fn truncate_unstarted(&mut self, pool: &mut ChunkPool) {
        if !self.is_first_started {
            return self.clear(pool);
        }
        let Some(Ends { first, .. }) = self.ends else {
            return;
        };
        let begun = pool.node_mut(first);
        let mut next = begun.next.take();
        self.bytes = begun.chunk.len() as u64;
        self.chunks = 1;
        self.ends = Some(Ends { first, last: first });
        while let Some(index) = next {
            next = pool.remove(index).next;
        }
        self.check_invariants();
    }

    fn remove_first(&mut self, pool: &mut ChunkPool, ends: Ends) {
        let node = pool.remove(ends.first);
        self.ends = node.next.map(|first| Ends {
            first,
            last: ends.last,
        });
        self.chunks -= 1;
        self.bytes -= node.chunk.len() as u64;
        self.is_first_started = false;
    }

    /// The chain and its counts agree, and no chunk is empty.
    fn check_invariants(&self) {
        debug_assert_eq!(self.ends.is_none(), self.chunks == 0);
        debug_assert!(self.bytes >= u64::from(self.chunks));
        debug_assert!(self.ends.is_some() || self.bytes == 0 && !self.is_first_started);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(queue: &ChunkQueue, pool: &ChunkPool) -> Vec<u8> {
        queue.iter(pool).collect::<Vec<_>>().concat()
    }

    fn filled(pool: &mut ChunkPool, chunks: &[&'static str]) -> ChunkQueue {
        let mut queue = ChunkQueue::default();
        chunks
            .iter()
            .for_each(|chunk| queue.push(pool, Bytes::from_static(chunk.as_bytes())));
        queue
    }

    #[test]
    fn is_small() {
        assert_eq!(size_of::<ChunkQueue>(), 24);
        assert_eq!(size_of::<Node>(), 40);
    }

    #[test]
    fn a_partly_sent_chunk_starts_where_it_was_cut() {
        let mut pool = ChunkPool::default();
        let mut queue = filled(&mut pool, &["one", "", "two", "three"]);
        assert_eq!(queue.len_chunks(), 3);
        assert_eq!(queue.advance(&mut pool, 4), 1);
        assert_eq!(
            queue.iter(&pool).collect::<Vec<_>>(),
            [&b"wo"[..], b"three"]
        );
        assert_eq!(queue.advance(&mut pool, 7), 2);
        assert!(queue.len_chunks() == 0 && pool.is_empty());
    }

    #[test]
    fn truncation_keeps_the_chunk_that_was_begun_and_no_other() {
        let mut pool = ChunkPool::default();
        let mut begun = filled(&mut pool, &["one", "two", "three"]);
        begun.advance(&mut pool, 4);
        begun.truncate_unstarted(&mut pool);
        begun.push(&mut pool, Bytes::from_static(b"bye"));
        assert_eq!(content(&begun, &pool), b"wobye");

        let mut between = filled(&mut pool, &["one", "two"]);
        between.advance(&mut pool, 3);
        between.truncate_unstarted(&mut pool);
        assert!(between.len_chunks() == 0);
        assert_eq!(pool.len_chunks(), 2);
    }

    #[test]
    fn an_empty_pool_gives_its_memory_back_when_it_was_not_needed_lately() {
        let mut pool = ChunkPool::default();
        let mut queue = ChunkQueue::default();
        for _ in 0..=CHUNKS_KEPT {
            queue.push(&mut pool, Bytes::from_static(b"chunk"));
        }
        queue.clear(&mut pool);
        assert!(
            pool.nodes.capacity() > CHUNKS_KEPT,
            "the next crowd may be near"
        );
        for _ in 0..200 {
            queue.push(&mut pool, Bytes::from_static(b"chunk"));
            queue.clear(&mut pool);
        }
        assert!(pool.nodes.capacity() <= CHUNKS_KEPT);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>),
        Advance(usize),
        Truncate,
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 0..12).prop_map(Step::Push),
            8 => (0usize..30).prop_map(Step::Advance),
            1 => Just(Step::Truncate),
            1 => Just(Step::Clear),
        ]
    }

    /// The unsent part of every chunk, and whether the first was begun.
    #[derive(Default)]
    struct Model {
        chunks: Vec<Vec<u8>>,
        is_first_started: bool,
    }

    impl Model {
        fn apply(&mut self, queue: &mut ChunkQueue, pool: &mut ChunkPool, step: Step) {
            match step {
                Step::Push(bytes) => {
                    queue.push(pool, Bytes::copy_from_slice(&bytes));
                    self.chunks.extend((!bytes.is_empty()).then_some(bytes));
                }
                Step::Advance(wanted_bytes) => {
                    let sent_bytes = wanted_bytes.min(self.chunks.concat().len());
                    assert_eq!(queue.advance(pool, sent_bytes), self.send(sent_bytes));
                }
                Step::Truncate => {
                    queue.truncate_unstarted(pool);
                    self.chunks.truncate(usize::from(self.is_first_started));
                }
                Step::Clear => {
                    queue.clear(pool);
                    *self = Self::default();
                }
            }
        }

        fn send(&mut self, sent_bytes: usize) -> u32 {
            let mut completed = 0;
            for _ in 0..sent_bytes {
                self.chunks[0].remove(0);
                self.is_first_started = true;
                if self.chunks[0].is_empty() {
                    self.chunks.remove(0);
                    self.is_first_started = false;
                    completed += 1;
                }
            }
            completed
        }
    }

    proptest! {
        #[test]
        fn agrees_with_plain_vectors(steps in prop::collection::vec((0usize..3, step()), 0..200)) {
            let mut pool = ChunkPool::default();
            let mut queues: [(ChunkQueue, Model); 3] = Default::default();
            for (which, step) in steps {
                let (queue, model) = &mut queues[which];
                model.apply(queue, &mut pool, step);
                prop_assert_eq!(queue.iter(&pool).collect::<Vec<_>>(), model.chunks.clone());
                prop_assert_eq!(queue.len_bytes(), model.chunks.concat().len() as u64);
                prop_assert_eq!(queue.len_chunks() as usize, model.chunks.len());
                prop_assert_eq!(queue.len_chunks() == 0, model.chunks.is_empty());
                let held: usize = queues.iter().map(|(_, model)| model.chunks.len()).sum();
                prop_assert_eq!(pool.len_chunks(), held);
            }
            queues.iter_mut().for_each(|(queue, _)| queue.clear(&mut pool));
            prop_assert!(pool.is_empty());
        }
    }
}
