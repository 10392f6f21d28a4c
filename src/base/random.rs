//! The only source of randomness: one ChaCha20 stream, seeded from outside, by the operating system in production and
//! by the simulator in tests, where the same seed replays the same run. Session secrets come from it, so it is
//! cryptographic and its state is never printed.

use core::fmt;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const TOKEN_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

pub struct Random {
    stream: ChaCha20Rng,
}

impl Random {
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            stream: ChaCha20Rng::from_seed(seed),
        }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// Uniform; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Lemire's method: the high half of the product is the answer, unless the low half falls into the uneven rest.
        let uneven_rest = if bound == 0 {
            0
        } else {
            bound.wrapping_neg() % bound
        };
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= uneven_rest {
                return (product >> 64) as u64;
            }
        }
    }

    /// Characters from `a-z0-9`, uniform.
    pub fn token(&mut self, characters: usize) -> String {
        let letters = TOKEN_ALPHABET.len() as u64;
        (0..characters)
            .map(|_| char::from(TOKEN_ALPHABET[self.below(letters) as usize]))
            .collect()
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Random").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_replays_and_another_does_not() {
        let draw = |seed: u8| {
            let mut random = Random::from_seed([seed; 32]);
            (random.next_u64(), random.token(24))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut random = Random::from_seed([7; 32]);
        let mut hits = [0u32; 6];
        for _ in 0..6_000 {
            hits[random.below(6) as usize] += 1;
        }
        assert!(
            hits.iter().all(|hit| (850..1_150).contains(hit)),
            "{hits:?}"
        );
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
        assert!(random.below(u64::MAX) < u64::MAX);
    }

    #[test]
    fn tokens_are_of_the_alphabet_and_do_not_repeat() {
        let mut random = Random::from_seed([9; 32]);
        let token = random.token(10_000);
        assert_eq!(token.len(), 10_000);
        assert!(
            TOKEN_ALPHABET
                .iter()
                .all(|letter| token.as_bytes().contains(letter))
        );
        assert!(token.bytes().all(|letter| TOKEN_ALPHABET.contains(&letter)));
        assert_ne!(random.token(16), random.token(16));
    }

    #[test]
    fn its_state_is_not_printed() {
        assert_eq!(format!("{:?}", Random::from_seed([3; 32])), "Random { .. }");
    }
}
