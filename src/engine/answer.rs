//! What a request or a message is answered with, and whether that waits for the store: the type says it, so that no function
//! has a flag to remember.

/// An answer.
#[derive(Debug)]
pub enum Answer<T> {
    /// It goes out at once.
    Now(T),
    /// It promises that what was changed outlives the process, so it goes out when that is kept.
    WhenKept(T),
}
