//! What producers report, as they like: repeated, late, out of order, several at once. Their answers are compared with what
//! the shadow expects.

use super::event::{self, Event};
use super::run::Run;
use super::tasks::{EventName, Standing, Verdict, standing};
use super::truth::Place;
use super::world::{Heard, PeerId, request};
use joblight::internals::engine::Services;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A request that has not been answered.
#[derive(Debug)]
pub(crate) struct Request {
    life: u32,
    /// Where each room's log was once it was carried out.
    rooms: Vec<(String, Place)>,
    task: Option<(String, Standing)>,
    /// The event that has counted, if it has an id.
    event: Option<EventName>,
    /// What `accepted` must be.
    accepted: Option<u64>,
    /// Lines that were no events.
    pub(crate) rejected: Vec<u64>,
}

impl Run {
    /// A task event.
    pub(crate) fn report(&mut self) {
        if !self.past.is_empty() && self.dice.one_in(12) {
            let again = self.dice.pick(&self.past);
            return self.post(again);
        }
        let task = self.any_task();
        let kinds = [
            "task_started",
            "task_paused",
            "task_completed",
            "task_failed",
            "task_cancelled",
        ];
        let kind = match self.dice.below(12) {
            0..8 => "task_progress",
            _ => self.dice.pick(&kinds),
        };
        let mut payload = json!({});
        if kind == "task_progress" && self.dice.one_in(30) {
            payload["status"] = json!(self.dice.pick(&["completed", "failed", "cancelled"]));
        }
        if kind != "task_progress" || payload.get("status").is_some() {
            payload["mark"] = json!(self.next_mark());
        }
        let id = self.dice.one_in(6).then(|| format!("e{}", self.step));
        if kind == "task_started" && id.is_some() && self.dice.one_in(2) {
            payload["restart"] = json!(true);
        }
        let attempt = self.tasks.attempt(&task);
        event::fill(&mut self.dice, self.step as u64, attempt, &[], &mut payload);
        let kind = kind.to_owned();
        self.post(Event {
            task,
            kind,
            payload,
            id,
        });
    }

    /// What a task brought forth; the payload may be large.
    pub(crate) fn item(&mut self) {
        let payload = json!({"mark": self.next_mark(), "text": self.text()});
        let kind = self
            .dice
            .pick(&["document_generated", "document_failed"])
            .to_owned();
        let task = self.any_task();
        self.post(Event {
            task,
            kind,
            payload,
            id: None,
        });
    }

    /// Several events of several tasks, all or none.
    pub(crate) fn bundle(&mut self) {
        let count = self.dice.between(2, 5);
        let events: Vec<Event> = (0..count)
            .map(|_| Event {
                task: self.any_task(),
                kind: "document_generated".to_owned(),
                payload: json!({"mark": self.next_mark()}),
                id: None,
            })
            .collect();
        let body: Vec<Value> = events.iter().map(Event::message).collect();
        let conn = self.request("POST", "/api/events", &json!(body));
        let mut said: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in &events {
            assert!(self.tasks.apply(event, true), "items are entries");
            let room = said.entry(format!("task:{}", event.task)).or_default();
            room.extend(event.payload["mark"].as_u64());
        }
        let rooms = said.iter();
        let rooms = rooms.filter_map(|(room, said)| self.say(room, said));
        let rooms = rooms.collect();
        self.expect(conn, rooms, None, Some(count));
    }

    /// A message to a room.
    pub(crate) fn broadcast(&mut self) {
        let mark = self.next_mark();
        let rooms = self.world.own.plan.rooms.clone();
        let room = match self.dice.one_in(3) {
            true => self.dice.pick(&rooms),
            false => "lobby".to_owned(),
        };
        let body = json!({"payload": {"mark": mark, "text": self.text()}});
        let conn = self.request("POST", &format!("/api/rooms/{room}/broadcast"), &body);
        let place = self.say(&room, &[mark]);
        self.expect(conn, place.into_iter().collect(), None, None);
    }

    /// A message to one viewer, wherever it is.
    pub(crate) fn send_note(&mut self) {
        let index = self.any_viewer();
        let Some(id) = self.viewers[index].client_id.clone() else {
            return;
        };
        if self.world.engine.inspect().client(&id).is_none() {
            return;
        }
        let mark = self.next_mark();
        self.viewers[index].mail.post(mark);
        let body = json!({"type": "note", "payload": {"mark": mark}});
        let conn = self.request("POST", &format!("/api/clients/{id}/send"), &body);
        self.expect(conn, Vec::new(), None, None);
    }

    /// A task is forgotten, and its room's log with it.
    pub(crate) fn forget(&mut self) {
        const TASK: &str = "t0";
        let room = format!("task:{TASK}");
        if !self.tasks.forget(TASK) {
            return;
        }
        // What was acknowledged of it counts no more.
        for request in self.requests.values_mut() {
            request.rooms.retain(|(known, _)| *known != room);
            request.task.take_if(|(task, _)| *task == TASK);
        }
        self.truth.forget(&room);
        let watches = self.viewers.iter_mut();
        let watches = watches.filter_map(|viewer| viewer.watches.get_mut(&room));
        watches.for_each(|watch| watch.fold.allow_restarts(1));
        let watchers = self.watchers(&room);
        let conn = self.request("DELETE", &format!("/api/tasks/{TASK}"), &Value::Null);
        let held = self.world.engine.inspect();
        assert!(held.task(TASK).is_none(), "{TASK} is still there");
        let (after, wall_ms) = (self.watchers(&room), self.world.now().wall_ms);
        for (index, ..) in &watchers {
            if after.iter().all(|(known, ..)| known != index) {
                self.viewers[*index]
                    .mail
                    .post_removal(wall_ms, false, false);
            }
        }
        for (index, is_own, is_taken) in after {
            // Whoever has come back in that turn may be told, or not.
            let before = watchers.iter().find(|(known, ..)| *known == index);
            let is_own = is_own && before.is_some_and(|(_, is_own, _)| *is_own);
            let is_taken = is_taken && before.is_some_and(|(_, _, is_taken)| *is_taken);
            self.viewers[index]
                .mail
                .post_removal(wall_ms, is_own, is_taken);
        }
        self.expect(conn, Vec::new(), None, None);
    }

    /// Clients that watch a room, and whether their connections take what they are sent.
    fn watchers(&self, room: &str) -> Vec<(usize, bool, bool)> {
        let held = self.world.engine.inspect();
        let viewers = self.viewers.iter().enumerate();
        let watchers = viewers.filter_map(|(index, viewer)| {
            let client = held.client(viewer.client_id.as_deref()?)?;
            let connection = viewer.conn.map(|conn| self.world.conns[conn].connection);
            let is_in_room = client.positions.iter().any(|(known, _)| known == room);
            let is_watching = !client.is_away && is_in_room;
            is_watching.then_some((
                index,
                connection == Some(client.connection),
                !client.is_lagging,
            ))
        });
        watchers.collect()
    }

    /// Sends one event and sees what became of it.
    fn post(&mut self, event: Event) {
        let verdict = self.tasks.judge(&event);
        let before = self.dropped_events();
        let conn = self.request("POST", "/api/events", &event.message());
        let after = self.dropped_events();
        let is_accepted = after == before;
        let expected = verdict == Verdict::Accepted;
        assert!(
            verdict == Verdict::Either || is_accepted == expected,
            "accepted: {is_accepted}; {verdict:?}: {event:?}"
        );
        let is_entry = self.tasks.apply(&event, is_accepted);
        let room = format!("task:{}", event.task);
        let mark = event.payload["mark"].as_u64();
        let said: Vec<u64> = mark.filter(|_| is_entry).into_iter().collect();
        let place = self.say(&room, &said);
        let held = self.world.engine.inspect();
        self.tasks.check(held, &event.task);
        let standing = standing(held, &event.task).filter(|_| is_accepted);
        let task = standing.map(|standing| (event.task.clone(), standing));
        let rooms = place.into_iter().collect();
        self.expect(conn, rooms, task, Some(u64::from(is_accepted)));
        if let Some(request) = self.requests.get_mut(&conn) {
            request.event = event.name().filter(|_| is_accepted);
        }
        if self.past.len() < 50 {
            self.past.push(event);
        } else {
            let place = self.dice.below(50) as usize;
            self.past[place] = event;
        }
    }

    fn dropped_events(&mut self) -> u64 {
        let now = self.world.now();
        let engine = &mut self.world.engine;
        let stats = engine.command(now, |context| context.broadcaster_stats());
        stats.dropped_events
    }

    fn text(&mut self) -> String {
        let length = self.dice.pick(&[0, 0, 40, 700]);
        "x".repeat(length)
    }

    pub(crate) fn any_task(&mut self) -> String {
        let tasks = self.world.own.plan.rooms.len() - 1;
        format!("t{}", self.dice.below(tasks as u64))
    }

    /// A request has said these in a room; where its log is now, if there is one.
    pub(crate) fn say(&mut self, room: &str, marks: &[u64]) -> Option<(String, Place)> {
        self.truth.say(self.world.engine.inspect(), room, marks);
        let place = self.truth.place(room)?;
        Some((room.to_owned(), place))
    }

    /// A connection to the API where no request is under way.
    pub(crate) fn idle_conn(&mut self) -> PeerId {
        let world = &mut self.world;
        self.idle.retain(|id| world.conns[*id].is_open);
        let idle = self.idle.pop();
        idle.unwrap_or_else(|| world.connect(Services::HTTP, true))
    }

    /// A request to the API, on a connection where none is under way.
    pub(crate) fn request(&mut self, method: &str, path: &str, body: &Value) -> PeerId {
        let conn = self.idle_conn();
        let request = request(method, path, body);
        self.world.say(conn, request.as_bytes());
        conn
    }

    pub(crate) fn expect(
        &mut self,
        conn: PeerId,
        rooms: Vec<(String, Place)>,
        task: Option<(String, Standing)>,
        accepted: Option<u64>,
    ) {
        let request = Request {
            life: self.world.life,
            rooms,
            task,
            event: None,
            accepted,
            rejected: Vec::new(),
        };
        self.requests.insert(conn, request);
    }

    /// A request is answered.
    pub(crate) fn handle_answer(
        &mut self,
        conn: PeerId,
        request: Request,
        status: u16,
        answer: &Value,
    ) {
        assert_eq!(request.life, self.world.life, "an answer from the dead");
        self.idle.push(conn);
        if status == 503 {
            assert!(self.world.own.plan.fails, "{answer}");
            assert_eq!(answer["code"], "storage_unavailable", "{answer}");
            return;
        }
        assert!((200..300).contains(&status), "{status}: {answer}");
        if let Some(accepted) = request.accepted {
            assert_eq!(answer["accepted"], accepted, "{answer}");
        }
        if let (Some(position), [(_, place)]) = (answer["position"].as_str(), &request.rooms[..]) {
            assert_eq!(position, place.text(), "{answer}");
        }
        let errors = answer["errors"].as_array();
        let errors = errors.iter().flat_map(|errors| errors.iter());
        let lines: Vec<Option<u64>> = errors.map(|error| error["line"].as_u64()).collect();
        let rejected: Vec<Option<u64>> = request.rejected.into_iter().map(Some).collect();
        assert_eq!(lines, rejected, "{answer}");
        if !self.world.own.plan.stores {
            return;
        }
        for (room, place) in request.rooms {
            self.truth.acknowledge(&room, place.offset);
        }
        if let Some((task, standing)) = request.task {
            self.tasks.acknowledge(&task, standing);
        }
        if let Some(event) = request.event {
            self.tasks.acknowledge_event(event);
        }
    }

    /// A document that must be there at once.
    pub(crate) fn document(&mut self, path: &str) -> Option<Value> {
        let conn = self.request("GET", path, &Value::Null);
        let heard = self.world.take_answer(conn);
        self.idle.push(conn);
        match heard {
            Some(Heard::Answer(200, document)) => Some(document),
            Some(Heard::Answer(404, _)) => None,
            other => panic!("GET {path}: {other:?}"),
        }
    }
}
