//! A cursor over received bytes, from which parsers take what they have understood.
//!
//! It owns nothing and never copies. Slices taken from it live as long as the bytes below, not as long as the cursor,
//! so a parser may hand them out in events and the caller may keep them while it parses on. The bytes are mutable
//! because WebSocket payloads are unmasked in place (RFC 6455 section 5.3).

#[derive(Debug)]
pub struct Input<'a> {
    rest: &'a mut [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn peek(&self) -> &[u8] {
        self.rest
    }

    pub fn len(&self) -> usize {
        self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next `count` bytes, or all when fewer are left.
    pub fn take(&mut self, count: usize) -> &'a mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (taken, left) = rest.split_at_mut(count.min(rest.len()));
        self.rest = left;
        taken
    }

    pub fn take_all(&mut self) -> &'a mut [u8] {
        std::mem::take(&mut self.rest)
    }
}
