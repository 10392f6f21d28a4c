//! An index into a vector or slab in four bytes, with `Option<Index>` no larger. Whoever links nodes together keeps the
//! links valid.

use core::num::NonZeroU32;

/// Stored one higher, so that `None` costs no space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Index(NonZeroU32);

impl Index {
    pub fn new(position: usize) -> Self {
        let stored = u32::try_from(position)
            .ok()
            .and_then(|position| position.checked_add(1));
        Self(
            stored
                .and_then(NonZeroU32::new)
                .expect("four billion nodes outgrow memory before they outgrow an index"),
        )
    }

    pub fn position(self) -> usize {
        self.0.get() as usize - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_position_in_four_bytes() {
        assert_eq!(size_of::<Option<Index>>(), 4);
        for position in [0, 1, 77, u32::MAX as usize - 1] {
            assert_eq!(Index::new(position).position(), position);
        }
    }

    #[test]
    #[should_panic(expected = "four billion nodes")]
    fn refuses_a_position_it_cannot_hold() {
        Index::new(u32::MAX as usize);
    }
}
