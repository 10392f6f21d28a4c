//! One run: random steps, each followed by what everybody hears of it, and in the end calm.

use super::board::Board;
use super::dice::Dice;
use super::editors::Editor;
use super::event::Event;
use super::plan::{Plan, SESSION_TTL_MS};
use super::producers::Request;
use super::tasks::Tasks;
use super::truth::Truth;
use super::viewer::{Rules, Viewer};
use super::witness::Sim;
use super::world::{Far, Heard, PeerId, World, upgrade_request};
use joblight::internals::engine::Services;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The world and its shadow.
pub(crate) struct Run {
    pub(crate) world: World<Sim>,
    pub(crate) truth: Truth,
    pub(crate) tasks: Tasks,
    pub(crate) dice: Dice,
    pub(crate) viewers: Vec<Viewer>,
    pub(crate) by_conn: HashMap<PeerId, usize>,
    pub(crate) board: Board,
    pub(crate) editors: Vec<Editor>,
    pub(crate) editor_by_conn: HashMap<PeerId, usize>,
    /// What the observer had heard when this life of the server began.
    pub(crate) observed_before: u64,
    pub(crate) requests: HashMap<PeerId, Request>,
    pub(crate) idle: Vec<PeerId>,
    pub(crate) stalled: Vec<PeerId>,
    pub(crate) past: Vec<Event>,
    pub(crate) step: usize,
    /// A connection has been lost, and with it whatever was on its way.
    pub(crate) has_lost: bool,
    /// Upgrades in this life of the server.
    pub(crate) upgrades: u64,
    /// Whether everything that viewers say and hear is printed.
    is_told: bool,
    steps: usize,
    last_mark: u64,
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, steps) = (self.world.own.plan.seed, self.steps);
            eprintln!(
                "failed at step {} of {steps}, {} ms; replay with\n  SIM_SEED={seed} SIM_STEPS={steps} cargo test --test sim whatever",
                self.step,
                self.world.millis(),
            );
        }
    }
}

impl Run {
    /// Plays a seed to its end.
    pub(crate) fn play(seed: u64, steps: usize) {
        let mut run = Self::new(seed, steps);
        run.storm();
        run.calm_down();
        run.end();
    }

    /// What the engine puts out in the storm of a seed.
    pub(crate) fn transcript(seed: u64, steps: usize) -> u64 {
        let mut run = Self::new(seed, steps);
        run.storm();
        run.world.transcript()
    }

    fn new(seed: u64, steps: usize) -> Self {
        let mut dice = Dice::new(seed + 1);
        let plan = Plan::new(seed, &mut dice);
        let viewers = (0..plan.viewers).map(|_| Viewer::default()).collect();
        Self {
            truth: Truth::new(plan.log_limit),
            tasks: Tasks::default(),
            dice,
            viewers,
            by_conn: HashMap::new(),
            board: Board::new(plan.max_workspaces),
            editors: (0..plan.editors).map(|_| Editor::default()).collect(),
            editor_by_conn: HashMap::new(),
            observed_before: 0,
            requests: HashMap::new(),
            idle: Vec::new(),
            stalled: Vec::new(),
            past: Vec::new(),
            step: 0,
            has_lost: false,
            upgrades: 0,
            is_told: std::env::var_os("SIM_TRACE").is_some(),
            steps,
            last_mark: 0,
            world: World::planned(plan),
        }
    }

    fn storm(&mut self) {
        for step in 0..self.steps {
            self.step = step;
            self.take_step();
            let pause = self.dice.below(40);
            self.world.run_for(pause);
            self.listen();
            self.reconcile();
            if step % 64 == 0 {
                self.world.engine.inspect().check_invariants();
                self.world.check_follower();
                self.check_limits();
            }
        }
    }

    fn take_step(&mut self) {
        match self.dice.below(1_000) {
            0..90 => self.enter(),
            90..120 => self.leave(),
            120..150 => self.stall(),
            150..190 => self.resume(),
            190..215 => self.cut(),
            215..600 => self.report(),
            600..680 => self.item(),
            680..700 => self.bundle(),
            700..740 => self.broadcast(),
            740..770 => self.send_note(),
            770..790 => self.control(),
            790..800 => self.spoil_store(),
            800..802 if self.world.own.plan.crashes => self.crash_now(),
            802 if self.world.own.plan.crashes => self.restart(),
            803..810 => self.greet(),
            810..860 => self.edit(),
            860..866 => self.disturb_editor(),
            866..869 => self.read_history(),
            869..879 => self.ask_history(),
            879..894 => self.report_lines(),
            894..900 if self.world.own.plan.forgets => self.forget(),
            _ => {
                let millis = self.dice.pick(&[1, 1, 20, 100, 500, 3_000]);
                self.world.run_for(millis);
            }
        }
        if self.dice.one_in(400) {
            self.world.run_for(70_000);
        }
    }

    fn crash_now(&mut self) {
        self.crash();
        self.forgive_lost_sessions();
    }

    /// What the server knew of sessions may be lost.
    pub(crate) fn forgive_lost_sessions(&mut self) {
        for viewer in &mut self.viewers {
            viewer.must_resume = false;
        }
    }

    pub(crate) fn next_mark(&mut self) -> u64 {
        self.last_mark += 1;
        self.last_mark
    }

    pub(crate) fn any_viewer(&mut self) -> usize {
        self.dice.below(self.viewers.len() as u64) as usize
    }

    fn enter(&mut self) {
        let index = self.any_viewer();
        let all = self.world.own.plan.rooms.clone();
        let viewer = &mut self.viewers[index];
        let mut rooms = vec![self.dice.pick(&all), self.dice.pick(&all)];
        rooms.dedup();
        // Whoever is in a room may name a place in it all the same.
        let is_again = self.dice.one_in(4);
        rooms.retain(|room| is_again || !viewer.watches.contains_key(room));
        if viewer.is_asking() || !viewer.is_greeted || rooms.is_empty() {
            return;
        }
        let message = viewer.enter(&rooms, !self.dice.one_in(3));
        self.send(index, &message);
    }

    fn leave(&mut self) {
        let index = self.any_viewer();
        let viewer = &mut self.viewers[index];
        let rooms: Vec<String> = viewer.watches.keys().cloned().collect();
        if viewer.is_asking() || !viewer.is_greeted || rooms.is_empty() {
            return;
        }
        let message = viewer.leave(&self.dice.pick(&rooms));
        self.send(index, &message);
    }

    fn control(&mut self) {
        let (index, task) = (self.any_viewer(), self.dice.below(3));
        let action = self.dice.pick(&["cancel", "pause", "resume"]);
        let message =
            json!({"type": "task_control", "taskId": format!("t{task}"), "action": action});
        self.send(index, &message);
    }

    fn greet(&mut self) {
        let index = self.any_viewer();
        self.send(index, &json!({"type": "ping", "payload": {"n": 1}}));
    }

    pub(crate) fn send(&mut self, index: usize, message: &Value) {
        let viewer = &mut self.viewers[index];
        if let Some(conn) = viewer.conn.filter(|_| viewer.is_greeted) {
            viewer.messages_said += 1;
            self.trace(|| format!("viewer {index} on {conn} says {message}"));
            self.world.tell(conn, message);
        }
    }

    /// Prints what happens, if anybody wants to know.
    pub(crate) fn trace(&self, text: impl FnOnce() -> String) {
        if self.is_told {
            eprintln!("{} ms: {}", self.world.millis(), text());
        }
    }

    /// Everybody hears what has reached them.
    pub(crate) fn listen(&mut self) {
        while let Some((conn, heard)) = self.world.pop_heard() {
            self.hear(conn, heard);
        }
    }

    /// What viewers hear of a life that is over; its producers hear nothing.
    pub(crate) fn listen_to_rest(&mut self) {
        self.requests.clear();
        while let Some((conn, heard)) = self.world.pop_heard() {
            let is_viewer = self.by_conn.contains_key(&conn);
            let is_client = is_viewer || self.editor_by_conn.contains_key(&conn);
            if is_client && matches!(heard, Heard::Message(_)) {
                self.hear(conn, heard);
            }
        }
    }

    fn hear(&mut self, conn: PeerId, heard: Heard) {
        if let Some(request) = self.requests.remove(&conn) {
            let Heard::Answer(status, answer) = heard else {
                panic!("a producer hears {heard:?}");
            };
            return self.handle_answer(conn, request, status, &answer);
        }
        if let Some(index) = self.editor_by_conn.get(&conn).copied() {
            return self.hear_editor(index, conn, heard);
        }
        if let Some(index) = self.by_conn.get(&conn).copied() {
            self.hear_viewer(index, conn, heard);
        }
    }

    fn hear_viewer(&mut self, index: usize, conn: PeerId, heard: Heard) {
        self.trace(|| format!("viewer {index} on {conn} hears {heard:?}"));
        let plan = &self.world.own.plan;
        let rules = Rules {
            incremental: plan.incremental,
            log_limit: plan.log_limit as u64,
        };
        let ending = &mut self.world.own.ending;
        match heard {
            Heard::Message(message) => self.viewers[index].hear(&self.truth, rules, &message),
            Heard::Close(code) => {
                // 1008: an upgrade that it had given up has arrived after all, and has its session.
                let is_told = code == 1001 && ending.has_begun;
                assert!(
                    is_told || [1008, 4408, 4430].contains(&code),
                    "viewer {index} closed with {code}"
                );
                ending.told.insert(conn);
                self.world.cut(conn, Far::Gone, true);
                self.lose(index);
            }
            Heard::Answer(..) => {
                assert!(ending.has_begun, "refused: {heard:?}");
                self.world.cut(conn, Far::Gone, true);
                self.lose(index);
            }
            Heard::Upgraded => {}
            Heard::Batch(_) | Heard::Ping | Heard::Pong => unreachable!("no news"),
        }
    }

    /// Viewers see to it that they are connected, and in the rooms that they want to be in.
    pub(crate) fn reconcile(&mut self) {
        self.connect_editors();
        let now = self.world.millis();
        for index in 0..self.viewers.len() {
            let viewer = &mut self.viewers[index];
            let Some(conn) = viewer.conn else {
                if viewer.retry_at <= now {
                    self.come_back(index);
                }
                continue;
            };
            if self.world.is_over(conn) {
                self.world.cut(conn, Far::Gone, true);
                self.lose(index);
                continue;
            }
            if !viewer.is_greeted || viewer.is_asking() {
                continue;
            }
            let is_missing = |room: &&String| !viewer.watches.contains_key(*room);
            let missing: Vec<String> = viewer.wanted.iter().filter(is_missing).cloned().collect();
            let mut surplus = viewer.watches.keys();
            let surplus = surplus.find(|room| !viewer.wanted.contains(*room)).cloned();
            if !missing.is_empty() {
                let message = viewer.enter(&missing, true);
                self.send(index, &message);
            } else if let Some(room) = surplus {
                let message = viewer.leave(&room);
                self.send(index, &message);
            }
        }
    }

    fn come_back(&mut self, index: usize) {
        let forgets = self.dice.one_in(8) && self.viewers[index].session.is_some();
        let conn = self.world.connect(Services::BOTH, false);
        self.upgrades += 1;
        self.by_conn.insert(conn, index);
        let (now, life) = (self.world.millis(), self.world.life);
        let viewer = &mut self.viewers[index];
        if forgets {
            viewer.session = None;
        }
        viewer.resumes = viewer.session.is_some();
        viewer.must_resume &= viewer.resumes && now - viewer.lost_at < SESSION_TTL_MS / 2;
        // Who leaves later may need its place.
        viewer.must_resume &= self.world.own.plan.max_sessions == 0;
        (viewer.conn, viewer.life) = (Some(conn), life);
        let batch = if index % 3 == 1 { "batch=1&" } else { "" };
        let session = viewer
            .session
            .clone()
            .map(|session| format!("session={session}"));
        let path = format!("/ws?{batch}{}", session.unwrap_or_default());
        self.ask_for_upgrade(conn, &path);
    }

    /// Asks for a WebSocket, in either encoding.
    pub(crate) fn ask_for_upgrade(&mut self, conn: PeerId, path: &str) {
        let encoding = match self.dice.one_in(3) {
            true => "Sec-WebSocket-Protocol: joblight.msgpack\r\n",
            false => "",
        };
        let request = upgrade_request(path, encoding);
        self.world.say(conn, request.as_bytes());
    }
}
