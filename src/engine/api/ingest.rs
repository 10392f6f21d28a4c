//! Events from producers, a whole request, lines as they come, or a local producer's stream, and the answer that says what became of
//! them (contract section 7).

use crate::base::limit::unless_zero;
use crate::base::time::Now;
use crate::engine::answer::Answer;
use crate::hub::{
    Accepted, DropReason, Dropped, Hub, Ingested, Outlet, Refused, Subject, TaskKey, Truncated,
};
use crate::wire::http::{Head, Line, LineSplitter, Response};
use crate::wire::message::envelope::push_string;
use crate::wire::message::event::numbered_id;
use crate::wire::message::incoming::strip_byte_order_mark;
use crate::wire::message::malformed::shortened;
use crate::wire::message::{Malformed, Report};
use crate::wire::refusal::{ErrorCode, Refusal};
use std::fmt::Write;

/// The most errors, drops and cut fields that an answer lists, each.
const MAX_LISTED: usize = 10;
/// The most tasks whose control requests and watchers an answer can name.
const MAX_TASKS: usize = 10_000;
/// What an answer says when nothing was dropped.
const NO_DROPS: &str = concat!(
    ",\"dropped\":0,\"reasons\":{\"repeat\":0,\"oldSeq\":0,\"oldAttempt\":0,\"ended\":0},",
    "\"drops\":[]"
);

/// A body, or a producer, whose events count as they come.
#[derive(Debug, Default)]
pub struct IngestStream {
    /// Cuts it into lines.
    pub splitter: LineSplitter,
    pub tally: Tally,
    /// The head of the request that carries it; `None` for a local producer.
    pub head: Option<Head>,
    /// What the request is called, which gives each line its event id.
    pub key: Option<String>,
}

pub fn take_lines(
    hub: &mut Hub,
    out: &mut dyn Outlet,
    now: Now,
    stream: &mut IngestStream,
    mut chunk: &[u8],
    max_body_size: usize,
) {
    let max_line_bytes = unless_zero(max_body_size);
    loop {
        match stream.splitter.poll_line(&mut chunk, max_line_bytes) {
            Ok(Some(line)) => {
                let key = stream.key.as_deref();
                stream.tally.take_line(hub, out, now, key, &line);
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
pub fn finish_lines(hub: &mut Hub, out: &mut dyn Outlet, now: Now, stream: &mut IngestStream) {
    if let Some(line) = stream.splitter.finish() {
        let key = stream.key.as_deref();
        stream.tally.take_line(hub, out, now, key, &line);
    }
}

/// Takes all events of a request that was found to fit.
pub fn take_all(
    hub: &mut Hub,
    out: &mut dyn Outlet,
    now: Now,
    reports: Vec<Report<'_>>,
) -> Result<Answer<Response>, Refusal> {
    let mut tally = Tally::new(Numbering::Places);
    for (index, report) in reports.into_iter().enumerate() {
        tally.take(hub, out, now, index as u64, Ok(report));
    }
    if tally.rejected() > 0 {
        if let Some(Refused::TooLarge(fault)) = tally.refusal() {
            return Err(fault.into());
        }
        return Err(Refusal::no_room(tally.first_error().unwrap_or_default()));
    }
    Ok(Answer::WhenKept(tally.answer(hub)))
}

/// The answer to lines: what became of each, and 400 only when none was an event.
pub fn answer_lines(hub: &mut Hub, tally: Tally) -> Answer<Response> {
    if tally.is_all_wrong() {
        return Answer::Now(refuse_lines(&tally).into());
    }
    Answer::WhenKept(tally.answer(hub))
}

/// None of the lines counted. What may count later is not to be thrown away as if it were wrong.
fn refuse_lines(tally: &Tally) -> Refusal {
    let rejected = tally.rejected();
    match tally.refusal() {
        Some(Refused::TooLarge(fault)) => return fault.into(),
        Some(limit @ Refused::Limit(_)) => {
            return Refusal::no_room(format!("none of {rejected} lines counted; {limit}"));
        }
        None => {}
    }
    let first = tally.first_error().unwrap_or_default();
    let detail = format!("none of {rejected} lines is an event; {first}");
    Refusal::new(ErrorCode::InvalidMessage, detail).at("body")
}

/// Says once what was wrong with a local producer's lines: it gets no answer of its own.
pub fn warn_of_errors(tally: &Tally) {
    if let Some(first) = tally.first_error() {
        log::warn!("ingest: {} lines were no events; {first}", tally.rejected());
    }
}

fn read_line<'a>(text: &'a str, key: Option<&str>, number: u64) -> Result<Report<'a>, Malformed> {
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
    Ok(strip_byte_order_mark(text))
}

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
    /// What may not count now; rather what may count later than what never will.
    refused: Option<Refused>,
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
}

impl Tally {
    fn new(numbering: Numbering) -> Self {
        Self {
            numbering,
            ..Self::default()
        }
    }

    /// Takes one event and counts what became of it.
    fn take(
        &mut self,
        hub: &mut Hub,
        out: &mut dyn Outlet,
        now: Now,
        number: u64,
        report: Result<Report<'_>, Malformed>,
    ) {
        match report {
            Ok(report) => {
                self.repaired += u64::from(report.repaired);
                self.count(number, hub.ingest(now, report, out));
            }
            Err(malformed) => self.reject(number, malformed.to_string()),
        }
    }

    fn take_line(
        &mut self,
        hub: &mut Hub,
        out: &mut dyn Outlet,
        now: Now,
        key: Option<&str>,
        line: &Line<'_>,
    ) {
        let report = match text(&line.bytes) {
            // A file may begin with a byte order mark and nothing else.
            Ok(text) if text.trim_ascii().is_empty() => return,
            Ok(text) => read_line(text, key, line.number),
            Err(malformed) => Err(malformed),
        };
        self.take(hub, out, now, line.number, report);
    }

    fn count(&mut self, number: u64, ingested: Ingested) {
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

    pub fn reject(&mut self, line: u64, reason: String) {
        self.reject_for(line, reason, None);
    }

    fn reject_for(&mut self, line: u64, reason: String, refused: Option<Refused>) {
        self.rejected += 1;
        if self.errors.len() < MAX_LISTED {
            self.errors.push(LineError { line, reason });
        }
        match (&self.refused, refused) {
            (Some(Refused::Limit(_)), _) | (_, None) => {}
            (None, refused) | (_, refused @ Some(Refused::Limit(_))) => self.refused = refused,
            (Some(Refused::TooLarge(_)), _) => {}
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
    fn is_all_wrong(&self) -> bool {
        self.accepted + self.dropped() == 0 && self.rejected > 0
    }

    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Why an event was refused: a limit that may be gone later, else the first that was too large.
    fn refusal(&self) -> Option<&Refused> {
        self.refused.as_ref()
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
    fn answer(mut self, hub: &mut Hub) -> Response {
        self.forget_repeats();
        let mut out = String::with_capacity(256);
        push_number(&mut out, "{\"accepted\":", self.accepted);
        self.push_drops(&mut out);
        out.push_str(",\"control\":[");
        push_controls(&mut out, hub, &self.tasks);
        let watchers = hub.watchers(&self.tasks) as u64;
        push_number(&mut out, "],\"watchers\":", watchers);
        if let Some(attempt) = self.attempt(hub) {
            push_number(&mut out, ",\"attempt\":", attempt);
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
        Response::new(200).json(out.into_bytes())
    }

    /// The attempt that the only task of the request is in.
    fn attempt(&self, hub: &Hub) -> Option<u64> {
        let [task] = self.tasks[..] else {
            return None;
        };
        hub.broadcaster().tasks().task(task)?.view.attempt
    }

    fn push_drops(&self, out: &mut String) {
        // Nearly every answer says so, and answers are written as often as events come.
        if self.dropped() == 0 {
            return out.push_str(NO_DROPS);
        }
        push_number(out, ",\"dropped\":", self.dropped());
        out.push_str(",\"reasons\":{");
        for reason in DropReason::ALL {
            let comma = if reason.index() > 0 { "," } else { "" };
            let count = self.dropped[reason.index()];
            let _ = write!(out, "{comma}\"{}\":{count}", reason.as_str());
        }
        out.push_str("},\"drops\":[");
        for (index, (number, dropped)) in self.drops.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let (what, name) = match &dropped.subject {
                Subject::Task(name) => ("taskId", name),
                Subject::Room(name) => ("room", name),
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

fn push_controls(out: &mut String, hub: &Hub, tasks: &[TaskKey]) {
    let cache = hub.broadcaster().tasks();
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
        out.push(',');
        requested.push_members(out);
        out.push('}');
    }
}

fn push_number(out: &mut String, label: &str, number: u64) {
    out.push_str(label);
    out.push_str(itoa::Buffer::new().format(number));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_drops_is_what_would_be_written_out() {
        let mut out = String::from(",\"dropped\":0,\"reasons\":{");
        for reason in DropReason::ALL {
            let comma = if reason.index() > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\"{}\":0", reason.as_str());
        }
        assert_eq!(out + "},\"drops\":[]", NO_DROPS);
    }
}
