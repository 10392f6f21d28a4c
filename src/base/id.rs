//! Message ids: a prefix that tells this process from every other, then a number that only grows, in base 36. An id
//! shares its prefix with all others and writes itself without allocating.

use core::fmt::{self, Write};
use std::sync::Arc;

const BASE: u64 = 36;
const DIGITS: &[u8; BASE as usize] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// As many digits as 2^64 - 1 has in base 36.
const DIGITS_MAX: usize = 13;

/// Issues ids, each once.
#[derive(Debug)]
pub struct MessageIds {
    prefix: Arc<str>,
    next_number: u64,
}

/// One id; prints as the prefix and the number in base 36.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    prefix: Arc<str>,
    number: u64,
}

impl MessageIds {
    /// Begins at number 0; `prefix` must be new for every start of every process that shares rooms with this one.
    pub fn new(prefix: String) -> Self {
        Self {
            prefix: prefix.into(),
            next_number: 0,
        }
    }

    /// The next id.
    #[expect(
        clippy::should_implement_trait,
        reason = "ids do not run out, so there is no `Option` to unwrap"
    )]
    pub fn next(&mut self) -> MessageId {
        let number = self.next_number;
        self.next_number += 1;
        MessageId {
            prefix: Arc::clone(&self.prefix),
            number,
        }
    }
}

impl MessageId {
    /// Appends the printed id to `output`.
    pub fn write_to(&self, output: &mut Vec<u8>) {
        let mut digits = [0; DIGITS_MAX];
        output.extend_from_slice(self.prefix.as_bytes());
        output.extend_from_slice(base36(self.number, &mut digits));
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; DIGITS_MAX];
        formatter.write_str(&self.prefix)?;
        base36(self.number, &mut digits)
            .iter()
            .try_for_each(|digit| formatter.write_char(char::from(*digit)))
    }
}

fn base36(mut number: u64, digits: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut first = DIGITS_MAX;
    loop {
        first -= 1;
        digits[first] = DIGITS[(number % BASE) as usize];
        number /= BASE;
        if number == 0 {
            return &digits[first..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_base_36_behind_the_prefix() {
        let mut ids = MessageIds::new("n1-".to_owned());
        let printed: Vec<String> = (0..38).map(|_| ids.next().to_string()).collect();
        assert_eq!(printed[0], "n1-0");
        assert_eq!(printed[35], "n1-z");
        assert_eq!(printed[36], "n1-10");
        assert_eq!(printed[37], "n1-11");
    }

    #[test]
    fn prints_and_writes_the_same_up_to_the_largest_number() {
        for number in [0, 1, 35, 36, 46_655, 46_656, u64::MAX] {
            let id = MessageId {
                prefix: "p".into(),
                number,
            };
            let mut written = Vec::new();
            id.write_to(&mut written);
            assert_eq!(written, id.to_string().into_bytes());
            assert_eq!(u64::from_str_radix(&id.to_string()[1..], 36), Ok(number));
        }
    }
}
