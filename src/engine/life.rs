//! How far the shutdown is.

/// How far the shutdown is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Serving.
    Serving,
    /// Connections drain.
    Draining,
    /// Over.
    Stopped,
}
