//! A cursor over bytes that a peer sent, from which parsers take what they have understood.
//!
//! It owns nothing and never copies. Slices taken from it live as long as the bytes below it, not as long as
//! the cursor, so a parser may hand them out as events and the caller may keep them while it parses on. The
//! bytes are mutable because WebSocket payloads are unmasked in place (RFC 6455 section 5.3).

/// What is left of the bytes that one read delivered.
#[derive(Debug)]
pub struct Input<'a> {
    rest: &'a mut [u8],
}

impl<'a> Input<'a> {
    /// A cursor at the start of `bytes`.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not yet taken.
    pub fn peek(&self) -> &[u8] {
        self.rest
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether every byte was taken.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next `count` bytes, or all that are left when there are fewer.
    pub fn take(&mut self, count: usize) -> &'a mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (taken, left) = rest.split_at_mut(count.min(rest.len()));
        self.rest = left;
        taken
    }

    /// Takes everything that is left.
    pub fn take_all(&mut self) -> &'a mut [u8] {
        std::mem::take(&mut self.rest)
    }
}
