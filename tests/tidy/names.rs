//! Names that say nothing: a type, function or file is named after what it is, not after having work to do.

use crate::Offence;
use crate::source::{Source, is_word};

/// Parts of a name that never help, wherever they stand in it.
const EMPTY_PARTS: [&str; 2] = ["manager", "handler"];

/// Whole words of a name that never help (`utilisation` is another word).
const EMPTY_WORDS: [&str; 4] = ["util", "utils", "utility", "utilities"];

/// Whole names of types and files that never help.
const EMPTY_NAMES: [&str; 1] = ["data"];

const GETTER_PREFIX: &str = "get_";

/// Keywords after which a name is declared.
const TYPE_KEYWORDS: [&str; 6] = ["struct", "enum", "union", "trait", "type", "mod"];

/// Every rule of names that `source` breaks. Only the product is judged, not its tests' folders.
pub(crate) fn check(source: &Source) -> Vec<Offence> {
    let Some(inside) = source.path.strip_prefix("src/") else {
        return Vec::new();
    };
    let mut offences = Vec::new();
    for part in inside.trim_end_matches(".rs").split('/') {
        offences.extend(type_fault(part).map(|fault| Offence::new(&source.path, 1, fault)));
    }
    for token in 0..source.token_count() {
        let fault = declaration_fault(source, token);
        offences.extend(fault.map(|fault| Offence::new(&source.path, source.line(token), fault)));
    }
    offences
}

fn declaration_fault(source: &Source, token: usize) -> Option<String> {
    let name = source.token(token + 1);
    if !is_word(name) {
        return None;
    }
    match source.token(token) {
        "fn" if name.starts_with(GETTER_PREFIX) && !source.is_test(token) => Some(format!(
            "function {name}; name it after what it returns, without {GETTER_PREFIX}"
        )),
        "fn" => empty_fault(name),
        keyword if TYPE_KEYWORDS.contains(&keyword) => type_fault(name),
        _ => None,
    }
}

fn type_fault(name: &str) -> Option<String> {
    let is_empty = EMPTY_NAMES.contains(&name.to_lowercase().as_str());
    if is_empty {
        Some(empty_message(name, name))
    } else {
        empty_fault(name)
    }
}

fn empty_fault(name: &str) -> Option<String> {
    let lower = name.to_lowercase();
    let part = EMPTY_PARTS.iter().find(|part| lower.contains(**part));
    let word = || {
        EMPTY_WORDS
            .iter()
            .find(|word| words(name).contains(&(**word).to_owned()))
    };
    part.or_else(word).map(|part| empty_message(name, part))
}

fn empty_message(name: &str, part: &str) -> String {
    format!("{name} says no more than {part}; name it after what it is or holds")
}

/// `room_log` and `RoomLog` are both `[room, log]`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if letter != '_' {
            words
                .last_mut()
                .expect("there is a word from the start")
                .extend(letter.to_lowercase());
        }
        was_lower = !letter.is_uppercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, code: &str) -> Vec<String> {
        check(&Source::new(path, code))
            .into_iter()
            .map(|offence| offence.message)
            .collect()
    }

    #[track_caller]
    fn offends(path: &str, code: &str, part: &str) {
        let found = messages(path, code);
        assert!(
            found.len() == 1 && found[0].contains(part),
            "{code}: {found:?}"
        );
    }

    #[test]
    fn telling_names_are_clean() {
        let code = "struct Room; enum Frame { Data } fn handle_input() {} fn utilisation() {} fn manage() {} fn target_get() {}";
        assert_eq!(messages("src/hub/room.rs", code), [""; 0]);
        assert_eq!(
            messages(
                "src/hub/room.rs",
                "use a::RequestHandler; fn a(util: u8) { data.get_ref(); }"
            ),
            [""; 0]
        );
    }

    #[test]
    fn empty_names_are_found() {
        offends(
            "src/hub/room.rs",
            "struct RoomManager;",
            "RoomManager says no more than manager",
        );
        offends("src/hub/room.rs", "fn error_handler() {}", "error_handler");
        offends("src/hub/room.rs", "mod time_utils {}", "time_utils");
        offends("src/hub/room.rs", "trait RoomUtil {}", "RoomUtil");
        offends("src/hub/room.rs", "type Data = u8;", "Data");
        offends("src/hub/util.rs", "", "util");
        offends("src/hub/handlers/mod.rs", "", "handlers");
    }

    #[test]
    fn getters_are_named_after_what_they_return() {
        offends(
            "src/hub/room.rs",
            "impl Room { pub fn get_log(&self) {} }",
            "function get_log",
        );
        assert_eq!(
            messages(
                "src/hub/room.rs",
                "#[cfg(test)] mod tests { fn get_is_answered() {} }"
            ),
            [""; 0]
        );
    }

    #[test]
    fn tests_name_as_they_like() {
        assert_eq!(
            messages("tests/sim.rs", "struct Data; fn get_it() {}"),
            [""; 0]
        );
    }

    #[test]
    fn names_fall_into_words() {
        assert_eq!(words("room_log"), ["room", "log"]);
        assert_eq!(words("RoomLog"), ["room", "log"]);
        assert_eq!(words("utilization"), ["utilization"]);
    }
}
