//! How large a task may become: [`MAX_OWN_FIELDS`] fields of the application's own, and `broadcaster.max_task_size` bytes.
//!
//! A `progress` that would make it larger is refused with the field's name. A lifecycle event always counts: its largest
//! fields are cut until it fits. Sizes are those of texts and JSON, names of own fields included; numbers are not counted.

use crate::hub::tasks::rules::Verdict;
use crate::hub::tasks::state::Task;
use crate::wire::message::malformed::shortened;
use crate::wire::message::{Field, TaskEvent, TaskPatch};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// The most fields of the application's own in one task.
pub const MAX_OWN_FIELDS: usize = 256;
/// What is left of a text that is cut, in bytes.
const CUT_TEXT_BYTES: usize = 1024;
/// A value of fewer bytes gains nothing by being replaced with a marker.
const MARKER_BYTES: usize = 64;

/// A field of a lifecycle event that was too large and was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    /// The field.
    pub field: Box<str>,
    /// How many bytes it had.
    pub bytes: usize,
}

/// A `progress` would make its task too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge {
    /// The field at fault: the largest of the event, or the one too many.
    pub field: Box<str>,
    /// The limit: `broadcaster.max_task_size` in bytes, or the number of own fields.
    pub limit: Limit,
}

/// Which of the two limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of the whole task.
    Bytes(usize),
    /// Fields of the application's own.
    Fields,
}

impl std::fmt::Display for TooLarge {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", shortened(&self.field), self.limit)
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(
                out,
                "the task would become larger than the {bytes} bytes that broadcaster.max_task_size allows"
            ),
            Self::Fields => write!(
                out,
                "the task would have more than {MAX_OWN_FIELDS} fields of its own"
            ),
        }
    }
}

/// Sees whether a task may become as large as an event would make it: the new bound, and what was cut of the event.
pub fn admit(
    task: &Task,
    patch: &mut TaskPatch,
    kind: TaskEvent,
    verdict: &Verdict,
    max_bytes: usize,
) -> Result<(usize, Vec<Truncated>), TooLarge> {
    let bound = task.size_bound + patch_bytes(patch);
    let is_small = max_bytes == 0 || bound <= max_bytes;
    if is_small && task.view.own.len() + patch.extra.len() <= MAX_OWN_FIELDS {
        return Ok((bound, Vec::new()));
    }
    let mut ledger = Ledger::of(task);
    if verdict.begins() {
        ledger.begin_attempt();
    }
    let truncated = ledger.admit(patch, verdict.is_cut(kind), max_bytes)?;
    Ok((ledger.bytes(), truncated))
}

/// What a task takes, by field; events may be tried on it before they count.
#[derive(Debug, Default)]
pub struct Ledger {
    fields: HashMap<Box<str>, Entry>,
    own: usize,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    bytes: usize,
    is_own: bool,
}

impl Ledger {
    /// What a task takes now.
    pub fn of(task: &Task) -> Self {
        let mut ledger = Self::default();
        let view = &task.view;
        let texts = [
            ("stage", &view.stage),
            ("message", &view.message),
            ("parentId", &view.parent_id),
        ];
        for (name, text) in texts {
            ledger.put(name, text.as_ref().map_or(0, |text| text.len()), false);
        }
        let raws = [
            ("result", &view.result),
            ("error", &view.error),
            ("meta", &view.meta),
        ];
        for (name, raw) in raws {
            ledger.put(name, raw.as_ref().map_or(0, |raw| raw.get().len()), false);
        }
        for (name, value) in view.own.iter() {
            ledger.put(name, name.len() + value.get().len(), true);
        }
        ledger
    }

    /// What all fields take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the attempt before has left behind goes.
    pub fn begin_attempt(&mut self) {
        for name in ["stage", "message", "result", "error"] {
            self.put(name, 0, false);
        }
    }

    /// Counts an event's fields, cut where `is_cut` and they are too large. Fails, and counts nothing, where not.
    pub fn admit(
        &mut self,
        patch: &mut TaskPatch,
        is_cut: bool,
        max_bytes: usize,
    ) -> Result<Vec<Truncated>, TooLarge> {
        self.drop_idle(patch);
        let mut truncated = self.admit_number(patch, is_cut)?;
        // Fields that were cut, and whether cutting them once more could gain anything.
        let mut cuts: HashMap<Box<str>, bool> = HashMap::new();
        loop {
            let after = self.bytes_after(patch);
            if max_bytes == 0 || after <= max_bytes || after <= self.bytes {
                break;
            }
            let largest = sizes(patch)
                .filter(|(name, bytes, _)| *bytes > 0 && cuts.get(*name) != Some(&false))
                .max_by_key(|(_, bytes, _)| *bytes);
            let field = largest.map(|(name, ..)| Box::<str>::from(name));
            let Some(field) = field else { break };
            if !is_cut {
                let limit = Limit::Bytes(max_bytes);
                return Err(TooLarge { field, limit });
            }
            let bytes = cut(patch, &field);
            let is_first = cuts.insert(field.clone(), bytes.is_some()).is_none();
            if let Some(bytes) = bytes.filter(|_| is_first) {
                truncated.push(Truncated { field, bytes });
            }
        }
        for (name, bytes, is_own) in sizes(patch) {
            self.put(name, bytes, is_own);
        }
        Ok(truncated)
    }

    /// Leaves out what changes nothing: own fields that a later one of the event displaces, and clearing what is not there.
    fn drop_idle(&self, patch: &mut TaskPatch) {
        let places = patch.extra.iter().enumerate();
        let last: HashMap<Box<str>, usize> = places
            .map(|(place, (name, _))| (name.clone(), place))
            .collect();
        let mut place = 0;
        patch.extra.retain(|(name, value)| {
            let is_last = last.get(name) == Some(&place);
            place += 1;
            is_last && (value.value().is_some() || self.has_own(name))
        });
    }

    /// Own fields beyond the greatest number are refused, or left out. What an event clears makes room.
    fn admit_number(
        &self,
        patch: &mut TaskPatch,
        is_cut: bool,
    ) -> Result<Vec<Truncated>, TooLarge> {
        let clears = patch
            .extra
            .iter()
            .filter(|(_, value)| value.value().is_none());
        let mut room = (MAX_OWN_FIELDS + clears.count()).saturating_sub(self.own);
        let mut surplus = Vec::new();
        patch.extra.retain(|(name, value)| {
            let Some(raw) = value.value().filter(|_| !self.has_own(name)) else {
                return true;
            };
            if let Some(left) = room.checked_sub(1) {
                room = left;
                return true;
            }
            let (field, bytes) = (name.clone(), raw.get().len());
            surplus.push(Truncated { field, bytes });
            false
        });
        match surplus.first() {
            Some(first) if !is_cut => Err(TooLarge {
                field: first.field.clone(),
                limit: Limit::Fields,
            }),
            _ => Ok(surplus),
        }
    }

    fn has_own(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|entry| entry.is_own)
    }

    fn bytes_after(&self, patch: &TaskPatch) -> usize {
        let old = |name: &str| self.fields.get(name).map_or(0, |entry| entry.bytes);
        sizes(patch).fold(self.bytes, |sum, (name, new, _)| sum + new - old(name))
    }

    fn put(&mut self, name: &str, bytes: usize, is_own: bool) {
        let entry = Entry { bytes, is_own };
        let old = match bytes {
            0 => self.fields.remove(name),
            _ => self.fields.insert(name.into(), entry),
        };
        let old = old.unwrap_or_default();
        self.own = self.own + usize::from(is_own && bytes > 0) - usize::from(old.is_own);
        self.bytes = self.bytes + bytes - old.bytes;
    }
}

/// About how many bytes an event brings: never fewer than it adds to its task.
pub fn patch_bytes(patch: &TaskPatch) -> usize {
    let text = |field: &Field<Box<str>>| field.value().map_or(0, |text| text.len());
    let raw = |field: &Field<Box<RawValue>>| field.value().map_or(0, |raw| raw.get().len());
    let named = text(&patch.stage) + text(&patch.message) + text(&patch.parent_id);
    let named = named + raw(&patch.result) + raw(&patch.error) + raw(&patch.meta);
    let own = patch.extra.iter();
    own.fold(named, |sum, (name, value)| sum + name.len() + raw(value))
}

/// The fields that an event speaks of, with the bytes that each takes afterwards and whether it is an own one.
fn sizes(patch: &TaskPatch) -> impl Iterator<Item = (&str, usize, bool)> {
    let texts = [
        ("stage", &patch.stage),
        ("message", &patch.message),
        ("parentId", &patch.parent_id),
    ];
    let raws = [
        ("result", &patch.result),
        ("error", &patch.error),
        ("meta", &patch.meta),
    ];
    let spoken_of =
        |absent: bool, name: &'static str, bytes: usize| (!absent).then_some((name, bytes, false));
    let texts = texts.into_iter().filter_map(move |(name, field)| {
        let bytes = field.value().map_or(0, |text| text.len());
        spoken_of(*field == Field::Absent, name, bytes)
    });
    let raws = raws.into_iter().filter_map(move |(name, field)| {
        let bytes = field.value().map_or(0, |raw| raw.get().len());
        spoken_of(matches!(field, Field::Absent), name, bytes)
    });
    let own = patch.extra.iter().map(|(name, field)| {
        let bytes = field.value().map_or(0, |raw| name.len() + raw.get().len());
        (&**name, bytes, true)
    });
    texts.chain(raws).chain(own)
}

/// Cuts the field of that name; tells how large it was, or `None` when cutting it gains nothing.
fn cut(patch: &mut TaskPatch, name: &str) -> Option<usize> {
    match name {
        "stage" => cut_text(&mut patch.stage),
        "message" => cut_text(&mut patch.message),
        // Half an id names another task, or none.
        "parentId" => match std::mem::take(&mut patch.parent_id) {
            Field::Set(id) => Some(id.len()),
            Field::Absent | Field::Clear => None,
        },
        "result" => cut_raw(&mut patch.result),
        "error" => cut_raw(&mut patch.error),
        "meta" => cut_raw(&mut patch.meta),
        own => cut_own(&mut patch.extra, own),
    }
}

/// A value becomes a marker; a field that is a marker already goes.
fn cut_own(own: &mut Vec<(Box<str>, Field<Box<RawValue>>)>, name: &str) -> Option<usize> {
    let place = own.iter().position(|(known, _)| &**known == name)?;
    let cut = cut_raw(&mut own[place].1);
    cut.or_else(|| {
        let (_, value) = own.remove(place);
        value.value().map(|raw| raw.get().len())
    })
}

fn cut_text(field: &mut Field<Box<str>>) -> Option<usize> {
    let text = field.value().filter(|text| text.len() > CUT_TEXT_BYTES)?;
    let bytes = text.len();
    let most = CUT_TEXT_BYTES - '…'.len_utf8();
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end))?;
    *field = Field::Set(format!("{}…", &text[..end]).into());
    Some(bytes)
}

fn cut_raw(field: &mut Field<Box<RawValue>>) -> Option<usize> {
    let bytes = field.value().map(|raw| raw.get().len())?;
    if bytes <= MARKER_BYTES {
        return None;
    }
    let marker = format!("{{\"truncated\":true,\"bytes\":{bytes}}}");
    *field = Field::Set(RawValue::from_string(marker).expect("the marker is JSON"));
    Some(bytes)
}
