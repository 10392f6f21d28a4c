//! Floor 0: no domain, no I/O. Time, ids, timer wheel, token bucket, chunk queue, counters, seeded random.

/// The running mean of a latency.
pub mod average;
/// Outbound bytes of one connection, held in a pool that all connections share.
pub mod chunk_queue;
/// Events per minute, for the metrics page.
pub mod counter;
/// Message ids: a prefix and a number that only grows.
pub mod id;
/// The place of a node in four bytes, with room for none.
pub mod index;
/// Networks of IP addresses.
pub mod network;
/// Patterns of names, with `*`.
pub mod pattern;
/// Foreign text in a log or on a terminal.
pub mod printable;
/// The seeded generator behind every id, secret and jitter.
pub mod random;
/// When a table that empties often should give its memory back.
pub mod shrink;
/// Monotonic time, spans of it, and what the shell says the time is.
pub mod time;
/// A limit on how often something may happen: a lasting rate and a burst.
pub mod token_bucket;
/// The one timer wheel: everything that is to happen later.
pub mod wheel;
