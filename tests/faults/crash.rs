//! The process is killed again and again while events come in: nothing that was acknowledged is lost (contract section 5.6).

use crate::reader::{Contents, ROOMS, Reader, TASKS, Way, marker};
use crate::socket::Producer;
use crate::support::process::{Directory, Process};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread;

const ROUNDS: u64 = 100;
/// Events of one attempt before the task is completed.
const STEPS: u64 = 10;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)) >> 16) % bound
    }
}

/// How far a task has come: attempt, status, progress. Later is greater.
type Place = (u64, u64, u64);

/// What the server has acknowledged to a producer.
#[derive(Default)]
struct Acknowledged {
    /// Room and marker.
    said: Vec<(String, String)>,
    place: Place,
}

/// One producer in one life of the server.
struct Worker {
    http: Producer,
    task: &'static str,
    prefix: String,
    number: u64,
    ticks: Sender<()>,
    done: Acknowledged,
}

impl Worker {
    /// Reports attempts of its task until the server is gone.
    fn work(mut self, round: u64, dice: &mut Dice) -> Acknowledged {
        for attempt in round * 1000 + 1.. {
            if self.carry_out(attempt, dice).is_err() {
                break;
            }
        }
        self.done
    }

    fn carry_out(&mut self, attempt: u64, dice: &mut Dice) -> io::Result<()> {
        let marker = self.marker();
        let path = format!("/api/tasks/{}", self.task);
        let started = json!({"attempt": attempt, "message": marker});
        self.say(
            &format!("{path}/started"),
            &started,
            vec![marker],
            (attempt, 1, 0),
        )?;
        for step in 1..STEPS {
            self.report(attempt, step, dice)?;
        }
        let marker = self.marker();
        let completed = json!({"message": marker});
        self.say(
            &format!("{path}/completed"),
            &completed,
            vec![marker],
            (attempt, 2, 100),
        )
    }

    fn report(&mut self, attempt: u64, step: u64, dice: &mut Dice) -> io::Result<()> {
        let progress =
            json!({"type": "task_progress", "payload": {"taskId": self.task, "progress": step}});
        let now = (attempt, 1, step);
        match dice.below(5) {
            0 => {
                let (item, marker) = self.item();
                self.say("/api/events", &item, vec![marker], (0, 0, 0))
            }
            1 => {
                let items = [self.item(), self.item()];
                let [(first, one), (second, other)] = items;
                let events = json!([first, progress, second]);
                self.say("/api/events", &events, vec![one, other], now)
            }
            2 => {
                let items = [self.item(), self.item()];
                let [(first, one), (second, other)] = items;
                let lines = format!("{first}\n{second}\n{progress}");
                let kind = "application/x-ndjson";
                self.send("/api/events", kind, &lines, vec![one, other], now)
            }
            3 => self.speak(dice),
            _ => {
                let path = format!("/api/tasks/{}/progress", self.task);
                self.say(&path, &json!({"progress": step}), Vec::new(), now)
            }
        }
    }

    fn speak(&mut self, dice: &mut Dice) -> io::Result<()> {
        let room = ROOMS[dice.below(2) as usize];
        let marker = self.marker();
        let body = json!({"payload": {"marker": marker}});
        self.tick();
        let path = format!("/api/rooms/{room}/broadcast");
        let (status, answer) = self
            .http
            .post(&path, "application/json", &body.to_string())?;
        assert_eq!(status, 200, "{answer}");
        self.done.said.push((room.to_owned(), marker));
        self.tick();
        Ok(())
    }

    fn say(
        &mut self,
        path: &str,
        body: &Value,
        markers: Vec<String>,
        now: Place,
    ) -> io::Result<()> {
        self.send(path, "application/json", &body.to_string(), markers, now)
    }

    fn send(
        &mut self,
        path: &str,
        kind: &str,
        body: &str,
        markers: Vec<String>,
        now: Place,
    ) -> io::Result<()> {
        self.tick();
        let (status, answer) = self.http.post(path, kind, body)?;
        assert_eq!((status, &answer["dropped"]), (200, &json!(0)), "{answer}");
        let room = format!("task:{}", self.task);
        let said = markers.into_iter().map(|marker| (room.clone(), marker));
        self.done.said.extend(said);
        self.done.place = self.done.place.max(now);
        self.tick();
        Ok(())
    }

    fn item(&mut self) -> (Value, String) {
        let marker = self.marker();
        let payload = json!({"taskId": self.task, "marker": marker});
        (
            json!({"type": "document_generated", "payload": payload}),
            marker,
        )
    }

    fn marker(&mut self) -> String {
        self.number += 1;
        format!("{}-{}", self.prefix, self.number)
    }

    fn tick(&self) {
        // The test may have seen enough.
        let _ = self.ticks.send(());
    }
}

/// Everything that outlives the processes.
struct Story {
    seed: u64,
    directory: Directory,
    readers: Vec<Reader>,
    contents: Contents,
    /// Room and marker of all that was acknowledged and found again, with its offset.
    said: HashMap<(String, String), u64>,
    places: HashMap<&'static str, Place>,
    /// Up to where each log was checked.
    positions: HashMap<String, String>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let ways = [Way::Session, Way::Since, Way::Session, Way::Since];
        Self {
            seed,
            directory: Directory::new(),
            readers: ways.map(Reader::new).into(),
            contents: Contents::default(),
            said: HashMap::new(),
            places: HashMap::new(),
            positions: HashMap::new(),
        }
    }

    fn serve(&self) -> Process {
        let flags = "--storage.path kept.db --websocket.message_queue_size 100000 --broadcaster.task_ttl 0 \
                     --websocket.rate_limit.max_connections_per_minute 0 --websocket.rate_limit.max_messages_per_minute 0 \
                     --broadcaster.broadcast_interval 0";
        let flags: Vec<&str> = flags.split_whitespace().collect();
        Process::serve(&self.directory, &flags)
    }

    fn offsets(&self) -> HashMap<String, u64> {
        let offset = |position: &String| position.split_once(':')?.1.parse().ok();
        let known = self.positions.iter();
        known
            .filter_map(|(room, position)| Some((room.clone(), offset(position)?)))
            .collect()
    }

    /// One life of the server, from the start to the kill.
    fn live_and_die(&mut self, round: u64) -> Vec<Acknowledged> {
        let mut dice = Dice(self.seed.wrapping_add(round << 32));
        let mut process = self.serve();
        self.check_history(process.http(), &[]);
        let settled = self.offsets();
        let (ready, is_ready) = channel();
        let websocket = process.websocket();
        let listen = |reader: &Reader| {
            let (plan, ready) = (reader.plan(), ready.clone());
            thread::spawn(move || plan.listen(websocket, &ready, |_| false))
        };
        let listeners: Vec<_> = self.readers.iter().map(listen).collect();
        if round == 0 {
            listeners.iter().for_each(|_| is_ready.recv().unwrap());
        }
        let (ticks, ticking) = channel();
        let workers: Vec<_> = (0..TASKS.len())
            .map(|index| start_worker(process.http(), round, index, self.seed, ticks.clone()))
            .collect();
        let count = dice.below(400) + if round == 0 { 100 } else { 1 };
        (0..count).for_each(|_| ticking.recv().expect("producers at work"));
        process.kill();
        let done = workers.into_iter().map(|worker| worker.join().unwrap());
        let done = done.collect();
        for (reader, listener) in self.readers.iter_mut().zip(listeners) {
            reader.take(&listener.join().unwrap(), &settled, &mut self.contents);
        }
        done
    }

    /// The next life must know all that was acknowledged in the last.
    fn check(&mut self, http: SocketAddr, done: &[Acknowledged]) {
        let said: Vec<_> = done.iter().flat_map(|worker| worker.said.clone()).collect();
        self.check_history(http, &said);
        let mut asker = Producer::connect(http).expect("a connection");
        for (task, worker) in TASKS.iter().zip(done) {
            let known = self.places.entry(task).or_default();
            *known = worker.place.max(*known);
            if *known == Place::default() {
                continue;
            }
            let (status, state) = asker.get(&format!("/api/tasks/{task}")).unwrap();
            assert_eq!(status, 200, "{task}: {state}");
            let rank = match state["status"].as_str() {
                Some("running") => 1,
                Some("completed") => 2,
                _ => 0,
            };
            let number = |field: &str| state[field].as_u64().unwrap_or(0);
            let place = (number("attempt"), rank, number("progress"));
            assert!(place >= *known, "acknowledged {known:?}, found {state}");
        }
    }

    /// Everything acknowledged must be in the logs, once.
    fn check_history(&mut self, http: SocketAddr, said: &[(String, String)]) {
        let mut asker = Producer::connect(http).expect("a connection");
        let mut found = HashMap::new();
        let tasks = TASKS.map(|task| format!("task:{task}"));
        for room in tasks.iter().map(String::as_str).chain(ROOMS) {
            let since = self.positions.get(room);
            let since = since.map_or_else(String::new, |since| format!("?since={since}"));
            let (status, page) = asker
                .get(&format!("/api/rooms/{room}/history{since}"))
                .unwrap();
            if status == 404 {
                continue;
            }
            assert_eq!(page["complete"], true, "{room}{since}: {page}");
            let position = page["position"].as_str().expect("a position");
            let epoch = position.split_once(':').expect("an epoch").0;
            for message in page["messages"].as_array().expect("messages") {
                let (room, offset) = self.contents.check(epoch, message);
                let marker = marker(message).expect("a marker");
                let again = found.insert((room, marker), offset);
                assert_eq!(again, None, "logged twice: {message}");
            }
            self.positions.insert(room.to_owned(), position.to_owned());
        }
        for place in said {
            let offset = found.get(place);
            let offset = offset.unwrap_or_else(|| panic!("acknowledged and lost: {place:?}"));
            self.said.insert(place.clone(), *offset);
        }
    }

    /// A last life, in which everybody hears everything to the end.
    fn end(mut self) {
        let process = self.serve();
        let settled = self.offsets();
        let websocket = process.websocket();
        let (ready, is_ready) = channel();
        let listen = |reader: &Reader| {
            let (plan, ready) = (reader.plan(), ready.clone());
            let mut left = ROOMS.len();
            let is_end = move |message: &Value| {
                left -= usize::from(message["payload"]["end"] == true);
                left == 0
            };
            thread::spawn(move || plan.listen(websocket, &ready, is_end))
        };
        let listeners: Vec<_> = self.readers.iter().map(listen).collect();
        listeners.iter().for_each(|_| is_ready.recv().unwrap());
        for room in ROOMS {
            let path = format!("/api/rooms/{room}/broadcast");
            process.post(&path, &json!({"payload": {"end": true}}));
        }
        for (reader, listener) in self.readers.iter_mut().zip(listeners) {
            reader.take(&listener.join().unwrap(), &settled, &mut self.contents);
            reader.check_all(&self.said);
            if reader.way == Way::Session {
                assert_eq!(reader.told_of_loss, 0, "a session knows what it lacks");
            }
        }
        process.stop();
    }
}

fn start_worker(
    http: SocketAddr,
    round: u64,
    index: usize,
    seed: u64,
    ticks: Sender<()>,
) -> thread::JoinHandle<Acknowledged> {
    let mut dice = Dice(seed ^ (round << 8) ^ index as u64);
    thread::spawn(move || {
        let Ok(http) = Producer::connect(http) else {
            return Acknowledged::default();
        };
        let worker = Worker {
            http,
            task: TASKS[index],
            prefix: format!("{round}-{index}"),
            number: 0,
            ticks,
            done: Acknowledged::default(),
        };
        worker.work(round, &mut dice)
    })
}

#[test]
fn nothing_acknowledged_is_lost_in_a_hundred_kills() {
    let given = std::env::var("JOBLIGHT_TEST_SEED").ok();
    let seed = given.and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(ROUNDS));
    println!("JOBLIGHT_TEST_SEED={seed}");
    let mut story = Story::new(seed);
    for round in 0..ROUNDS {
        println!("round {round}");
        let done = story.live_and_die(round);
        let mut process = story.serve();
        story.check(process.http(), &done);
        process.kill();
    }
    println!("{} messages were acknowledged", story.said.len());
    story.end();
}
