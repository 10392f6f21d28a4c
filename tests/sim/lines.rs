//! Producers that write newline-delimited events: by HTTP, where the answer says what became of each, and on a local socket,
//! where nothing does. Whole lines count as they come, whatever becomes of the rest.

use super::event::Event;
use super::run::Run;
use super::tasks::Verdict;
use super::world::{Far, PeerId};
use joblight::internals::engine::Services;
use serde_json::json;
use std::collections::BTreeMap;

/// A line on its way: an event and what must become of it, or what is none.
struct Line {
    text: String,
    event: Option<Event>,
}

impl Run {
    /// Several lines, in parts as a network cuts them; by chance the producer is gone before the last.
    pub(crate) fn report_lines(&mut self) {
        let is_local = self.dice.one_in(3);
        let count = self.dice.between(2, 6);
        let lines: Vec<Line> = (0..count).map(|number| self.line(number)).collect();
        let mut text: String = lines.iter().map(|line| line.text.as_str()).collect();
        let has_newline = !self.dice.one_in(3);
        if !has_newline {
            text.pop();
        }
        let conn = match is_local {
            true => self.world.connect(Services::INGEST, true),
            false => self.begin_lines(text.len()),
        };
        let sent = match self.dice.one_in(4) {
            true => self.dice.below(text.len() as u64) as usize,
            false => text.len(),
        };
        let middle = self.dice.below(sent as u64 + 1) as usize;
        self.world.say(conn, &text.as_bytes()[..middle]);
        let pause = self.dice.below(50);
        self.world.run_for(pause);
        self.world.say(conn, &text.as_bytes()[middle..sent]);
        let is_whole = sent == text.len();
        let mut is_ended_politely = false;
        if is_local || !is_whole {
            is_ended_politely = is_local && self.dice.one_in(2);
            self.world.cut(conn, Far::Gone, is_ended_politely);
            self.world.run_for(200);
        }
        // The last line without its newline counts when the producer says that it was the last.
        let counts_rest = is_ended_politely || !is_local && is_whole;
        self.settle_lines(
            conn,
            &lines,
            &text[..sent],
            counts_rest,
            !is_local && is_whole,
        );
    }

    fn begin_lines(&mut self, length: usize) -> PeerId {
        let conn = self.idle_conn();
        let head = format!(
            "POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n"
        );
        self.world.say(conn, head.as_bytes());
        conn
    }

    fn line(&mut self, number: u64) -> Line {
        if number > 0 && self.dice.one_in(5) {
            let text = self
                .dice
                .pick(&["{\"type\":\n", "nothing\n", "{}\n", "[]\n"]);
            return Line {
                text: text.to_owned(),
                event: None,
            };
        }
        let is_progress = self.dice.one_in(3);
        let payload = match is_progress {
            true => json!({"progress": self.dice.below(100)}),
            false => json!({"mark": self.next_mark()}),
        };
        let id = format!("l{}of{}", self.dice.below(200), self.world.life);
        let event = Event {
            task: self.any_task(),
            kind: ["document_generated", "task_progress"][usize::from(is_progress)].to_owned(),
            payload,
            id: self.dice.one_in(4).then_some(id),
        };
        Line {
            text: format!("{}\n", event.message()),
            event: Some(event),
        }
    }

    /// What the server has made of the lines that it was sent.
    fn settle_lines(
        &mut self,
        conn: PeerId,
        lines: &[Line],
        sent: &str,
        counts_rest: bool,
        is_answered: bool,
    ) {
        let mut rest = sent;
        let (mut accepted, mut rejected) = (0, Vec::new());
        let mut said: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (index, line) in lines.iter().enumerate() {
            let whole = line.text.trim_end();
            let has_newline = rest.len() > whole.len();
            if rest.len() < whole.len() || !has_newline && !counts_rest {
                // A piece of a line is no event.
                break;
            }
            rest = &rest[line.text.len().min(rest.len())..];
            let Some(event) = &line.event else {
                rejected.push(index as u64 + 1);
                continue;
            };
            let verdict = self.tasks.judge(event);
            assert_ne!(verdict, Verdict::Either, "{event:?}");
            let is_accepted = verdict == Verdict::Accepted;
            accepted += u64::from(is_accepted);
            let is_entry = self.tasks.apply(event, is_accepted);
            let room = format!("task:{}", event.task);
            let mark = event.payload["mark"].as_u64().filter(|_| is_entry);
            said.entry(room).or_default().extend(mark);
        }
        let rooms = said.iter();
        let rooms = rooms.filter_map(|(room, said)| self.say(room, said));
        let rooms = rooms.collect();
        if is_answered {
            self.expect(conn, rooms, None, Some(accepted));
            let request = self.requests.get_mut(&conn).expect("it is expected");
            request.rejected = rejected;
        }
    }
}
