//! Events from producers: a whole request, lines as they come, or a local producer's stream (contract section 7).

use super::state::State;
use crate::base::time::Now;
use crate::hub::{Accepted, DropReason, Dropped, Ingested, Refused, Scope, TaskKey, Truncated};
use crate::wire::http::{Head, Line, LineSplitter};
use crate::wire::message::envelope::push_string;
use crate::wire::message::event::numbered_id;
use crate::wire::message::incoming::skip_mark;
use crate::wire::message::malformed::shortened;
use crate::wire::message::{Malformed, Report};
use std::fmt::Write;

/// The most errors, drops and cut fields that an answer lists, each.
const MAX_LISTED: usize = 10;
/// The most tasks whose control requests and watchers an answer can name.
const MAX_TASKS: usize = 10_000;

/// What became of the events of one request.
#[derive(Debug, Default)]
pub struct Tally {
    numbering: Numbering,
    accepted: u64,
    dropped: [u64; DropReason::ALL.len()],
    rejected: u64,
    /// Halves of surrogate pairs that were replaced in what counted.
    repaired: u64,
    errors: Vec<LineError>,
    drops: Vec<(u64, Dropped)>,
    truncated: Vec<String>,
    tasks: Vec<TaskKey>,
}

/// How the events of a request are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Numbering {
    /// By their lines, from 1.
    #[default]
    Lines,
    /// By their places, from 0.
    Places,
}

impl Numbering {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "line",
            Self::Places => "index",
        }
    }
}

/// A line that is no event, or one that may not count.
#[derive(Debug)]
struct LineError {
    line: u64,
    reason: String,
    refused: Option<Refused>,
}

/// A body, or a producer, whose events count as they come.
#[derive(Debug, Default)]
pub struct IngestStream {
    /// Cuts it into lines.
    pub splitter: LineSplitter,
    /// What became of them.
    pub tally: Tally,
    /// The head of the request that carries it; `None` for a local producer.
    pub head: Option<Head>,
    /// What the request is called, which gives each line its event id.
    pub key: Option<String>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(numbering: Numbering) -> Self {
        Self {
            numbering,
            ..Self::default()
        }
    }

    /// Counts what became of one event.
    pub fn count(&mut self, number: u64, ingested: Ingested) {
        match ingested {
            Ingested::Accepted(Accepted { task, truncated }) => {
                self.accepted += 1;
                self.name(task);
                for cut in truncated {
                    self.list_cut(number, &cut);
                }
            }
            Ingested::Dropped(dropped) => {
                self.dropped[dropped.reason.index()] += 1;
                self.name(dropped.task);
                if self.drops.len() < MAX_LISTED {
                    self.drops.push((number, dropped));
                }
            }
            Ingested::Refused(refused) => {
                self.reject_for(number, refused.to_string(), Some(refused));
            }
        }
    }

    /// Counts a line that is no event.
    pub fn reject(&mut self, line: u64, reason: String) {
        self.reject_for(line, reason, None);
    }

    fn reject_for(&mut self, line: u64, reason: String, refused: Option<Refused>) {
        self.rejected += 1;
        if self.errors.len() < MAX_LISTED {
            self.errors.push(LineError {
                line,
                reason,
                refused,
            });
        }
    }

    fn list_cut(&mut self, number: u64, cut: &Truncated) {
        if self.truncated.len() == MAX_LISTED {
            return;
        }
        let mut out = format!("{{\"{}\":{number},\"field\":", self.numbering.as_str());
        push_string(&mut out, &shortened(&cut.field));
        let _ = write!(out, ",\"bytes\":{}}}", cut.bytes);
        self.truncated.push(out);
    }

    /// Whether nothing but errors came in.
    pub fn is_all_wrong(&self) -> bool {
        self.accepted + self.dropped() == 0 && self.rejected > 0
    }

    /// How many lines were no events.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Why the first event that may not count was refused.
    pub fn first_refusal(&self) -> Option<&Refused> {
        self.errors.iter().find_map(|error| error.refused.as_ref())
    }

    fn dropped(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// The first thing that was wrong.
    pub fn first_error(&self) -> Option<String> {
        self.errors
            .first()
            .map(|error| format!("line {}: {}", error.line, error.reason))
    }

    /// The answer of contract section 7.
    pub fn answer(mut self, state: &mut State) -> String {
        self.forget_repeats();
        let mut out = format!(
            "{{\"accepted\":{},\"dropped\":{},",
            self.accepted,
            self.dropped()
        );
        self.push_drops(&mut out);
        out.push_str(",\"control\":[");
        push_controls(&mut out, state, &self.tasks);
        let _ = write!(out, "],\"watchers\":{}", state.hub.watchers(&self.tasks));
        if let Some(attempt) = self.attempt(state) {
            let _ = write!(out, ",\"attempt\":{attempt}");
        }
        if !self.truncated.is_empty() {
            let _ = write!(out, ",\"truncated\":[{}]", self.truncated.join(","));
        }
        if self.repaired > 0 {
            let _ = write!(out, ",\"repaired\":{}", self.repaired);
        }
        if self.rejected > 0 {
            self.push_errors(&mut out);
        }
        out.push('}');
        out
    }

    /// The attempt that the only task of the request is in.
    fn attempt(&self, state: &State) -> Option<u64> {
        let [task] = self.tasks[..] else {
            return None;
        };
        state.hub.broadcaster().tasks().task(task)?.view.attempt
    }

    fn push_drops(&self, out: &mut String) {
        out.push_str("\"reasons\":{");
        for reason in DropReason::ALL {
            let comma = if reason.index() > 0 { "," } else { "" };
            let count = self.dropped[reason.index()];
            let _ = write!(out, "{comma}\"{}\":{count}", reason.as_str());
        }
        out.push_str("},\"drops\":[");
        for (index, (number, dropped)) in self.drops.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let (what, name) = match &dropped.scope {
                Scope::Task(name) => ("taskId", name),
                Scope::Room(name) => ("room", name),
            };
            let numbering = self.numbering.as_str();
            let _ = write!(out, "{comma}{{\"{numbering}\":{number},\"{what}\":");
            push_string(out, name);
            let _ = write!(out, ",\"reason\":\"{}\"}}", dropped.reason.as_str());
        }
        out.push(']');
    }

    fn push_errors(&self, out: &mut String) {
        let _ = write!(out, ",\"rejected\":{},\"errors\":[", self.rejected);
        for (index, error) in self.errors.iter().enumerate() {
            let _ = write!(
                out,
                "{}{{\"line\":{},\"message\":",
                if index > 0 { "," } else { "" },
                error.line
            );
            push_string(out, &error.reason);
            out.push('}');
        }
        out.push(']');
    }

    fn name(&mut self, task: Option<TaskKey>) {
        let Some(task) = task.filter(|task| self.tasks.last() != Some(task)) else {
            return;
        };
        self.tasks.push(task);
        if self.tasks.len() > 2 * MAX_TASKS {
            self.forget_repeats();
            self.tasks.truncate(MAX_TASKS);
        }
    }

    fn forget_repeats(&mut self) {
        self.tasks.sort_unstable();
        self.tasks.dedup();
    }
}

/// Takes one event and counts what became of it.
pub fn take(
    state: &mut State,
    now: Now,
    tally: &mut Tally,
    line: u64,
    report: Result<Report, Malformed>,
) {
    match report {
        Ok(report) => {
            tally.repaired += u64::from(report.repaired);
            tally.count(line, state.hub.ingest(now, report, &mut state.peers));
        }
        Err(malformed) => tally.reject(line, malformed.to_string()),
    }
}

/// Takes the lines of one chunk.
pub fn take_lines(state: &mut State, now: Now, stream: &mut IngestStream, mut chunk: &[u8]) {
    let max_line_bytes = match state.settings.http.max_body_size {
        0 => usize::MAX,
        max => max,
    };
    loop {
        match stream.splitter.poll_line(&mut chunk, max_line_bytes) {
            Ok(Some(line)) => {
                take_line(state, now, &mut stream.tally, stream.key.as_deref(), &line)
            }
            Ok(None) => return,
            Err(too_long) => {
                let reason = format!(
                    "longer than the {max_line_bytes} bytes that http.max_body_size allows"
                );
                stream.tally.reject(too_long.line_number, reason);
            }
        }
    }
}

/// Takes a last line that has no newline.
pub fn finish_lines(state: &mut State, now: Now, stream: &mut IngestStream) {
    if let Some(line) = stream.splitter.finish() {
        take_line(state, now, &mut stream.tally, stream.key.as_deref(), &line);
    }
}

/// Says once what was wrong with a local producer's lines: it gets no answer of its own.
pub fn warn_of_errors(tally: &Tally) {
    if let Some(first) = tally.first_error() {
        log::warn!("ingest: {} lines were no events; {first}", tally.rejected());
    }
}

fn take_line(state: &mut State, now: Now, tally: &mut Tally, key: Option<&str>, line: &Line<'_>) {
    let report = match text(&line.bytes) {
        // A file may begin with a byte order mark and nothing else.
        Ok(text) if text.trim_ascii().is_empty() => return,
        Ok(text) => read_line(text, key, line.number),
        Err(malformed) => Err(malformed),
    };
    take(state, now, tally, line.number, report);
}

fn read_line(text: &str, key: Option<&str>, number: u64) -> Result<Report, Malformed> {
    let report = Report::parse(text)?;
    match key {
        Some(key) => report.named_by(numbered_id(key, number)),
        None => Ok(report),
    }
}

/// The text that a body must be, without the byte order mark that it may begin with.
pub fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    let text = simdutf8::basic::from_utf8(bytes);
    let text = text.map_err(|_| Malformed::Json("the text is not UTF-8".into()))?;
    Ok(skip_mark(text))
}

fn push_controls(out: &mut String, state: &State, tasks: &[TaskKey]) {
    let cache = state.hub.broadcaster().tasks();
    let mut first = true;
    for task in tasks.iter().filter_map(|key| cache.task(*key)) {
        let Some(requested) = &task.view.requested else {
            continue;
        };
        out.push_str(if std::mem::take(&mut first) {
            "{\"taskId\":"
        } else {
            ",{\"taskId\":"
        });
        push_string(out, &task.id);
        let _ = write!(
            out,
            ",\"action\":\"{}\",\"requestedAt\":{},\"by\":",
            requested.control.as_str(),
            requested.at
        );
        push_string(out, &requested.by);
        out.push('}');
    }
}
