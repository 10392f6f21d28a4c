//! Floor 0: no domain, no I/O. Time, ids, timer wheel, rate window, chunk queue, counters, seeded random.

/// The running mean of a latency.
pub mod average;
/// Monotonic time, spans of it, and what the shell says the time is.
pub mod time;
