//! How large a task may become: [`MAX_OWN_FIELDS`] fields of the application's own, and `broadcaster.max_task_size` bytes.
//!
//! A progress event that would make its task larger is refused with the field's name. A lifecycle event always counts: its largest
//! fields are cut until it fits. Bytes are those of texts and of JSON values, names of own fields included; numbers are not counted,
//! because their size is fixed. Changes patches and never a task.
//!
//! Two measures, because the exact one walks every field: [`Task::size_bound`] grows by what each event brings and never underrates;
//! only when it crosses a limit is what is really there counted ([`Held`]), which then becomes the new bound.

use crate::hub::tasks::state::{Task, View};
use crate::hub::tasks::verdict::Verdict;
use crate::wire::message::malformed::shortened;
use crate::wire::message::{Field, TaskEvent, TaskPatch};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Most fields of the application's own in one task.
pub const MAX_OWN_FIELDS: usize = 256;
/// The fields with bytes that count, apart from own ones.
const NAMED: [&str; 6] = ["stage", "message", "parentId", "result", "error", "meta"];
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

/// Upper bounds of what a task takes, found without looking at each field.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bound {
    pub bytes: usize,
    pub own: usize,
}

impl Bound {
    pub fn of(task: &Task) -> Self {
        Self {
            bytes: task.size_bound,
            own: task.view.own.len(),
        }
    }

    /// After one more event. What it replaces is not subtracted.
    pub fn with(self, patch: &TaskPatch) -> Self {
        let named = named_sizes(patch).into_iter().flatten().sum::<usize>();
        let own = own_sizes(patch).map(|(_, bytes)| bytes).sum::<usize>();
        Self {
            bytes: self.bytes + named + own,
            own: self.own + patch.extra.len(),
        }
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            own: self.own + other.own,
        }
    }

    pub fn max(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            own: self.own.max(other.own),
        }
    }

    pub fn fits(self, max_bytes: usize) -> bool {
        self.own <= MAX_OWN_FIELDS && (max_bytes == 0 || self.bytes <= max_bytes)
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
    let bound = Bound::of(task).with(patch);
    match bound.fits(max_bytes) {
        true => Ok((bound.bytes, Vec::new())),
        false => {
            Held::new(task, verdict.begins()).admit(patch, verdict.may_be_cut(kind), max_bytes)
        }
    }
}

/// What a task holds when an event comes, field by field.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    view: &'a View,
    /// The event begins an attempt: what that clears is not held any more.
    begins: bool,
}

impl<'a> Held<'a> {
    pub fn new(task: &'a Task, begins: bool) -> Self {
        Self {
            view: &task.view,
            begins,
        }
    }

    /// Bytes of all fields.
    pub fn bytes(self) -> usize {
        let named = NAMED.iter().map(|name| self.bytes_of(name));
        let own = self.view.own.iter();
        let own = own.map(|(name, value)| name.len() + value.get().len());
        named.chain(own).sum()
    }

    fn bytes_of(self, name: &str) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let raw = |raw: &Option<Box<RawValue>>| raw.as_ref().map_or(0, |raw| raw.get().len());
        let view = self.view;
        match name {
            // As a step does with the task when an attempt begins.
            "stage" | "message" | "result" | "error" if self.begins => 0,
            "stage" => text(&view.stage),
            "message" => text(&view.message),
            "parentId" => text(&view.parent_id),
            "result" => raw(&view.result),
            "error" => raw(&view.error),
            "meta" => raw(&view.meta),
            own => {
                let value = view.own.value(own);
                value.map_or(0, |value| own.len() + value.get().len())
            }
        }
    }

    /// The bytes after an event. Where they are too many the patch is cut if `is_cut`; otherwise this fails.
    fn admit(
        self,
        patch: &mut TaskPatch,
        is_cut: bool,
        max_bytes: usize,
    ) -> Result<(usize, Vec<Truncated>), TooLarge> {
        self.drop_idle(patch);
        let mut truncated = self.admit_number(patch, is_cut)?;
        let before = self.bytes();
        // Fields that were cut, and whether another cut could gain anything. A field may be cut twice: an own one becomes a marker, and
        // goes when even the markers are too many.
        let mut cuts: HashMap<Box<str>, bool> = HashMap::new();
        loop {
            // Never below zero: `drop_idle` leaves each name once, and the sum holds its old bytes.
            let after =
                sizes(patch).fold(before, |sum, (name, new)| sum + new - self.bytes_of(name));
            // An event that makes its task no larger counts even beyond the limit, which may have been lowered since: or a task that is too
            // large could never shrink.
            if max_bytes == 0 || after <= max_bytes || after <= before {
                return Ok((after, truncated));
            }
            let largest = sizes(patch)
                .filter(|(name, bytes)| *bytes > 0 && cuts.get(*name) != Some(&false))
                .max_by_key(|(_, bytes)| *bytes);
            let Some(field) = largest.map(|(name, _)| Box::<str>::from(name)) else {
                return Ok((after, truncated));
            };
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
    }

    /// Removes what changes nothing from the patch: own fields that a later one of the same name replaces, and clearing what is not there.
    /// Both would be counted otherwise.
    fn drop_idle(self, patch: &mut TaskPatch) {
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
    fn admit_number(self, patch: &mut TaskPatch, is_cut: bool) -> Result<Vec<Truncated>, TooLarge> {
        let clears = patch
            .extra
            .iter()
            .filter(|(_, value)| value.value().is_none());
        // Only new names take room: a field that the task has may always change.
        let mut room = (MAX_OWN_FIELDS + clears.count()).saturating_sub(self.view.own.len());
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

    fn has_own(self, name: &str) -> bool {
        self.view.own.value(name).is_some()
    }
}

/// The fields that a patch sets or clears, each with its bytes afterwards.
fn sizes(patch: &TaskPatch) -> impl Iterator<Item = (&str, usize)> {
    let named = NAMED.into_iter().zip(named_sizes(patch));
    let named = named.filter_map(|(name, bytes)| Some((name, bytes?)));
    named.chain(own_sizes(patch))
}

/// In the order of [`NAMED`].
fn named_sizes(patch: &TaskPatch) -> [Option<usize>; NAMED.len()] {
    [
        named_size(&patch.stage, str::len),
        named_size(&patch.message, str::len),
        named_size(&patch.parent_id, str::len),
        named_size(&patch.result, |raw| raw.get().len()),
        named_size(&patch.error, |raw| raw.get().len()),
        named_size(&patch.meta, |raw| raw.get().len()),
    ]
}

fn own_sizes(patch: &TaskPatch) -> impl Iterator<Item = (&str, usize)> {
    patch.extra.iter().map(|(name, field)| {
        let bytes = field.value().map_or(0, |raw| name.len() + raw.get().len());
        (&**name, bytes)
    })
}

fn named_size<T: ?Sized>(field: &Field<Box<T>>, len: impl Fn(&T) -> usize) -> Option<usize> {
    match field {
        Field::Absent => None,
        Field::Clear => Some(0),
        Field::Set(value) => Some(len(value)),
    }
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
