//! Name patterns with `*`, which stands for any run of characters, including none.

/// Bounds the work of the slowest match.
pub const MAX_PATTERN_BYTES: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Every text is a valid pattern.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether the whole name matches. Takes at most pattern length times name length steps: only the last star passed
    /// is ever stretched again, since everything before it has matched already.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut here, mut at) = (0, 0);
        let mut last_star = None;
        while at < name.len() {
            match pattern.get(here) {
                Some(b'*') => {
                    here += 1;
                    last_star = Some((here, at));
                }
                Some(byte) if *byte == name[at] => (here, at) = (here + 1, at + 1),
                _ => {
                    let Some((after, from)) = last_star else {
                        return false;
                    };
                    (here, at) = (after, from + 1);
                    last_star = Some((after, from + 1));
                }
            }
        }
        pattern[here..].iter().all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern).matches(name)
    }

    #[test]
    fn a_star_is_any_run_and_everything_else_is_itself() {
        assert!(matches("chat.*", "chat.send") && matches("chat.*", "chat."));
        assert!(!matches("chat.*", "chat") && !matches("chat.*", "xchat.send"));
        assert!(matches("order.create", "order.create"));
        assert!(!matches("order.create", "order.created") && !matches("order.create", "order"));
        assert!(matches("*", "") && matches("*", "任何") && matches("**", "a"));
        assert!(matches("*.done", "a.done.done") && matches("a*b*c", "aXbYbZc"));
        assert!(!matches("a*b*c", "aXcYb") && !matches("", "a") && matches("", ""));
        assert!(matches("订单.*", "订单.创建") && !matches("a?", "ab"));
    }

    #[test]
    fn many_stars_do_not_blow_up() {
        let pattern = Pattern::new(&format!("{}b", "*a".repeat(MAX_PATTERN_BYTES / 2 - 1)));
        assert!(!pattern.matches(&"a".repeat(100_000)));
        assert!(pattern.matches(&format!("{}b", "a".repeat(100_000))));
    }

    /// The definition, without regard to time.
    fn defined(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skipped| defined(rest, &name[skipped..])),
            Some((first, rest)) => name
                .split_first()
                .is_some_and(|(byte, name)| byte == first && defined(rest, name)),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), defined(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn a_pattern_made_from_a_name_means_it(name in "[a-c.]{0,12}", cuts in prop::collection::vec(0usize..12, 0..4)) {
            let mut pattern = name.clone();
            cuts.iter().filter(|cut| **cut <= name.len()).for_each(|cut| pattern.insert(*cut, '*'));
            prop_assert!(matches(&pattern, &name));
        }
    }
}
