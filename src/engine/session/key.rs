//! The secrets that resume sessions: made and checked, never kept.

use crate::hub::ClientId;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;

/// Where the store keeps what makes the secrets of sessions.
pub const SESSION_KEY: &str = "session_key";

/// Makes and checks the secrets that resume sessions: nothing is kept of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionKey([u64; 2]);

impl SessionKey {
    pub fn new(key: [u64; 2]) -> Self {
        Self(key)
    }

    pub fn to_text(self) -> String {
        format!("\"{:016x}{:016x}\"", self.0[0], self.0[1])
    }

    /// Reads what [`SessionKey::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let digits = text.trim_matches('"');
        let (one, other) = digits.split_at_checked(16)?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Self([number(one)?, number(other)?]))
    }

    /// The secret of a client's session: its name, and a mark that only this key makes.
    pub fn secret(self, client: ClientId) -> String {
        format!("{:016x}{:032x}", client.number(), self.mark(client))
    }

    pub fn client(self, secret: &str) -> Option<ClientId> {
        let (name, mark) = secret.split_at_checked(16)?;
        let client = ClientId::from_number(u64::from_str_radix(name, 16).ok()?);
        let mark = u128::from_str_radix(mark, 16).ok()?;
        (std::hint::black_box(mark ^ self.mark(client)) == 0).then_some(client)
    }

    fn mark(self, client: ClientId) -> u128 {
        let mut hasher = SipHasher24::new_with_keys(self.0[0], self.0[1]);
        hasher.write_u64(client.number());
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_names_its_client_and_no_other_will_do() {
        let key = SessionKey::new([1, 2]);
        let client = ClientId::from_number(0xabc);
        let secret = key.secret(client);
        assert_eq!(key.client(&secret), Some(client));
        assert_eq!(SessionKey::new([1, 3]).client(&secret), None);
        let forged = secret.replacen('c', "d", 1);
        assert_eq!(key.client(&forged), None);
        assert_eq!(key.client(""), None);
        assert_eq!(key.client("gggggggggggggggggg"), None);
        let back = SessionKey::from_text(&key.to_text()).expect("a key");
        assert_eq!(back.secret(client), secret);
    }
}
