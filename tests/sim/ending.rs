//! The server ends as it should, and begins again: everybody is told, everything is answered, and nothing is lost.

use super::run::Run;
use super::witness::Sim;
use super::world::{Far, PeerId, World};
use std::collections::BTreeSet;

/// How the end of the server goes.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    pub(crate) has_begun: bool,
    /// Who has been told.
    pub(crate) told: BTreeSet<PeerId>,
}

/// How long clients may take to leave.
pub(crate) const SHUTDOWN_MS: u64 = 10_000;

impl World<Sim> {
    /// The engine has stopped: what is left goes to the store, if that works. Another life begins.
    fn hand_over_the_rest(&mut self) -> bool {
        assert!(
            self.engine.inspect().connections() == 0,
            "a connection is left"
        );
        let works = !self.store().fails;
        if self.store().is_busy() {
            self.store_mut().finish(works);
        }
        if let Some(batch) = self.engine.last_batch().filter(|_| works) {
            self.store_mut().begin(batch);
            self.store_mut().finish(true);
        }
        if works {
            self.own.sessions_kept_ms = self.millis() + 1;
        }
        self.end_life(false);
        self.own.ending = Ending::default();
        self.begin_next_life();
        works
    }

    /// Whether a peer reads, and is owed nothing.
    fn is_reading(&self, id: PeerId) -> bool {
        let conn = &self.conns[id];
        conn.is_open && conn.far == Far::Here && conn.stalled_at.is_none() && !conn.is_blocked
    }
}

impl Run {
    /// The process ends in peace and is started again.
    pub(crate) fn restart(&mut self) {
        let before = self.lasting();
        let viewers = self.viewers.iter().filter(|viewer| viewer.is_greeted);
        let viewers = viewers.filter_map(|viewer| viewer.conn);
        let readers = viewers.filter(|conn| self.world.is_reading(*conn));
        let readers: Vec<PeerId> = readers.collect();
        self.world.own.ending.has_begun = true;
        self.world.shut_down();
        let workspaces = self.workspaces();
        let deadline = self.world.millis() + SHUTDOWN_MS + 100;
        while !self.world.stopped {
            assert!(self.world.millis() <= deadline, "it does not end");
            self.world.run_for(20);
            self.listen();
        }
        let told = &self.world.own.ending.told;
        let untold = readers.iter().find(|reader| !told.contains(reader));
        assert_eq!(untold, None, "not told of the end");
        assert!(self.requests.is_empty(), "unanswered: {:?}", self.requests);
        let now = self.world.millis();
        let is_kept = self.world.hand_over_the_rest();
        for room in self.world.own.plan.rooms.iter().filter(|_| is_kept) {
            let last = self.truth.last(room);
            self.truth.acknowledge(room, last);
        }
        self.begin_life(now);
        if is_kept {
            assert_eq!(self.lasting(), before, "tasks after a restart in peace");
            assert_eq!(self.workspaces(), workspaces, "after a restart in peace");
        } else {
            self.forgive_lost_sessions();
        }
    }
}
