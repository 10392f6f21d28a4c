//! A peer's unsent bytes: shared chunks in order and, for batching clients, the messages of this turn that will become
//! one.

use crate::base::chunk_queue::{CHUNK_COST, ChunkPool, ChunkQueue};
use crate::base::limit::unless_zero;
use crate::wire::message::{Encoding, encode_batch};
use crate::wire::websocket::{EncodedFrame, encode};
use bytes::Bytes;

#[derive(Debug, Default)]
pub struct Outbox {
    queue: ChunkQueue,
    batch: Option<Box<Held>>,
}

/// This turn's messages for a client that asked for batches.
#[derive(Debug)]
struct Held {
    encoding: Encoding,
    max_messages: usize,
    messages: Vec<EncodedFrame>,
    bytes: usize,
}

impl Outbox {
    /// From now on up to `max_messages` (0: no limit) become one `batch` (contract section 4).
    pub fn enable_batches(&mut self, encoding: Encoding, max_messages: usize) {
        self.batch.get_or_insert_with(|| {
            Box::new(Held {
                encoding,
                max_messages: unless_zero(max_messages),
                messages: Vec::new(),
                bytes: 0,
            })
        });
    }

    /// Queues a message unless the unsent bytes would exceed `max_bytes` or the unsent messages `max_messages` (0: no
    /// limit); `false`: they would. A message larger than `max_bytes` is accepted by an empty outbox: it would never fit otherwise.
    pub fn push_message(
        &mut self,
        pool: &mut ChunkPool,
        frame: &EncodedFrame,
        max_bytes: usize,
        max_messages: usize,
    ) -> bool {
        if !self.has_room(frame.bytes().len(), max_bytes, max_messages) {
            return false;
        }
        match &mut self.batch {
            Some(held) => {
                held.bytes += frame.bytes().len();
                held.messages.push(frame.clone());
            }
            None => self.queue.push(pool, frame.bytes().clone()),
        }
        true
    }

    /// Whether [`Outbox::push_message`] would take a message of so many bytes.
    pub fn has_room(&self, bytes: usize, max_bytes: usize, max_messages: usize) -> bool {
        let unsent = self.held_bytes();
        let is_small = max_bytes == 0 || unsent == 0 || unsent + bytes + CHUNK_COST <= max_bytes;
        is_small && (max_messages == 0 || self.len_chunks() < max_messages)
    }

    /// Queues bytes behind all messages, outside any batch.
    pub fn push(&mut self, pool: &mut ChunkPool, bytes: Bytes) {
        self.seal(pool);
        self.queue.push(pool, bytes);
    }

    /// Turns the held messages into frames.
    pub fn seal(&mut self, pool: &mut ChunkPool) {
        let Some(held) = &mut self.batch else { return };
        for messages in held.messages.chunks(held.max_messages) {
            self.queue.push(pool, in_one_frame(held.encoding, messages));
        }
        held.messages = Vec::new();
        held.bytes = 0;
    }

    pub fn len_bytes(&self) -> usize {
        self.queue.len_bytes() as usize + self.batch.as_ref().map_or(0, |held| held.bytes)
    }

    /// Memory of all unsent chunks: many short chunks take more than their bytes.
    pub fn held_bytes(&self) -> usize {
        self.len_bytes() + self.len_chunks() * CHUNK_COST
    }

    pub fn len_chunks(&self) -> usize {
        self.queue.len_chunks() as usize + self.batch.as_ref().map_or(0, |held| held.messages.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len_chunks() == 0
    }

    pub fn iter<'pool>(
        &self,
        pool: &'pool ChunkPool,
    ) -> impl Iterator<Item = &'pool [u8]> + use<'pool> {
        self.queue.iter(pool)
    }

    pub fn handle_sent(&mut self, pool: &mut ChunkPool, sent_bytes: usize) {
        self.queue.advance(pool, sent_bytes);
    }

    /// Drops all frames but one that is partly sent.
    pub fn drop_unstarted(&mut self, pool: &mut ChunkPool) {
        self.batch = None;
        self.queue.truncate_unstarted(pool);
    }

    pub fn clear(&mut self, pool: &mut ChunkPool) {
        self.batch = None;
        self.queue.clear(pool);
    }
}

fn in_one_frame(encoding: Encoding, messages: &[EncodedFrame]) -> Bytes {
    if let [single] = messages {
        return single.bytes().clone();
    }
    let bodies: Vec<Bytes> = messages.iter().map(EncodedFrame::payload).collect();
    let batch = encode_batch(encoding, bodies.iter().map(|body| &body[..]));
    encode(encoding.kind(), &batch).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::websocket::MessageKind;

    fn message(text: &str) -> EncodedFrame {
        encode(MessageKind::Text, text.as_bytes())
    }

    fn sent(outbox: &Outbox, pool: &ChunkPool) -> Vec<String> {
        outbox
            .iter(pool)
            .map(|chunk| String::from_utf8_lossy(&chunk[2..]).into_owned())
            .collect()
    }

    #[test]
    fn batches_hold_as_many_as_allowed_and_singles_stay_bare() {
        let mut pool = ChunkPool::default();
        let mut outbox = Outbox::default();
        outbox.enable_batches(Encoding::Json, 2);
        for text in ["1", "2", "3"] {
            assert!(outbox.push_message(&mut pool, &message(text), 0, 0));
        }
        outbox.seal(&mut pool);
        let batches = [r#"{"type":"batch","payload":{"messages":[1,2]}}"#, "3"];
        assert_eq!(sent(&outbox, &pool), batches);
    }

    #[test]
    fn bytes_that_follow_a_batch_do_not_make_it_larger() {
        let mut pool = ChunkPool::default();
        let mut outbox = Outbox::default();
        outbox.enable_batches(Encoding::Json, 2);
        for text in ["1", "2", "3"] {
            assert!(outbox.push_message(&mut pool, &message(text), 0, 0));
        }
        outbox.push(&mut pool, Bytes::from_static(b"--last words"));
        let batches = [
            r#"{"type":"batch","payload":{"messages":[1,2]}}"#,
            "3",
            "last words",
        ];
        assert_eq!(sent(&outbox, &pool), batches);
    }

    #[test]
    fn a_full_outbox_refuses() {
        let mut pool = ChunkPool::default();
        let mut outbox = Outbox::default();
        let mut push = |outbox: &mut Outbox, max_bytes| {
            outbox.push_message(&mut pool, &message("12345678"), max_bytes, 0)
        };
        assert!(push(&mut outbox, 15), "nothing else is unsent");
        assert!(
            !push(&mut outbox, 2 * CHUNK_COST),
            "to keep a message takes more than its bytes"
        );
        outbox.handle_sent(&mut pool, 10);
        for _ in 0..2 {
            assert!(outbox.push_message(&mut pool, &message("12345678"), 2 * (CHUNK_COST + 10), 0));
        }
    }
}
