//! Events from producers, a whole request, lines as they come, or a local producer's stream, and the answer that says what became of
//! them (contract section 7).

use crate::base::limit::unless_zero;
use crate::engine::answer::{Answer, Outcome};
use crate::engine::counts::DropCounts;
use crate::hub::{
    Accepted, Asked, DropReason, Dropped, Hub, Ingested, Moment, Outlet, Refused, Subject, TaskKey,
};
use crate::wire::http::{Head, Line, LineSplitter, Response};
use crate::wire::message::event::numbered_id;
use crate::wire::message::incoming::strip_byte_order_mark;
use crate::wire::message::malformed::shortened;
use crate::wire::message::{Malformed, Report};
use crate::wire::refusal::{ErrorCode, Refusal};
use serde::Serialize;
use std::fmt;

/// The most errors, drops and cut fields that an answer lists, each.
const MAX_LISTED: usize = 10;
/// The most tasks whose control requests and watchers an answer can name.
const MAX_TASKS: usize = 10_000;

/// Room for most answers.
const USUAL_BYTES: usize = 256;
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

/// Has the hub take one event.
pub type Ingest<'a> = dyn FnMut(Report<'_>) -> Ingested + 'a;

impl IngestStream {
    /// Takes the lines that end in `chunk`.
    pub fn take(&mut self, mut chunk: &[u8], max_body_size: usize, ingest: &mut Ingest<'_>) {
        let max_line_bytes = unless_zero(max_body_size);
        loop {
            match self.splitter.poll_line(&mut chunk, max_line_bytes) {
                Ok(Some(line)) => self.tally.take_line(&line, self.key.as_deref(), ingest),
                Ok(None) => return,
                Err(too_long) => {
                    let reason = format!(
                        "longer than the {max_line_bytes} bytes that http.max_body_size allows"
                    );
                    self.tally.reject_line(too_long.line_number, reason);
                }
            }
        }
    }

    /// Takes a last line that has no newline.
    pub fn finish(&mut self, ingest: &mut Ingest<'_>) {
        if let Some(line) = self.splitter.finish() {
            self.tally.take_line(&line, self.key.as_deref(), ingest);
        }
    }
}

/// Takes all events of a request that was found to fit.
pub fn take_all(
    hub: &mut Hub,
    out: &mut dyn Outlet,
    moment: Moment<'_>,
    reports: Vec<Report<'_>>,
) -> Outcome {
    let mut tally = Tally::default();
    for (index, report) in reports.into_iter().enumerate() {
        let ingest = &mut |report: Report<'_>| hub.ingest(moment, report, out);
        tally.take(Place::Index(index), Ok(report), ingest);
    }
    match (&tally.refused, tally.first_error()) {
        (Some(Refused::TooLarge(fault)), _) => Err(fault.into()),
        (_, Some(error)) => Err(Refusal::no_room(error)),
        (_, None) => Ok(Answer::WhenKept(tally.answer(hub))),
    }
}

/// The answer to lines: what became of each, and 400 only when none was an event.
pub fn answer_lines(hub: &mut Hub, tally: Tally) -> Outcome {
    if tally.is_all_wrong() {
        return Err(refuse_lines(&tally));
    }
    Ok(Answer::WhenKept(tally.answer(hub)))
}

/// None of the lines counted. What may count later is not to be thrown away as if it were wrong.
fn refuse_lines(tally: &Tally) -> Refusal {
    let rejected = tally.rejected;
    match &tally.refused {
        Some(Refused::TooLarge(fault)) => fault.into(),
        Some(limit @ Refused::Limit(_)) => {
            Refusal::no_room(format!("none of {rejected} lines counted; {limit}"))
        }
        None => {
            let first = tally.first_error().unwrap_or_default();
            let detail = format!("none of {rejected} lines is an event; {first}");
            Refusal::new(ErrorCode::InvalidMessage, detail).at("body")
        }
    }
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
    let text = text.map_err(|_| Malformed::syntax("the text is not UTF-8"))?;
    Ok(strip_byte_order_mark(text))
}

/// What became of the events of one request.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: u64,
    dropped: [u64; DropReason::ALL.len()],
    rejected: u64,
    /// Halves of surrogate pairs that were replaced in what counted.
    repaired: u64,
    errors: Vec<Rejected>,
    /// What may not count now; rather what may count later than what never will.
    refused: Option<Refused>,
    drops: Vec<DroppedEvent>,
    truncated: Vec<Cut>,
    tasks: Vec<TaskKey>,
}

/// Where in its request an event stands.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    /// From 1.
    Line(u64),
    /// From 0.
    Index(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(out, "line {number}"),
            Self::Index(number) => write!(out, "index {number}"),
        }
    }
}

/// What is no event, or one that may not count.
#[derive(Debug, Serialize)]
struct Rejected {
    #[serde(flatten)]
    place: Place,
    message: String,
}

/// An event that changed nothing.
#[derive(Debug, Serialize)]
struct DroppedEvent {
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    subject: Subject,
    reason: &'static str,
}

/// A field that was too long.
#[derive(Debug, Serialize)]
struct Cut {
    #[serde(flatten)]
    place: Place,
    field: String,
    /// Before it was cut.
    bytes: usize,
}

impl Tally {
    /// Takes one event and counts what became of it.
    fn take(
        &mut self,
        place: Place,
        report: Result<Report<'_>, Malformed>,
        ingest: &mut Ingest<'_>,
    ) {
        match report {
            Ok(report) => {
                self.repaired += u64::from(report.repaired);
                self.count(place, ingest(report));
            }
            Err(malformed) => self.reject(place, malformed.to_string()),
        }
    }

    fn take_line(&mut self, line: &Line<'_>, key: Option<&str>, ingest: &mut Ingest<'_>) {
        let report = match text(&line.bytes) {
            // A file may begin with a byte order mark and nothing else.
            Ok(text) if text.trim_ascii().is_empty() => return,
            Ok(text) => read_line(text, key, line.number),
            Err(malformed) => Err(malformed),
        };
        self.take(Place::Line(line.number), report, ingest);
    }

    fn count(&mut self, place: Place, ingested: Ingested) {
        match ingested {
            Ingested::Accepted(Accepted { task, truncated }) => {
                self.accepted += 1;
                self.name(task);
                let room = MAX_LISTED - self.truncated.len();
                let cuts = truncated.iter().take(room).map(|cut| Cut {
                    place,
                    field: shortened(&cut.field).into_owned(),
                    bytes: cut.bytes,
                });
                self.truncated.extend(cuts);
            }
            Ingested::Dropped(Dropped {
                task,
                subject,
                reason,
            }) => {
                self.dropped[reason.index()] += 1;
                self.name(task);
                if self.drops.len() < MAX_LISTED {
                    self.drops.push(DroppedEvent {
                        place,
                        subject,
                        reason: reason.as_str(),
                    });
                }
            }
            Ingested::Refused(refused) => {
                self.reject(place, refused.to_string());
                match (&self.refused, &refused) {
                    (None, _) | (Some(Refused::TooLarge(_)), Refused::Limit(_)) => {
                        self.refused = Some(refused);
                    }
                    _ => {}
                }
            }
        }
    }

    pub fn reject_line(&mut self, line: u64, reason: String) {
        self.reject(Place::Line(line), reason);
    }

    fn reject(&mut self, place: Place, message: String) {
        self.rejected += 1;
        if self.errors.len() < MAX_LISTED {
            self.errors.push(Rejected { place, message });
        }
    }

    /// Whether nothing but errors came in.
    fn is_all_wrong(&self) -> bool {
        self.accepted + self.dropped() == 0 && self.rejected > 0
    }

    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    fn dropped(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// The first thing that was wrong.
    pub fn first_error(&self) -> Option<String> {
        let first = self.errors.first();
        first.map(|error| format!("{}: {}", error.place, error.message))
    }

    /// The answer of contract section 7.
    fn answer(mut self, hub: &mut Hub) -> Response {
        self.forget_repeats();
        let watchers = hub.watchers(&self.tasks);
        let known = hub.broadcaster().tasks();
        let tasks = || self.tasks.iter().filter_map(|key| known.task(*key));
        let control = tasks().filter_map(|task| Some(task.view.requested.as_ref()?.of(&task.id)));
        let control: Vec<Asked<'_>> = control.collect();
        let mut out = Vec::with_capacity(USUAL_BYTES);
        push(&mut out, "{\"accepted\":", &self.accepted);
        match self.dropped() {
            // Nearly every answer says so, and answers are written as often as events come.
            0 => out.extend_from_slice(NO_DROPS.as_bytes()),
            dropped => {
                push(&mut out, ",\"dropped\":", &dropped);
                let reasons = DropCounts::of(|reason| self.dropped[reason.index()]);
                push(&mut out, ",\"reasons\":", &reasons);
                push(&mut out, ",\"drops\":", &self.drops);
            }
        }
        push(&mut out, ",\"control\":", &control);
        push(&mut out, ",\"watchers\":", &watchers);
        if let ([_], Some(task)) = (&self.tasks[..], tasks().next())
            && let Some(attempt) = task.view.attempt
        {
            push(&mut out, ",\"attempt\":", &attempt);
        }
        if !self.truncated.is_empty() {
            push(&mut out, ",\"truncated\":", &self.truncated);
        }
        if self.repaired > 0 {
            push(&mut out, ",\"repaired\":", &self.repaired);
        }
        if self.rejected > 0 {
            push(&mut out, ",\"rejected\":", &self.rejected);
            push(&mut out, ",\"errors\":", &self.errors);
        }
        out.push(b'}');
        Response::new(200).json(out)
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

/// A member behind its name.
fn push(out: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    out.extend_from_slice(name.as_bytes());
    serde_json::to_writer(out, value).expect("values of our own always have a JSON form");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_drops_is_what_would_be_written_out() {
        let mut out = Vec::new();
        push(&mut out, ",\"dropped\":", &0);
        push(&mut out, ",\"reasons\":", &DropCounts::of(|_| 0));
        push(&mut out, ",\"drops\":", &[(); 0]);
        assert_eq!(out, NO_DROPS.as_bytes());
    }

    #[test]
    fn an_error_is_counted_as_its_request_counts() {
        for (place, told) in [
            (Place::Line(1), "line 1: too much"),
            (Place::Index(0), "index 0: too much"),
        ] {
            let mut tally = Tally::default();
            tally.reject(place, "too much".to_owned());
            assert_eq!(tally.first_error().as_deref(), Some(told));
        }
    }
}
