//! Events from producers: a whole request, lines as they come, or a local producer's stream (contract section 7).

use crate::base::time::Now;
use crate::engine::api::tally::Tally;
use crate::hub::{Hub, Outlet};
use crate::wire::http::{Head, Line, LineSplitter};
use crate::wire::message::event::numbered_id;
use crate::wire::message::incoming::strip_byte_order_mark;
use crate::wire::message::{Malformed, Report};

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

/// Takes one event and counts what became of it.
pub fn take(
    hub: &mut Hub,
    out: &mut dyn Outlet,
    now: Now,
    tally: &mut Tally,
    line: u64,
    report: Result<Report<'_>, Malformed>,
) {
    match report {
        Ok(report) => {
            tally.count_repaired(report.repaired);
            tally.count(line, hub.ingest(now, report, out));
        }
        Err(malformed) => tally.reject(line, malformed.to_string()),
    }
}

/// Takes the lines of one chunk.
pub fn take_lines(
    hub: &mut Hub,
    out: &mut dyn Outlet,
    now: Now,
    stream: &mut IngestStream,
    mut chunk: &[u8],
    max_body_size: usize,
) {
    let max_line_bytes = match max_body_size {
        0 => usize::MAX,
        max => max,
    };
    loop {
        match stream.splitter.poll_line(&mut chunk, max_line_bytes) {
            Ok(Some(line)) => take_line(
                hub,
                out,
                now,
                &mut stream.tally,
                stream.key.as_deref(),
                &line,
            ),
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
        take_line(
            hub,
            out,
            now,
            &mut stream.tally,
            stream.key.as_deref(),
            &line,
        );
    }
}

/// Says once what was wrong with a local producer's lines: it gets no answer of its own.
pub fn warn_of_errors(tally: &Tally) {
    if let Some(first) = tally.first_error() {
        log::warn!("ingest: {} lines were no events; {first}", tally.rejected());
    }
}

fn take_line(
    hub: &mut Hub,
    out: &mut dyn Outlet,
    now: Now,
    tally: &mut Tally,
    key: Option<&str>,
    line: &Line<'_>,
) {
    let report = match text(&line.bytes) {
        // A file may begin with a byte order mark and nothing else.
        Ok(text) if text.trim_ascii().is_empty() => return,
        Ok(text) => read_line(text, key, line.number),
        Err(malformed) => Err(malformed),
    };
    take(hub, out, now, tally, line.number, report);
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
