//! What fails: readers that stop reading, connections that break in every way, a store that is slow or full, and the process
//! itself.

use super::run::Run;
use super::world::Far;

impl Run {
    /// A reader stops reading.
    pub(crate) fn stall(&mut self) {
        let index = self.any_viewer();
        if let Some(conn) = self.viewers[index].conn {
            self.world.stop_reading(conn);
            self.stalled.push(conn);
        }
    }

    /// One that has stopped goes on.
    pub(crate) fn resume(&mut self) {
        if !self.stalled.is_empty() {
            let place = self.dice.below(self.stalled.len() as u64) as usize;
            let conn = self.stalled.swap_remove(place);
            self.world.go_on_reading(conn);
        }
    }

    /// A connection breaks.
    pub(crate) fn cut(&mut self) {
        if !self.world.own.plan.breaks {
            return;
        }
        let index = self.any_viewer();
        if let Some(conn) = self.viewers[index].conn {
            let far = self.dice.pick(&[Far::Gone, Far::Gone, Far::Vanished]);
            let politely = self.dice.one_in(2);
            self.world.cut(conn, far, politely);
            self.lose(index);
        }
    }

    /// The store begins to fail, or works again; it is slow, or not.
    pub(crate) fn spoil_store(&mut self) {
        let (fails, millis) = (self.world.own.plan.fails, self.world.own.plan.store_ms);
        if fails {
            self.world.store_mut().fails = self.dice.one_in(3);
        }
        self.world.store_mut().millis = self.dice.pick(&[0, millis, millis, millis * 5]);
    }

    /// The process is killed and started again.
    pub(crate) fn crash(&mut self) {
        let now = self.world.millis();
        self.world.crash();
        self.begin_life(now);
    }

    /// The process has begun another life; the one before ended at `ended_at`.
    pub(crate) fn begin_life(&mut self, ended_at: u64) {
        // What was on its way is heard before anything else happens.
        self.listen_to_rest();
        self.requests.clear();
        self.upgrades = self.world.own.guests;
        self.has_lost = true;
        self.idle.clear();
        self.stalled.clear();
        let world = &self.world;
        self.truth.survive(world.engine.inspect(), world.store());
        self.tasks.survive(self.world.engine.inspect());
        for index in 0..self.viewers.len() {
            if self.viewers[index].conn.is_some() {
                self.lose(index);
            }
            self.viewers[index].outlive(self.world.own.sessions_kept_before_ms);
        }
        self.begin_editors_anew(ended_at);
        hub_is_sound(self);
    }

    /// A viewer has lost its connection and will try again. What has reached it, it has heard: it may have confirmed it.
    pub(crate) fn lose(&mut self, index: usize) {
        self.listen();
        let pause = self.dice.pick(&[0, 50, 1_000, 8_000, 30_000]);
        let now = self.world.millis();
        let viewer = &mut self.viewers[index];
        if let Some(conn) = viewer.conn {
            self.by_conn.remove(&conn);
        }
        // A session that a crash has taken does not come back because an attempt to resume it is cut as well.
        viewer.must_resume = viewer.session.is_some() && (viewer.is_greeted || viewer.must_resume);
        viewer.lose(now, now + pause);
        self.has_lost = true;
    }
}

fn hub_is_sound(run: &Run) {
    run.world.engine.inspect().check_invariants();
}
