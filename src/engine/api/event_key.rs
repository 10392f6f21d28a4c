//! `Idempotency-Key` (an IETF draft, used by Stripe and others): what a producer calls its request, so that it may be sent
//! again whole.

use crate::engine::refusal::Refusal;
use crate::wire::http::{Head, unquote};
use crate::wire::message::event::KEY_HEADER;
use crate::wire::message::name::MAX_NAME_BYTES;

/// The key of a request: a string of RFC 9651, or the same without quotes.
pub fn key_of(head: &Head) -> Result<Option<String>, Refusal> {
    let mut values = head.headers(KEY_HEADER);
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if head.is_garbled(KEY_HEADER) {
        return Err(refused("holds bytes that are not UTF-8"));
    }
    let key = read(first)?;
    for other in values {
        if read(other)? != key {
            return Err(refused("is there twice, with different values"));
        }
    }
    Ok(Some(key))
}

fn read(value: &str) -> Result<String, Refusal> {
    let key = match value.starts_with('"') {
        true => {
            let (key, rest) = unquote(value, |escaped| matches!(escaped, '"' | '\\'))
                .ok_or_else(|| refused("is no string"))?;
            // Parameters may follow; none means anything here.
            if !(rest.is_empty() || rest.trim_start().starts_with(';')) {
                return Err(refused("goes on after the closing quote"));
            }
            key
        }
        false if value.contains(['"', ',', ' ', '\t']) => return Err(refused("is no token")),
        false => value.to_owned(),
    };
    if !key
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return Err(refused("holds characters beyond ASCII"));
    }
    if key.is_empty() || key.len() > MAX_NAME_BYTES {
        let found = format!("has {} bytes", key.len());
        return Err(refused(&found));
    }
    Ok(key)
}

fn refused(found: &str) -> Refusal {
    let detail = format!(
        "{KEY_HEADER}: {found}; expected one string of 1 to {MAX_NAME_BYTES} bytes in double quotes, as \"6650f1-3\""
    );
    Refusal::new("invalid_message", detail).at(KEY_HEADER)
}
