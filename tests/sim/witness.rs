//! What the simulator adds to the world: a plan of what may fail, lives that follow each other, and an eye on every turn.

use super::ending::Ending;
use super::masked::{BINARY, masked};
use super::plan::Plan;
use super::world::{EPOCH_MS, Network, PeerId, Store, Witness, World};
use joblight::internals::base::Time;
use joblight::internals::engine::Services;
use serde_json::Value;

/// What the simulator knows of its world. The connection that hears first is an editor's, the observer's.
pub(crate) struct Sim {
    pub(crate) plan: Plan,
    pub(crate) ending: Ending,
    /// How many of the messages that the observer has heard must outlive the process.
    pub(crate) kept: usize,
    /// When the store last knew all of the sessions, in this life of the server and in the one before.
    pub(crate) sessions_kept_ms: u64,
    pub(crate) sessions_kept_before_ms: u64,
    /// Clients that came while the store was being opened, in this life of the server.
    pub(crate) guests: u64,
    /// How many messages the last observer had heard.
    observed_before: usize,
    /// How the store was when the turn began, and what the observer had heard.
    was_good: bool,
    had_heard: usize,
}

impl Witness for Sim {
    fn turn_begins(world: &mut World<Self>) {
        world.own.was_good = world.is_good();
        world.own.had_heard = world.observed();
    }

    fn turn_ends(world: &mut World<Self>) {
        assert!(
            world.listens || world.own.ending.has_begun,
            "nobody asked for the end"
        );
        world.check_backlogs();
        world.check_kept();
        if world.is_good() && world.are_sessions_kept() {
            world.own.sessions_kept_ms = world.millis();
        }
        let is_news = world.observed() > world.own.had_heard;
        if world.is_good() && (world.own.was_good && is_news || world.is_everything_kept()) {
            world.own.kept = world.observed();
        }
    }

    fn connection_ends(world: &mut World<Self>, id: PeerId) {
        world.check_closing(id);
    }
}

impl World<Sim> {
    /// A server that has just begun.
    pub(crate) fn planned(plan: Plan) -> Self {
        let network = Network {
            delay_ms: plan.delay_ms,
            buffer_bytes: plan.buffer_bytes,
            is_prompt: false,
        };
        let store = Store {
            millis: plan.store_ms,
            ..Store::default()
        };
        let (config, seed, stores) = (plan.config(), plan.seed, plan.stores);
        let own = Sim {
            plan,
            ending: Ending::default(),
            kept: 0,
            sessions_kept_ms: 0,
            sessions_kept_before_ms: 0,
            guests: 0,
            observed_before: 0,
            was_good: false,
            had_heard: 0,
        };
        let mut world = Self::on(network, own, seed, (Time::ZERO, EPOCH_MS), &config);
        world.store = Some(store);
        world.set_pace();
        if stores {
            let (now, restored) = (world.now(), world.store().restored());
            world.engine.restore(now, &restored);
        }
        world
    }

    fn set_pace(&mut self) {
        if self.own.plan.postpones {
            self.postpone_readers();
        }
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().expect("it is there from the beginning")
    }

    pub(crate) fn store_mut(&mut self) -> &mut Store {
        self.store.as_mut().expect("it is there from the beginning")
    }

    /// A peer connects. An instant one hears and is heard at once.
    pub(crate) fn connect(&mut self, services: Services, is_instant: bool) -> PeerId {
        self.accept(services, Some([10, 0, 0, 1].into()), is_instant)
    }

    /// How many messages the observer has heard.
    pub(crate) fn observed(&self) -> usize {
        let first = self.first.map(|first| self.conns[first].messages);
        first.unwrap_or(self.own.observed_before)
    }

    /// Another connection observes from now on.
    pub(crate) fn observe_at(&mut self, conn: PeerId) {
        (self.first, self.own.kept) = (Some(conn), 0);
    }

    /// Kills the process and begins another life. By chance what was under way to the store is kept.
    pub(crate) fn crash(&mut self) {
        self.lose_connections();
        let keep = self.dice.one_in(2);
        self.end_life(keep);
        self.begin_next_life();
    }

    /// What the store is writing is kept, or not; it begins with the next life anew.
    pub(crate) fn end_life(&mut self, keep: bool) {
        self.store_mut().crash(keep);
        self.own.sessions_kept_before_ms = self.own.sessions_kept_ms;
    }

    pub(crate) fn begin_next_life(&mut self) {
        self.own.observed_before = self.observed();
        self.micros += self.dice.pick(&[1_000, 1_000_000, 20_000_000]);
        let config = self.own.plan.config();
        self.begin_life(&config);
        self.set_pace();
        self.own.guests = 0;
        let kept = self.own.kept;
        match self.dice.one_in(2) {
            true => {
                let (now, restored) = (self.now(), self.store().restored());
                self.engine.restore(now, &restored);
            }
            false => self.open_late(),
        }
        self.turn(|_| {});
        // What was heard in the life before is not kept by what this one keeps.
        self.own.kept = kept;
    }

    /// A client sends a message in the encoding that was agreed on; a reader of MessagePack may write JSON.
    pub(crate) fn tell(&mut self, id: PeerId, message: &Value) {
        let is_packed = self.conns[id].is_packed() && !self.dice.one_in(4);
        if !is_packed {
            return self.send(id, message);
        }
        let packed = rmp_serde::to_vec_named(message).expect("it can be packed");
        self.say(id, &masked(BINARY, &packed));
    }
}
