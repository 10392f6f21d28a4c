//! How far the shutdown is.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Serving,
    /// No listener is open, and connections have a while to take what they are owed.
    Draining,
    Stopped,
}
