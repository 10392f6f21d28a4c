//! Random walks of clients that stall, break off, take over and come back. Each keeps count by room and offset: what it has
//! not heard it was told of.

use super::dice::Dice;
use super::session_model::{Client, Shadow, Wish};
use super::visit::Visit;
use super::world::Heard;
use super::world::World;
use serde_json::{Value, json};

const SEEDS: u64 = 500;
/// How long ended tasks and logs are kept.
const KEEP_MS: u64 = 3_600_000;
const STEPS: usize = 250;
const ROOMS: [&str; 5] = ["a", "b", "c", "task:t", "task:u"];
const CLIENTS: usize = 4;

#[test]
fn whatever_breaks_nothing_is_lost_in_silence() {
    match std::env::var("SIM_SEED") {
        Ok(seed) => Walk::run(seed.parse().expect("SIM_SEED is a number")),
        Err(_) => (0..SEEDS).for_each(Walk::run),
    }
}

struct Walk {
    world: World,
    dice: Dice,
    shadow: Shadow,
    clients: Vec<Client>,
    seed: u64,
    step: usize,
}

impl Drop for Walk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (step, seed) = (self.step, self.seed);
            eprintln!("failed at step {step} of {STEPS}; replay with SIM_SEED={seed}");
        }
    }
}

impl Walk {
    fn run(seed: u64) {
        let mut dice = Dice::new(seed);
        let limit = dice.pick(&[2, 10, 100]);
        let mut world = World::with_seed(seed, |config| {
            config.websocket.message_queue_size = limit;
            config.websocket.max_outbox_size = dice.pick(&[0, 300, 4_000]);
            config.websocket.max_outbox_messages = dice.pick(&[0, 3, 20]);
            config.websocket.max_backlog_age = dice.pick(&[0, 3_000]);
            config.broadcaster.broadcast_interval = dice.pick(&[0, 100]);
            config.broadcaster.stall_timeout = 0;
            config.broadcaster.keep_completed = KEEP_MS;
            config.broadcaster.keep_failed = KEEP_MS;
            config.broadcaster.batch_size = 4;
        });
        let clients = (0..CLIENTS).map(|_| Client::new(Visit::on(&mut world, "/ws", "")));
        let clients = clients.collect();
        let mut walk = Self {
            world,
            dice,
            shadow: Shadow::new(limit),
            clients,
            seed,
            step: 0,
        };
        for step in 0..STEPS {
            walk.step = step;
            walk.step();
            walk.listen();
            walk.world.engine.inspect().check_invariants();
        }
        walk.converge();
    }

    fn step(&mut self) {
        let client = self.dice.below(CLIENTS as u64) as usize;
        match self.dice.below(100) {
            0..30 => self.publish(),
            30..45 => self.report(),
            45..55 => self.write_to(client),
            55..63 => self.enter(client),
            63..66 => self.leave(client),
            66..74 => self.stall(client),
            74..80 => self.read(client),
            80..84 => self.cut(client),
            84..88 => self.part(client),
            88..95 => self.resume(client),
            95..98 => self.calm(client),
            _ => self.world.run_for(1_000),
        }
        let millis = self.dice.below(30);
        self.world.run_for(millis);
    }

    fn publish(&mut self) {
        let room = self.dice.pick(&ROOMS);
        let mark = self.shadow.log(room);
        let text = "x".repeat(self.dice.pick(&[0, 10, 200]));
        let path = format!("/api/rooms/{room}/broadcast");
        let message = json!({"payload": {"mark": mark, "text": text}});
        self.world.post(&path, message);
    }

    fn report(&mut self) {
        let task = self.dice.pick(&["t", "u"]);
        match self.dice.below(4) {
            0 => {
                let mark = self.shadow.log(&format!("task:{task}"));
                let body = json!({"attempt": mark + 1, "mark": mark});
                let verb = self.dice.pick(&["started", "paused", "completed"]);
                self.world.report(task, verb, body);
            }
            1 => {
                let mark = self.shadow.log(&format!("task:{task}"));
                let payload = json!({"taskId": task, "mark": mark});
                let event = json!({"type": "document_generated", "payload": payload});
                self.world.post("/api/events", event);
            }
            _ => {
                let current = self.dice.below(self.step as u64 + 1);
                let body = json!({"current": current, "total": 1_000, "message": format!("{}", self.step)});
                self.world.report(task, "progress", body);
            }
        }
    }

    fn write_to(&mut self, client: usize) {
        let number = self.clients[client].next_letter();
        self.clients[client]
            .visit
            .write_to(&mut self.world, json!(number));
    }

    fn enter(&mut self, client: usize) {
        let room = self.dice.pick(&ROOMS);
        let resumes = self.dice.one_in(2);
        let id = self.step as u64;
        let client = &mut self.clients[client];
        if client.is_away || client.knows(room) {
            return;
        }
        let since = client.left.get(room).filter(|_| resumes).cloned();
        let mut message = json!({"type": "subscribe", "rooms": [room], "id": id});
        if let Some((epoch, offset)) = &since {
            message["since"] = json!({room: format!("{epoch}:{offset}")});
        }
        let since = since.map(|(_, offset)| offset);
        let wish = Wish::Enter {
            room: room.to_owned(),
            since,
        };
        client.wishes.insert(id, wish);
        self.world.send(client.visit.peer, &message);
    }

    fn leave(&mut self, client: usize) {
        let client = &mut self.clients[client];
        let rooms: Vec<String> = client.views.keys().cloned().collect();
        if client.is_away || rooms.is_empty() || !client.wishes.is_empty() {
            return;
        }
        let (room, id) = (self.dice.pick(&rooms), self.step as u64);
        client.wishes.insert(id, Wish::Leave { room: room.clone() });
        let message = json!({"type": "leave_room", "room": room, "id": id});
        self.world.send(client.visit.peer, &message);
    }

    fn stall(&mut self, client: usize) {
        let client = &mut self.clients[client];
        if !client.is_away {
            client.is_stalled = true;
            let bytes = self.dice.below(500) as usize;
            self.world.stall(client.visit.peer, bytes);
        }
    }

    fn read(&mut self, client: usize) {
        let client = &mut self.clients[client];
        if client.is_stalled && !client.is_away {
            let bytes = self.dice.pick(&[None, Some(100), Some(1_000)]);
            client.is_stalled = bytes.is_some();
            self.world.read(client.visit.peer, bytes);
        }
    }

    fn cut(&mut self, client: usize) {
        if !self.clients[client].is_away {
            self.listen();
            self.clients[client].is_away = true;
            self.world.leave(self.clients[client].visit.peer);
        }
    }

    /// The server ends the connection, and asks for another.
    fn part(&mut self, client: usize) {
        if !self.clients[client].is_away {
            let path = format!("/api/clients/{}?code=1012", self.clients[client].visit.id);
            let (status, _) = self.world.call("DELETE", &path, &Value::Null);
            assert!([204, 404].contains(&status), "404: it was too slow");
            self.listen();
            self.clients[client].is_away = true;
        }
    }

    /// On a new connection, whatever became of the old one.
    fn resume(&mut self, client: usize) {
        self.listen();
        let secret = &self.clients[client].visit.secret;
        let batch = self.dice.pick(&["", "batch=1&"]);
        let path = format!("/ws?{batch}session={secret}");
        let header = self
            .dice
            .pick(&["", "Sec-WebSocket-Protocol: joblight.msgpack\r\n"]);
        let visit = Visit::on(&mut self.world, &path, header);
        assert!(visit.resumed);
        assert_eq!(visit.id, self.clients[client].visit.id);
        let client = &mut self.clients[client];
        let first = client.come_back(visit);
        for message in first {
            client.hear(&self.shadow, &message);
        }
    }

    /// All is read and answered: nothing of it will come again.
    fn calm(&mut self, client: usize) {
        if self.clients[client].is_away {
            return;
        }
        let peer = self.clients[client].visit.peer;
        self.world.read(peer, None);
        self.clients[client].is_stalled = false;
        self.world.run_for(300);
        self.listen();
        if !self.clients[client].is_away {
            self.clients[client].handle_confirmed();
        }
    }

    fn listen(&mut self) {
        for client in self.clients.iter_mut().filter(|client| !client.is_away) {
            for (_, heard) in self.world.heard(client.visit.peer) {
                match heard {
                    Heard::Message(message) => client.hear(&self.shadow, &message),
                    Heard::Close(code) => assert!([1012, 4430].contains(&code), "{code}"),
                    Heard::Answer(..) => panic!("refused: {heard:?}"),
                    Heard::Ping | Heard::Pong | Heard::Batch(_) | Heard::Upgraded => {}
                }
            }
            client.is_away = self.world.is_closed(client.visit.peer);
        }
    }

    fn converge(&mut self) {
        self.step = STEPS;
        for client in 0..CLIENTS {
            if self.clients[client].is_away {
                self.resume(client);
            }
            self.calm(client);
        }
        self.world.run_for(5_000);
        for client in 0..CLIENTS {
            if self.clients[client].is_away {
                self.resume(client);
            }
        }
        self.listen();
        for client in &self.clients {
            client.check_complete(&self.shadow);
            for task in ["t", "u"] {
                let (status, state) =
                    self.world
                        .call("GET", &format!("/api/tasks/{task}"), &Value::Null);
                if status == 200 && state["status"] != "pending" {
                    client.check_state(task, &state);
                }
            }
        }
        for client in 0..CLIENTS {
            self.cut(client);
        }
        for task in ["t", "u"] {
            let attempt = self.shadow.log(&format!("task:{task}")) + 1;
            self.world
                .report(task, "completed", json!({"attempt": attempt}));
        }
        self.world.run_for(KEEP_MS);
        self.world.assert_empty();
    }
}
