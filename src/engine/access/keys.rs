//! The key of the API, compared in constant time.

use crate::engine::refusal::Refusal;
use crate::wire::http::Head;

/// Checks that a request brings `http.api_key`, if there is one.
pub fn authorize(key: &str, head: &Head) -> Result<(), Refusal> {
    if key.is_empty() {
        return Ok(());
    }
    let given = head
        .header("authorization")
        .and_then(|value| value.split_once(' '));
    let token = given
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    if token.is_some_and(|token| same_secret(token, key)) {
        return Ok(());
    }
    Err(Refusal::new(
        "unauthorized",
        "expected `Authorization: Bearer <http.api_key>`",
    )
    .at("authorization"))
}

/// Compares in a time that does not depend on where the texts differ.
fn same_secret(one: &str, other: &str) -> bool {
    let difference = one
        .bytes()
        .zip(other.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}
