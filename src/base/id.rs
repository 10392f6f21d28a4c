//! Message ids: a prefix unique to this process, then a growing number in base 36. Ids share one prefix and are written
//! without allocating.

use core::fmt::{self, Write};
use core::hash::{Hash, Hasher};
use std::collections::HashSet;
use std::sync::Arc;

const BASE: u64 = 36;
const DIGITS: &[u8; BASE as usize] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Digits of 2^64 - 1 in base 36.
const DIGITS_MAX: usize = 13;

#[derive(Debug)]
pub struct MessageIds {
    prefix: Arc<str>,
    next_number: u64,
}

/// Ids are equal when they print the same, however prefix and number divide the text.
#[derive(Clone, Debug)]
pub struct MessageId {
    prefix: Arc<str>,
    number: u64,
}

impl MessageIds {
    /// `prefix` must be new for every start of every process that shares rooms with this one.
    pub fn new(prefix: String) -> Self {
        Self {
            prefix: prefix.into(),
            next_number: 0,
        }
    }

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
    pub fn write_to(&self, output: &mut Vec<u8>) {
        let mut digits = [0; DIGITS_MAX];
        output.extend_from_slice(self.prefix.as_bytes());
        output.extend_from_slice(base36(self.number, &mut digits));
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        let mut digits = [0; DIGITS_MAX];
        let count = base36(self.number, &mut digits).len();
        let digits = digits.into_iter().skip(DIGITS_MAX - count);
        self.prefix.bytes().chain(digits)
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

impl serde::Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PartialEq for MessageId {
    fn eq(&self, other: &Self) -> bool {
        if self.prefix == other.prefix {
            return self.number == other.number;
        }
        self.bytes().eq(other.bytes())
    }
}

impl Eq for MessageId {}

impl Hash for MessageId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().for_each(|byte| state.write_u8(byte));
    }
}

/// Reads printed ids back, and keeps each prefix once.
#[derive(Debug, Default)]
pub struct MessageIdReader {
    prefixes: HashSet<Arc<str>>,
}

impl MessageIdReader {
    /// `None` when the text does not end in a number as [`MessageIds`] prints them.
    pub fn read(&mut self, text: &str) -> Option<MessageId> {
        let (prefix, number) = split(text)?;
        let prefix = match self.prefixes.get(prefix) {
            Some(known) => Arc::clone(known),
            None => {
                let prefix: Arc<str> = prefix.into();
                self.prefixes.insert(Arc::clone(&prefix));
                prefix
            }
        };
        Some(MessageId { prefix, number })
    }
}

/// Splits off the longest number at the end that prints as it stands: no leading zero, at most 64 bits.
fn split(text: &str) -> Option<(&str, u64)> {
    let bytes = text.as_bytes();
    let digits = bytes.iter().rev().take(DIGITS_MAX);
    let digits = digits.take_while(|byte| DIGITS.contains(byte)).count();
    (bytes.len() - digits..bytes.len()).find_map(|at| {
        let (prefix, digits) = text.split_at(at);
        let is_printed = digits == "0" || !digits.starts_with('0');
        let number = u64::from_str_radix(digits, BASE as u32).ok()?;
        is_printed.then_some((prefix, number))
    })
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
    use core::hash::BuildHasher;
    use proptest::prelude::*;

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

    #[test]
    fn what_prints_no_number_is_no_id() {
        let mut reader = MessageIdReader::default();
        for text in ["", "-", "msg_abc_", "A", "日志"] {
            assert_eq!(reader.read(text), None, "{text}");
        }
    }

    #[test]
    fn ids_of_one_start_share_their_prefix_when_they_are_read() {
        let mut ids = MessageIds::new("msg_ab12cd_".to_owned());
        let mut reader = MessageIdReader::default();
        let mut read = || reader.read(&ids.next().to_string()).unwrap();
        assert!(Arc::ptr_eq(&read().prefix, &read().prefix));
    }

    proptest! {
        #[test]
        fn what_was_printed_is_read_equal(prefix in "[a-z0-9_日]{0,8}", number in any::<u64>()) {
            let id = MessageId { prefix: prefix.into(), number };
            let read = MessageIdReader::default().read(&id.to_string()).unwrap();
            prop_assert_eq!(&read, &id);
            prop_assert_eq!(read.to_string(), id.to_string());
            let hashes = std::hash::RandomState::new();
            prop_assert_eq!(hashes.hash_one(&read), hashes.hash_one(&id));
        }

        #[test]
        fn ids_differ_when_they_print_differently(left in "[a-z0-9_]{1,3}", right in "[a-z0-9_]{1,3}") {
            let mut reader = MessageIdReader::default();
            if let (Some(one), Some(other)) = (reader.read(&left), reader.read(&right)) {
                prop_assert_eq!(one == other, left == right);
            }
        }
    }
}
