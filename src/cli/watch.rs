//! `joblight watch`: shows tasks until they have ended, for a person or a script.

use super::diagnostics::{TROUBLE, tell};
use super::options::WatchOptions;
use super::progress_line::{item_line, task_line};
use crate::base::printable::printable_json;
use crate::client::{Client, ClientError, ClientEvent, SUBSCRIBE_ID, ServerMessage, TaskStates};
use crate::wire::message::TASK_REMOVED;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use time::UtcOffset;

/// The wait for one event; `watch` waits again after it.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Returns once all tasks are completed at the same time, or one has ended otherwise.
pub(super) fn watch(options: &WatchOptions) -> ExitCode {
    match follow(options) {
        Ok(code) => code,
        Err(error) => {
            tell(&error);
            ExitCode::from(TROUBLE)
        }
    }
}

fn follow(options: &WatchOptions) -> Result<ExitCode, ClientError> {
    // The time zone can be asked for only while there is a single thread.
    let zone = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    let mut client = Client::connect(&options.url)?;
    client.subscribe_tasks(&options.tasks);
    // The pong comes after the states of all known tasks.
    client.send(&json!({"type": "ping"}));
    let mut watch = Watch {
        zone,
        json: options.json,
        open: options.tasks.iter().cloned().collect(),
        watched: options.tasks.iter().cloned().collect(),
        is_catching_up: false,
        is_acknowledged: false,
        has_told_of_unknown: false,
        states: TaskStates::default(),
    };
    loop {
        let end = match client.next(PATIENCE)? {
            Some(ClientEvent::Message(message)) => {
                if message.kind() == "connected" {
                    // Missed messages come room by room: the tasks count as completed only after all of them have
                    // arrived.
                    watch.is_catching_up = true;
                    client.send(&json!({"type": "ping"}));
                }
                watch.take(&message)
            }
            Some(ClientEvent::Lost {
                reason,
                attempt,
                delay,
            }) => {
                let seconds = delay.as_secs_f64();
                tell(&format_args!(
                    "{reason}; attempt {attempt} in {seconds:.1} s"
                ));
                None
            }
            None => None,
        };
        if let Some(code) = end {
            client.close();
            return Ok(code);
        }
    }
}

struct Watch {
    zone: UtcOffset,
    json: bool,
    /// Tasks that have not completed, or that started again.
    open: HashSet<String>,
    watched: HashSet<String>,
    /// Missed messages may still be on their way.
    is_catching_up: bool,
    is_acknowledged: bool,
    /// The user has been told which tasks have no state yet.
    has_told_of_unknown: bool,
    states: TaskStates,
}

/// Where a method returns an exit code, the watch ends with it.
impl Watch {
    fn take(&mut self, message: &ServerMessage) -> Option<ExitCode> {
        match message.kind() {
            "connected" | "disconnected" => None,
            "pong" => {
                self.tell_of_unknown();
                self.is_catching_up = false;
                self.end_if_completed()
            }
            "subscription_ack" => {
                self.is_acknowledged = true;
                check_rooms(&message.value)
            }
            "error" => self.handle_error(message),
            TASK_REMOVED => self.handle_removed(message),
            _ => self.show(message),
        }
    }

    /// A refused subscription ends the watch: nobody will hear how its tasks end.
    fn handle_error(&self, message: &ServerMessage) -> Option<ExitCode> {
        let payload = &message.value["payload"];
        let reason = payload["message"].as_str();
        tell(&reason.unwrap_or(&message.text));
        // Before the acknowledgement an error without `replyTo` answers the subscription, too.
        let is_answer = match payload["replyTo"].as_str() {
            Some(id) => id == SUBSCRIBE_ID,
            None => !self.is_acknowledged,
        };
        is_answer.then_some(ExitCode::from(TROUBLE))
    }

    /// Once only.
    fn tell_of_unknown(&mut self) {
        if std::mem::replace(&mut self.has_told_of_unknown, true) {
            return;
        }
        let unknown = self
            .open
            .iter()
            .filter(|task| self.states.state(task).is_none());
        let mut unknown: Vec<String> = unknown.cloned().collect();
        unknown.sort();
        if !unknown.is_empty() {
            let tasks = unknown.join(", ");
            tell(&format_args!("waiting for the first event of {tasks}"));
        }
    }

    /// Prints a message of the watched rooms, and decides whether it was the last that counts.
    fn show(&mut self, message: &ServerMessage) -> Option<ExitCode> {
        let state = self.states.apply(&message.value);
        let line = match state {
            _ if self.json => printable_json(&message.text).into_owned(),
            Some(state) => task_line(&message.value, state, self.zone),
            None => item_line(&message.value, self.zone),
        };
        let ended = state.and_then(|state| {
            let task = state.get("taskId")?.as_str()?.to_owned();
            Some((task, state.get("status")?.as_str()?.to_owned()))
        });
        if writeln!(io::stdout(), "{line}").is_err() {
            // Nobody reads any more, and nobody will know how it ended.
            return Some(ExitCode::from(TROUBLE));
        }
        match ended {
            Some((task, status)) if self.watched.contains(&task) => self.note(&task, &status),
            _ => None,
        }
    }

    /// A task that is removed before its end ends the watch: nobody will hear how it ended.
    fn handle_removed(&mut self, message: &ServerMessage) -> Option<ExitCode> {
        self.states.apply(&message.value);
        let payload = &message.value["payload"];
        let task = payload["taskId"].as_str().unwrap_or_default();
        let reason = payload["reason"].as_str().unwrap_or_default();
        let line = printable_json(&message.text);
        if self.json && writeln!(io::stdout(), "{line}").is_err() {
            return Some(ExitCode::from(TROUBLE));
        }
        tell(&format_args!("{task} was removed ({reason})"));
        let is_open = self.open.contains(task);
        is_open.then_some(ExitCode::from(TROUBLE))
    }

    fn note(&mut self, task: &str, status: &str) -> Option<ExitCode> {
        match status {
            "failed" | "cancelled" => Some(ExitCode::FAILURE),
            "completed" => {
                self.open.remove(task);
                self.end_if_completed()
            }
            // A completed task may start again.
            _ => {
                self.open.insert(task.to_owned());
                None
            }
        }
    }

    fn end_if_completed(&self) -> Option<ExitCode> {
        let is_completed = self.open.is_empty() && !self.is_catching_up;
        is_completed.then_some(ExitCode::SUCCESS)
    }
}

/// Reports losses and refusals in an acknowledgement. A refused room ends the watch.
fn check_rooms(message: &Value) -> Option<ExitCode> {
    let recovered = message["payload"]["recovered"].as_object();
    let lost = recovered.into_iter().flatten();
    for (room, _) in lost.filter(|(_, recovered)| **recovered == false) {
        tell(&format_args!("{room}: some messages were missed for good"));
    }
    let denied = message["payload"]["denied"].as_array();
    match denied.and_then(|denied| denied.first()) {
        Some(denied) => {
            let of = |name: &str| denied[name].as_str().unwrap_or_default();
            let reason = match denied["message"].as_str() {
                Some(reason) => format!(" ({reason})"),
                None => String::new(),
            };
            let (room, code) = (of("room"), of("code"));
            tell(&format_args!("cannot watch {room}: {code}{reason}"));
            Some(ExitCode::from(TROUBLE))
        }
        None => None,
    }
}
