//! Comma-separated lists, as header fields and the environment have them.

/// The items of a list without surrounding white space; empty items are skipped (RFC 9110 section 5.6.1). Commas in
/// quoted strings separate too: fields that may hold those have their own reader.
pub fn list_items(list: &str) -> impl Iterator<Item = &str> + Clone {
    list.split(',')
        .map(str::trim_ascii)
        .filter(|item| !item.is_empty())
}
