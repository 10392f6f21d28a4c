//! Limits as the configuration has them, where 0 means none.

/// A limit to compare with.
pub fn unless_zero(max: usize) -> usize {
    match max {
        0 => usize::MAX,
        max => max,
    }
}
