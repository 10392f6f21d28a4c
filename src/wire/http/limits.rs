//! The bounds of a request's head.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParserLimits {
    /// Request line and header section together, and each trailer section; at most 65,535.
    pub max_head_bytes: usize,
    /// At most 128.
    pub max_headers: usize,
}

impl Default for ParserLimits {
    fn default() -> Self {
        Self {
            max_head_bytes: 16 * 1024,
            max_headers: 64,
        }
    }
}
