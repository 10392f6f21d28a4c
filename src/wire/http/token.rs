//! Tokens (RFC 9110 section 5.6.2): what methods and field names are made of.

pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
