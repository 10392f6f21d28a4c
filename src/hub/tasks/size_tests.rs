//! What is cut of an event that would make its task too large, and the size of the task afterwards.

use crate::base::time::{Now, Time};
use crate::hub::tasks::decision::judge;
use crate::hub::tasks::size::{Held, Truncated, admit};
use crate::hub::tasks::state::Task;
use crate::hub::tasks::step::apply;
use crate::hub::tasks::verdict::Verdict;
use crate::wire::message::incoming::parse;
use crate::wire::message::{Field, TaskEvent, TaskPatch};
use proptest::prelude::*;
use std::collections::BTreeSet;

const TEXTS: [&str; 3] = ["stage", "message", "parentId"];
const NAMES: [&str; 10] = [
    "stage",
    "message",
    "parentId",
    "result",
    "error",
    "meta",
    "a",
    "bee",
    "own field",
    "é",
];
const LENGTHS: [usize; 14] = [
    0, 1, 28, 40, 61, 62, 63, 64, 500, 1_022, 1_023, 1_024, 1_025, 5_000,
];
const KINDS: [TaskEvent; 5] = [
    TaskEvent::Started,
    TaskEvent::Paused,
    TaskEvent::Completed,
    TaskEvent::Failed,
    TaskEvent::Cancelled,
];

/// A field of an event: an index into `NAMES`, and `null` or a text of this length (`true`: of two-byte letters).
type Said = (usize, Option<(usize, bool)>);

fn patch(fields: &[Said]) -> TaskPatch {
    let fields = fields.iter().map(|(name, said)| {
        let value = match said {
            None => "null".to_owned(),
            Some((length, true)) => format!("\"{}\"", "é".repeat(*length)),
            Some((length, false)) => format!("\"{}\"", "x".repeat(*length)),
        };
        (NAMES[*name], value)
    });
    // The parser refuses a named field that comes twice.
    let mut named = BTreeSet::new();
    let fields = fields.filter(|(name, _)| named.insert(*name));
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    parse(&format!("{{{}}}", fields.join(","))).unwrap()
}

fn verdict(task: &Task, kind: TaskEvent, patch: &TaskPatch) -> Verdict {
    judge(task, kind, patch, Now::default(), true).unwrap()
}

/// Cuts an event for a new task of at most `max_bytes`: what was cut, and the patch that is left.
fn cut(patch: TaskPatch, max_bytes: usize) -> (Vec<Truncated>, TaskPatch) {
    let task = Task::new("t".into(), Time::ZERO);
    let (mut patch, kind) = (patch, TaskEvent::Failed);
    let verdict = verdict(&task, kind, &patch);
    let (_, truncated) = admit(&task, &mut patch, kind, &verdict, max_bytes).unwrap();
    (truncated, patch)
}

fn names(truncated: &[Truncated]) -> Vec<&str> {
    truncated.iter().map(|cut| &*cut.field).collect()
}

/// Whether a further cut could gain anything.
fn can_be_cut(patch: &TaskPatch) -> bool {
    let texts = [&patch.stage, &patch.message];
    let raws = [&patch.result, &patch.error, &patch.meta];
    texts
        .iter()
        .any(|text| text.value().is_some_and(|text| text.len() > 1_024))
        || raws
            .iter()
            .any(|raw| raw.value().is_some_and(|raw| raw.get().len() > 64))
        || patch.parent_id.value().is_some_and(|id| !id.is_empty())
        || patch.extra.iter().any(|(_, value)| value.value().is_some())
}

/// The names of the fields that an event clears.
fn cleared(patch: &TaskPatch) -> BTreeSet<String> {
    let texts = [&patch.stage, &patch.message, &patch.parent_id];
    let texts = TEXTS.iter().zip(texts);
    let texts = texts
        .filter(|(_, text)| **text == Field::Clear)
        .map(|(name, _)| *name);
    let own = patch
        .extra
        .iter()
        .filter(|(_, value)| matches!(value, Field::Clear));
    texts
        .chain(own.map(|(name, _)| &**name))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_large_field_that_cannot_be_cut_keeps_no_other_from_being_cut() {
    let small = "\"".to_owned() + &"r".repeat(700) + "\"";
    for whole in ["stage", "message"] {
        for other in ["result", "error", "meta", "own"] {
            let text = "x".repeat(1_024);
            let patch = format!(r#"{{"{whole}":"{text}","{other}":{small}}}"#);
            let (truncated, patch) = cut(parse(&patch).unwrap(), 1_100);
            assert_eq!(names(&truncated), [other], "{whole}");
            assert_eq!(truncated[0].bytes, 702);
            let texts = [&patch.stage, &patch.message];
            assert!(
                texts
                    .iter()
                    .any(|left| left.value().is_some_and(|left| **left == *text))
            );
        }
    }
}

#[test]
fn own_fields_become_markers_and_then_go_and_each_is_named_once() {
    let fields = (0..20).map(|n| format!("\"f{n:02}\":\"{}\"", "x".repeat(98)));
    let fields: TaskPatch =
        parse(&format!("{{{}}}", fields.collect::<Vec<_>>().join(","))).unwrap();
    // Each value of 100 bytes becomes a marker of 30; its name takes 3.
    for (max_bytes, left, markers) in [(2_060, 20, 0), (1_000, 20, 15), (659, 19, 19), (40, 1, 1)] {
        let (truncated, patch) = cut(fields.clone(), max_bytes);
        let is_marker = |value: &Field<Box<serde_json::value::RawValue>>| {
            value
                .value()
                .is_some_and(|raw| raw.get() == r#"{"truncated":true,"bytes":100}"#)
        };
        let found = patch
            .extra
            .iter()
            .filter(|(_, value)| is_marker(value))
            .count();
        assert_eq!(patch.extra.len(), left, "{max_bytes}");
        assert!(found >= markers, "{max_bytes}: {found} markers");
        let named: BTreeSet<&str> = names(&truncated).into_iter().collect();
        assert_eq!(named.len(), truncated.len(), "{max_bytes}: {truncated:?}");
        assert_eq!(named.len(), found + 20 - left, "{max_bytes}");
        assert!(
            truncated.iter().all(|cut| cut.bytes == 100),
            "{truncated:?}"
        );
    }
}

#[test]
fn a_text_is_cut_from_1025_bytes_on() {
    for (head, letter) in [
        ("", "x"),
        ("", "é"),
        ("x", "é"),
        ("", "😀"),
        ("xyz", "😀"),
        ("xx", "€"),
    ] {
        for name in ["stage", "message"] {
            for bytes in 1_020..=1_030 {
                let length = (bytes - head.len()) / letter.len();
                let text = head.to_owned() + &letter.repeat(length);
                let patch = parse(&format!(r#"{{"{name}":"{text}"}}"#)).unwrap();
                let (truncated, patch) = cut(patch, 100);
                let field = if name == "stage" {
                    patch.stage
                } else {
                    patch.message
                };
                let left = field.value().expect("a text is left");
                if text.len() <= 1_024 {
                    assert_eq!((&**left, truncated.len()), (&*text, 0));
                    continue;
                }
                assert_eq!(
                    (names(&truncated), truncated[0].bytes),
                    (vec![name], text.len())
                );
                let begin = left.strip_suffix('…').expect("it says so");
                assert!(
                    text.starts_with(begin) && left.len() <= 1_024,
                    "{}",
                    left.len()
                );
                assert!(left.len() + letter.len() > 1_024, "no more than needed");
            }
        }
    }
}

#[test]
fn what_an_event_clears_is_cleared_though_it_is_cut() {
    let mut task = Task::new("t".into(), Time::ZERO);
    let before = r#"{"own":"oooooooo","parentId":"pppp","stage":"s","message":"m","meta":[1]}"#;
    let before: TaskPatch = parse(before).unwrap();
    let first = verdict(&task, TaskEvent::Started, &before);
    apply(&mut task, TaskEvent::Started, first, before, Now::default());
    for kind in KINDS {
        let text = "x".repeat(1_000);
        let patch = format!(r#"{{"error":"{text}","own":null,"parentId":null,"stage":"{text}"}}"#);
        let mut patch: TaskPatch = parse(&patch).unwrap();
        let verdict = verdict(&task, kind, &patch);
        admit(&task, &mut patch, kind, &verdict, 100).unwrap();
        let expected = ["own", "parentId"].map(str::to_owned);
        assert_eq!(cleared(&patch), expected.into(), "{kind:?}");
    }
}

#[test]
fn what_the_attempt_before_left_does_not_count_and_what_stays_does() {
    let large = "x".repeat(800);
    for (name, goes) in [
        ("stage", true),
        ("message", true),
        ("result", true),
        ("error", true),
        ("parentId", false),
        ("meta", false),
        ("own", false),
    ] {
        for kind in [TaskEvent::Progress, TaskEvent::Started, TaskEvent::Failed] {
            let mut task = Task::new("t".into(), Time::ZERO);
            let before = format!(r#"{{"attempt":1,"{name}":"{large}"}}"#);
            let before: TaskPatch = parse(&before).unwrap();
            task.size_bound = 900;
            let first = verdict(&task, TaskEvent::Paused, &before);
            apply(&mut task, TaskEvent::Paused, first, before, Now::default());
            for field in ["result", "error", "own2"] {
                let next = format!(r#"{{"attempt":2,"{field}":"{large}"}}"#);
                let mut next: TaskPatch = parse(&next).unwrap();
                let verdict = verdict(&task, kind, &next);
                let admitted = admit(&task, &mut next, kind, &verdict, 1_000);
                let is_whole = matches!(&admitted, Ok((_, truncated)) if truncated.is_empty());
                assert_eq!(is_whole, goes, "{name} then {kind:?} {field}: {admitted:?}");
            }
            assert!(Held::new(&task, false).bytes() >= 800);
            assert_eq!(Held::new(&task, true).bytes() < 800, goes, "{name}");
        }
    }
}

fn said() -> impl Strategy<Value = Vec<Said>> {
    let value = prop::option::weighted(0.8, (prop::sample::select(&LENGTHS[..]), any::<bool>()));
    prop::collection::vec((0..NAMES.len(), value), 0..12)
}

proptest! {
    #[test]
    fn whatever_comes_it_counts_and_fits_or_nothing_more_can_be_cut(
        events in prop::collection::vec((0..KINDS.len(), any::<bool>(), said()), 1..6),
        max_bytes in prop::sample::select(&[1usize, 50, 100, 1_000, 1_024, 1_100, 3_000, 9_000][..]),
    ) {
        let mut task = Task::new("t".into(), Time::ZERO);
        for (number, (kind, is_next, fields)) in events.into_iter().enumerate() {
            let kind = KINDS[kind];
            let mut patch = patch(&fields);
            // An ended task takes nothing but the next attempt.
            if is_next || task.view.status.is_terminal() || number == 0 {
                patch.attempt = Some(number as u64 + 1);
            }
            let Ok(verdict) = judge(&task, kind, &patch, Now::default(), true) else { continue };
            let before = Held::new(&task, verdict.begins()).bytes();
            let clears = cleared(&patch);
            let admitted = admit(&task, &mut patch, kind, &verdict, max_bytes);
            let (bound, truncated) = admitted.expect("it counts");
            let named: BTreeSet<&str> = names(&truncated).into_iter().collect();
            prop_assert_eq!(named.len(), truncated.len(), "each once: {:?}", truncated);
            let idle = |name: &String| !TEXTS.contains(&&**name) && task.view.own.iter().all(|(own, _)| own != &**name);
            let lost = clears.iter().filter(|name| !cleared(&patch).contains(*name) && !idle(name));
            prop_assert_eq!(lost.count(), 0, "clears {:?} of {:?}", clears, patch);
            let is_stuck = !can_be_cut(&patch);
            apply(&mut task, kind, verdict, patch, Now::default());
            task.size_bound = bound;
            let after = Held::new(&task, false).bytes();
            prop_assert!(after <= bound, "{} takes more than {}", after, bound);
            prop_assert!(
                after <= max_bytes || after <= before || is_stuck,
                "{} bytes, {} before, {} at most", after, before, max_bytes
            );
        }
    }
}
