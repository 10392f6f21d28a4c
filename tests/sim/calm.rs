//! When the faults have stopped: everybody is current, the numbers are right, and at last nothing is left.

use super::event::essence;
use super::plan::TASK_TTL_MS;
use super::run::Run;
use super::world::Far;
use serde_json::Value;
use std::collections::BTreeSet;

/// Fields that a restart must bring back as they were.
const LASTING: [&str; 9] = [
    "status", "progress", "current", "total", "stage", "message", "attempt", "meta", "mark",
];

impl Run {
    /// The faults stop; everything converges, a restart in peace changes nothing.
    pub(crate) fn calm_down(&mut self) {
        self.step = usize::MAX;
        self.settle_down();
        self.check_everything();
        if self.world.own.plan.stores {
            self.check_restart();
            self.settle_down();
            self.check_everything();
        }
    }

    fn settle_down(&mut self) {
        self.world.store_mut().fails = false;
        self.world.store_mut().millis = 5;
        for conn in std::mem::take(&mut self.stalled) {
            self.world.go_on_reading(conn);
        }
        self.world.reveal_vanished();
        for round in 0..40 {
            self.world.run_for(if round < 20 { 500 } else { 12_000 });
            self.listen();
            self.reconcile();
        }
    }

    fn check_everything(&mut self) {
        assert!(self.requests.is_empty(), "unanswered: {:?}", self.requests);
        self.check_editors();
        // What has just changed gathers for a moment before it goes to the store, that of sessions for a second.
        self.world.run_for(1_500);
        self.check_viewers();
        self.check_tasks();
        self.check_statistics();
        self.world.engine.inspect().check_invariants();
        if self.world.own.plan.stores {
            // A session may have expired a moment ago.
            if !self.is_kept() {
                self.world.run_for(1_500);
            }
            assert!(self.is_kept(), "something is not kept");
        }
    }

    fn is_kept(&self) -> bool {
        let held = self.world.engine.inspect();
        let is_changed = held.has_unstored_changes() || held.has_resting_changes();
        !is_changed && !self.world.store().is_busy()
    }

    fn check_viewers(&self) {
        for (index, viewer) in self.viewers.iter().enumerate() {
            assert!(
                viewer.is_greeted && !viewer.is_asking() && !viewer.is_curious(),
                "viewer {index} is not back"
            );
            let rooms: BTreeSet<&String> = viewer.watches.keys().collect();
            assert_eq!(
                rooms,
                viewer.wanted.iter().collect(),
                "rooms of viewer {index}"
            );
            for (room, watch) in &viewer.watches {
                let last = self.truth.last(room);
                let known = watch.offset.unwrap_or(last);
                assert_eq!(known, last, "viewer {index} lacks entries of {room}");
                assert!(
                    watch.has_begun() || self.truth.was_emptied(room),
                    "viewer {index} has heard nothing of what {room} has"
                );
            }
            viewer.mail.check_complete(self.world.own.plan.log_limit);
        }
    }

    fn check_tasks(&mut self) {
        for task in self.tasks.names() {
            let state = self.document(&format!("/api/tasks/{task}"));
            let state = state.unwrap_or_else(|| panic!("{task} is gone"));
            self.tasks.check(self.world.engine.inspect(), &task);
            // A task that only items have named has not moved, so nothing was said of it.
            if state["status"] == "pending" {
                continue;
            }
            let truth = essence(state.as_object().expect("an object"));
            let room = format!("task:{task}");
            for (index, viewer) in self.viewers.iter().enumerate() {
                let Some(watch) = viewer.watches.get(&room) else {
                    continue;
                };
                let seen = watch.fold.state().map(essence);
                assert_eq!(
                    seen.as_ref(),
                    Some(&truth),
                    "{task} as viewer {index} knows it"
                );
            }
        }
    }

    fn check_statistics(&mut self) {
        let clients = self.viewers.len() + self.editors.len();
        let health = self.document("/health").expect("health");
        assert_eq!(health["status"], "healthy", "{health}");
        let websocket = self.document("/api/websocket/stats").expect("statistics");
        let broadcaster = self.document("/api/broadcaster/stats").expect("statistics");
        let memberships: usize = self.viewers.iter().map(|viewer| viewer.watches.len()).sum();
        // All of the data dialect are in the room `all`.
        let memberships = memberships + self.editors.len();
        assert_eq!(websocket["connections"]["active"], clients, "{websocket}");
        assert_eq!(
            websocket["connections"]["total"], self.upgrades,
            "{websocket}"
        );
        assert_eq!(websocket["connections"]["backlogged"], 0, "{websocket}");
        assert!(
            websocket["rooms"]["clients"].as_u64() >= Some(memberships as u64),
            "{websocket}"
        );
        assert_eq!(broadcaster["queueSize"], 0, "{broadcaster}");
        assert_eq!(
            broadcaster["cacheSize"],
            self.tasks.count(),
            "{broadcaster}"
        );
        assert_eq!(
            broadcaster["droppedEvents"], self.tasks.dropped,
            "{broadcaster}"
        );
        if !self.has_lost {
            let viewers = self.viewers.iter();
            let viewers = viewers.map(|viewer| [viewer.messages_heard, viewer.messages_said]);
            let editors = self.editors.iter();
            let editors = editors.map(|editor| [editor.heard, editor.said]);
            let [heard, said] = viewers
                .chain(editors)
                .reduce(|sum, counts| [sum[0] + counts[0], sum[1] + counts[1]])
                .expect("there is a viewer");
            assert_eq!(websocket["messages"]["totalSent"], heard, "{websocket}");
            assert_eq!(websocket["messages"]["totalReceived"], said, "{websocket}");
            assert_eq!(websocket["rooms"]["clients"], memberships, "{websocket}");
        }
    }

    /// Everything is kept: after a restart everything is as it was, and everybody comes back to it.
    fn check_restart(&mut self) {
        let before: Vec<Value> = self.lasting();
        for room in &self.world.own.plan.rooms {
            let last = self.truth.last(room);
            self.truth.acknowledge(room, last);
        }
        self.crash();
        assert_eq!(self.lasting(), before, "tasks after a restart in peace");
    }

    pub(crate) fn lasting(&mut self) -> Vec<Value> {
        let tasks = self.tasks.names();
        let state = |task: &String| {
            let mut state = self
                .document(&format!("/api/tasks/{task}"))
                .expect("a task");
            let state = state.as_object_mut().expect("an object");
            state.retain(|name, _| LASTING.contains(&name.as_str()));
            Value::Object(std::mem::take(state))
        };
        tasks.iter().map(state).collect()
    }

    /// All have left, all tasks have ended, and their time is over: nothing is left.
    pub(crate) fn end(&mut self) {
        for index in 0..self.viewers.len() {
            if let Some(conn) = self.viewers[index].conn {
                self.world.cut(conn, Far::Gone, true);
                self.lose(index);
            }
        }
        for task in self.tasks.names() {
            let body = serde_json::json!({"attempt": self.tasks.attempt(&task) + 1, "mark": 0});
            self.request("POST", &format!("/api/tasks/{task}/completed"), &body);
        }
        self.delete_workspaces();
        self.world.run_for(1_000);
        self.world.forget_heard();
        for conn in 0..self.world.conns.len() {
            if self.world.conns[conn].is_open {
                self.world.cut(conn, Far::Gone, false);
            }
        }
        self.world.run_for(2 * TASK_TTL_MS);
        assert_eq!(self.world.clients_away(), 0, "sessions");
        self.world.assert_empty();
        if self.world.own.plan.stores {
            self.world.store().assert_empty();
        }
    }
}
