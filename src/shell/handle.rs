//! The server from other threads: seed 000's interface in Rust.
//!
//! A [`Handle`] may be cloned and sent anywhere. Each call is carried out on the server's own thread, between two of its
//! inputs, and waits for the answer.

use super::store::StoreReport;
use crate::base::time::Now;
use crate::engine::api::statistics::{BroadcasterStats, Health, WebSocketStats};
use crate::engine::commands::{ClientInfo, CommandError};
use crate::engine::context::Context;
use crate::engine::{Engine, Input};
use crate::wire::message::{Report, TaskEvent};
use mio::Waker;
use serde::Serialize;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// What a call gives back, or why it was not carried out.
pub type CommandResult<T> = Result<T, CommandError>;

/// Runs on the server's thread.
type Deed = Box<dyn FnOnce(&mut Engine, Now) + Send>;

pub struct Call {
    /// Whether it is about what the store holds, so that it has to wait while the store is being opened.
    pub waits: bool,
    pub run: Deed,
}

/// A way to the running server. See the crate's documentation for an example.
#[derive(Clone)]
pub struct Handle {
    calls: Sender<Call>,
    waker: Arc<Waker>,
}

impl Handle {
    pub(super) fn new(calls: Sender<Call>, waker: Arc<Waker>) -> Self {
        Self { calls, waker }
    }

    /// Begins the shutdown: viewers are told to come back, and connections drain for `server.shutdown_timeout`. A second
    /// call ends it at once.
    pub fn stop(&self) -> CommandResult<()> {
        self.engine(false, |engine, now| engine.shut_down(now))
    }

    /// What is known of a client.
    pub fn client(&self, client_id: &str) -> CommandResult<ClientInfo> {
        let id = client_id.to_owned();
        self.ask(move |context| context.find_client(&id).map(|key| context.client_info(key)))?
    }

    /// Every client.
    pub fn clients(&self) -> CommandResult<Vec<ClientInfo>> {
        self.ask(|context| context.client_infos())?
    }

    /// Ends a client's connection. `code` is a close code that may be sent (RFC 6455 section 7.4), as 1000 or 4000.
    pub fn disconnect_client(&self, client_id: &str, code: u16, reason: &str) -> CommandResult<()> {
        let (id, reason) = (client_id.to_owned(), reason.to_owned());
        self.ask(move |context| context.disconnect_client(&id, code, &reason))?
    }

    /// Puts a client into a room; it gets what is due there.
    pub fn subscribe(&self, client_id: &str, room: &str) -> CommandResult<()> {
        let (id, room) = (client_id.to_owned(), room.to_owned());
        self.ask(move |context| context.subscribe(&id, &room))?
    }

    /// Takes a client out of a room; `false` when it was not in it.
    pub fn unsubscribe(&self, client_id: &str, room: &str) -> CommandResult<bool> {
        let (id, room) = (client_id.to_owned(), room.to_owned());
        self.ask(move |context| context.unsubscribe(&id, &room))?
    }

    /// The clients in a room.
    pub fn room_clients(&self, room: &str) -> CommandResult<Vec<String>> {
        let room = room.to_owned();
        self.ask(move |context| context.room_clients(&room))?
    }

    /// Sends one client a message of the application's own type; `false` when its connection did not take it.
    pub fn send(
        &self,
        client_id: &str,
        kind: &str,
        payload: &impl Serialize,
    ) -> CommandResult<bool> {
        let (id, kind, payload) = (client_id.to_owned(), kind.to_owned(), to_json(payload)?);
        self.ask(move |context| context.send(&id, &kind, &payload))?
    }

    /// Sends a room a message, which the room's log keeps; tells how many clients it reached. Seed 000's `sendToRoom`, and
    /// its `broadcast(room, …)`.
    pub fn send_to_room(
        &self,
        room: &str,
        kind: &str,
        payload: &impl Serialize,
    ) -> CommandResult<usize> {
        let (room, kind, payload) = (room.to_owned(), kind.to_owned(), to_json(payload)?);
        self.ask(move |context| context.send_to_room(&room, &kind, payload))?
    }

    /// Sends every client a message; tells how many it reached. Seed 001's `broadcast(message)`.
    pub fn broadcast_to_all(&self, kind: &str, payload: &impl Serialize) -> CommandResult<usize> {
        let (kind, payload) = (kind.to_owned(), to_json(payload)?);
        self.ask(move |context| context.broadcast_to_all(&kind, &payload))?
    }

    /// A task has started; `task` holds fields of the task payload (contract section 4). This and the following calls
    /// answer `false` when the event was late, repeated or out of order.
    pub fn on_task_started(&self, task_id: &str, task: &impl Serialize) -> CommandResult<bool> {
        self.on_task(task_id, TaskEvent::Started, task)
    }

    /// A task has moved.
    pub fn on_task_progress(&self, task_id: &str, task: &impl Serialize) -> CommandResult<bool> {
        self.on_task(task_id, TaskEvent::Progress, task)
    }

    /// A task has ended well.
    pub fn on_task_completed(&self, task_id: &str, task: &impl Serialize) -> CommandResult<bool> {
        self.on_task(task_id, TaskEvent::Completed, task)
    }

    /// A task has ended badly.
    pub fn on_task_failed(&self, task_id: &str, task: &impl Serialize) -> CommandResult<bool> {
        self.on_task(task_id, TaskEvent::Failed, task)
    }

    /// A task is held.
    pub fn on_task_paused(&self, task_id: &str, task: &impl Serialize) -> CommandResult<bool> {
        self.on_task(task_id, TaskEvent::Paused, task)
    }

    /// A task has ended on request.
    pub fn on_task_cancelled(&self, task_id: &str, task: &impl Serialize) -> CommandResult<bool> {
        self.on_task(task_id, TaskEvent::Cancelled, task)
    }

    /// Any event, as `POST /api/events` takes it: `{"type": …, "payload": {…}}`.
    pub fn report(&self, message: &impl Serialize) -> CommandResult<bool> {
        let report = Report::parse(&to_json(message)?)?.into_owned();
        self.ask(move |context| context.report(report))?
    }

    /// Several tasks have moved: the fields of each beside its id. Tells how many events counted. All are checked before the
    /// first counts.
    pub fn broadcast_batch_progress<T: Serialize>(
        &self,
        tasks: &[(&str, T)],
    ) -> CommandResult<usize> {
        let read = |(id, task): &(&str, T)| {
            let report = Report::for_task(id, TaskEvent::Progress, &to_json(task)?)?.into_owned();
            Ok(report)
        };
        let reports = tasks
            .iter()
            .map(read)
            .collect::<CommandResult<Vec<Report<'_>>>>()?;
        self.ask(move |context| {
            let accepted = reports
                .into_iter()
                .map(|report| context.report(report).map(usize::from));
            accepted.sum()
        })?
    }

    pub(super) fn report_store(&self, news: StoreReport) {
        let run = move |engine: &mut Engine, now| match news {
            StoreReport::Unopened(error) => {
                engine.handle_input(now, Input::StoreUnopened(error.to_string()));
            }
            StoreReport::Slice(slice, taken) => {
                engine.handle_input(now, Input::StoreSlice(&slice));
                // The thread may have ended.
                let _ = taken.send(());
            }
            StoreReport::Read => engine.handle_input(now, Input::StoreRead),
            StoreReport::Done(outcomes) => {
                for outcome in outcomes {
                    let (seq, result) = (outcome.seq, outcome.result);
                    let result = result.map_err(|error| error.to_string());
                    engine.handle_input(now, Input::Appended { seq, result });
                }
            }
        };
        let call = Call {
            waits: false,
            run: Box::new(run),
        };
        // Once the server has stopped nobody waits for it.
        if self.calls.send(call).is_ok() {
            let _ = self.waker.wake();
        }
    }

    /// How the server is.
    pub fn health(&self) -> CommandResult<Health> {
        self.look(|context| context.health())
    }

    /// What the WebSocket server has done.
    pub fn stats(&self) -> CommandResult<WebSocketStats> {
        self.look(|context| context.websocket_stats())
    }

    /// What the broadcaster has done.
    pub fn broadcaster_stats(&self) -> CommandResult<BroadcasterStats> {
        self.look(|context| context.broadcaster_stats())
    }

    fn on_task(
        &self,
        task_id: &str,
        event: TaskEvent,
        task: &impl Serialize,
    ) -> CommandResult<bool> {
        let report = Report::for_task(task_id, event, &to_json(task)?)?.into_owned();
        self.ask(move |context| context.report(report))?
    }

    fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Context<'_>) -> T + Send + 'static,
    ) -> CommandResult<T> {
        self.engine(true, move |engine, now| engine.command(now, command))
    }

    /// Asks what is known without the store.
    fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Context<'_>) -> T + Send + 'static,
    ) -> CommandResult<T> {
        self.engine(false, move |engine, now| engine.command(now, question))
    }

    fn engine<T: Send + 'static>(
        &self,
        waits: bool,
        question: impl FnOnce(&mut Engine, Now) -> T + Send + 'static,
    ) -> CommandResult<T> {
        let (answers, answer) = channel();
        let run = move |engine: &mut Engine, now| {
            // The caller may have gone.
            let _ = answers.send(question(engine, now));
        };
        let run = Box::new(run);
        let call = Call { waits, run };
        self.calls.send(call).map_err(|_| CommandError::Stopped)?;
        self.waker.wake().map_err(|_| CommandError::Stopped)?;
        answer.recv().map_err(|_| CommandError::Stopped)
    }
}

fn to_json(value: &impl Serialize) -> CommandResult<String> {
    serde_json::to_string(value).map_err(|error| CommandError::Invalid {
        field: "payload".into(),
        reason: error.to_string(),
    })
}
