//! What `config.toml` says about each key, for those who ask on the command line.

/// The manual, and the lowest layer: every key with its default.
pub const MANUAL: &str = include_str!("../../config.toml");

/// One key of the manual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) meaning: &'static str,
    pub(super) default_text: &'static str,
}

/// The entry of a key in the key table.
pub(super) fn entry(path: &str) -> Entry {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut meaning = "";
    for line in lines_of(section) {
        if let Some(comment) = line.strip_prefix("# ") {
            meaning = comment;
        } else if let Some((_, default_text)) =
            line.split_once(" = ").filter(|(key, _)| *key == name)
        {
            return Entry {
                meaning,
                default_text,
            };
        }
    }
    unreachable!(
        "config.toml has an entry for every key, as `every_key_has_its_line_in_the_manual` tests: {path}"
    )
}

fn lines_of(section: &str) -> impl Iterator<Item = &'static str> {
    let header = format!("[{section}]");
    let mut lines = MANUAL.lines();
    if !section.is_empty() {
        lines.by_ref().find(|line| *line == header);
    }
    lines.take_while(|line| !line.starts_with('['))
}
