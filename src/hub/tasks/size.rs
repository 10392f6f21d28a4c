//! How large a task may become: [`MAX_OWN_FIELDS`] fields of the application's own, and `broadcaster.max_task_size` bytes.
//!
//! A progress event that would make its task larger is refused with the field's name. A lifecycle event always counts: its largest
//! fields are cut until it fits. Bytes are those of texts and of JSON values, names of own fields included; numbers are not counted,
//! because their size is fixed. Changes patches and never a task.
//!
//! Two measures, because the exact one walks every field: [`Task::size_bound`] grows by what each event brings and never underrates;
//! only when it crosses a limit does a [`Ledger`] count what is really there, which then becomes the new bound.

use crate::hub::tasks::state::Task;
use crate::hub::tasks::verdict::Verdict;
use crate::wire::message::malformed::shortened;
use crate::wire::message::{Field, TaskEvent, TaskPatch};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Most fields of the application's own in one task.
pub const MAX_OWN_FIELDS: usize = 256;
/// Bytes that are left of a text that is cut, ellipsis included.
const CUT_TEXT_BYTES: usize = 1024;
/// Values up to this many bytes are not replaced: the marker would hardly be shorter.
const MARKER_BYTES: usize = 64;

/// A field of a lifecycle event that was too large and was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncated {
    pub field: Box<str>,
    /// The bytes it had before.
    pub bytes: usize,
}

/// Why a progress event is refused: its task would become too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge {
    /// The field at fault: the largest of the event, or the one too many.
    pub field: Box<str>,
    pub limit: Limit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `broadcaster.max_task_size`, in bytes of the whole task.
    Bytes(usize),
    /// [`MAX_OWN_FIELDS`].
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

/// Checks the size that an event would give its task, and cuts the patch where the verdict allows it. Returns the task's new
/// `size_bound`, and what was cut.
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
    admit_large(task, patch, verdict.may_be_cut(kind), verdict, max_bytes)
}

fn admit_large(
    task: &Task,
    patch: &mut TaskPatch,
    may_be_cut: bool,
    verdict: &Verdict,
    max_bytes: usize,
) -> Result<(usize, Vec<Truncated>), TooLarge> {
    let mut ledger = Ledger::of(task);
    if verdict.begins() {
        ledger.begin_attempt();
    }
    let truncated = ledger.admit(patch, may_be_cut, max_bytes)?;
    Ok((ledger.bytes(), truncated))
}

/// The bytes of a task, field by field. A copy: events can be tried out on it before they count.
#[derive(Debug, Default)]
pub struct Ledger {
    fields: HashMap<Box<str>, Entry>,
    /// How many entries are own fields. Like `bytes` a running sum: a request of many events tries each on the same ledger.
    own: usize,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    bytes: usize,
    is_own: bool,
}

impl Ledger {
    /// Counts what a task holds now.
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

    /// Bytes of all fields.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Removes what a new attempt clears, as a [`Step`](crate::hub::tasks::step::Step) does with the task.
    pub fn begin_attempt(&mut self) {
        for name in ["stage", "message", "result", "error"] {
            self.put(name, 0, false);
        }
    }

    /// Adds an event's fields. Where they are too large the patch is cut if `is_cut`; otherwise this fails and adds nothing.
    pub fn admit(
        &mut self,
        patch: &mut TaskPatch,
        is_cut: bool,
        max_bytes: usize,
    ) -> Result<Vec<Truncated>, TooLarge> {
        self.drop_idle(patch);
        let mut truncated = self.admit_number(patch, is_cut)?;
        // Fields that were cut, and whether another cut could gain anything. A field may be cut twice: an own one becomes a marker, and
        // goes when even the markers are too many.
        let mut cuts: HashMap<Box<str>, bool> = HashMap::new();
        loop {
            let after = self.bytes_after(patch);
            // An event that makes its task no larger counts even beyond the limit, which may have been lowered since: or a task that is too
            // large could never shrink.
            if max_bytes == 0 || after <= max_bytes || after <= self.bytes {
                break;
            }
            let largest = sizes(patch)
                .filter(|(name, bytes, _)| *bytes > 0 && cuts.get(*name) != Some(&false))
                .max_by_key(|(_, bytes, _)| *bytes);
            let field = largest.map(|(name, ..)| Box::<str>::from(name));
            let Some(field) = field else { break };
            // The largest field is named, as the one most likely at fault.
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

    /// Removes what changes nothing from the patch: own fields that a later one of the same name replaces, and clearing what is not there.
    /// Both would be counted otherwise.
    fn drop_idle(&self, patch: &mut TaskPatch) {
        let places = patch.extra.iter().enumerate();
        let last: HashMap<Box<str>, usize> = places
            .map(|(place, (name, _))| (name.clone(), place))
            .collect();
        // Counted by hand: `retain` does not say at which place it is.
        let mut place = 0;
        patch.extra.retain(|(name, value)| {
            let is_last = last.get(name) == Some(&place);
            place += 1;
            is_last && (value.value().is_some() || self.has_own(name))
        });
    }

    /// Refuses own fields beyond [`MAX_OWN_FIELDS`], or removes them from the patch if `is_cut`. Fields that the event clears make room.
    fn admit_number(
        &self,
        patch: &mut TaskPatch,
        is_cut: bool,
    ) -> Result<Vec<Truncated>, TooLarge> {
        let clears = patch
            .extra
            .iter()
            .filter(|(_, value)| value.value().is_none());
        // Only new names take room: a field that the task has may always change.
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
        // Never below zero: `drop_idle` leaves each name once, and the sum holds its old bytes.
        sizes(patch).fold(self.bytes, |sum, (name, new, _)| sum + new - old(name))
    }

    fn put(&mut self, name: &str, bytes: usize, is_own: bool) {
        let entry = Entry { bytes, is_own };
        // An empty text is counted like none: it takes no bytes, and most fields of most tasks are empty.
        let old = match bytes {
            0 => self.fields.remove(name),
            _ => self.fields.insert(name.into(), entry),
        };
        let old = old.unwrap_or_default();
        self.own = self.own + usize::from(is_own && bytes > 0) - usize::from(old.is_own);
        self.bytes = self.bytes + bytes - old.bytes;
    }
}

/// Upper bound of the bytes that an event adds to its task: what it replaces is not subtracted.
pub fn patch_bytes(patch: &TaskPatch) -> usize {
    let text = |field: &Field<Box<str>>| field.value().map_or(0, |text| text.len());
    let raw = |field: &Field<Box<RawValue>>| field.value().map_or(0, |raw| raw.get().len());
    let named = text(&patch.stage) + text(&patch.message) + text(&patch.parent_id);
    let named = named + raw(&patch.result) + raw(&patch.error) + raw(&patch.meta);
    let own = patch.extra.iter();
    own.fold(named, |sum, (name, value)| sum + name.len() + raw(value))
}

/// The fields that a patch sets or clears: name, bytes afterwards, and whether it is an own field.
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

/// Cuts a field and returns the bytes it had; `None` when cutting it gains nothing.
fn cut(patch: &mut TaskPatch, name: &str) -> Option<usize> {
    match name {
        "stage" => cut_text(&mut patch.stage),
        "message" => cut_text(&mut patch.message),
        // Removed and not shortened: half an id names another task, or none.
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

/// Replaces an own field's value with a marker; a value that is no longer than a marker goes with its name.
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
    // Texts are UTF-8: the cut falls before the character that would be split.
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
