//! Everything that waits, each kind of it and all together, against the limits that are configured.

use super::run::Run;

/// Beyond its limit a connection may be owed a goodbye and answers; a burst of one turn may be larger.
const MAX_ANSWERS: usize = 32;

/// The longest message here, in its frame.
const MAX_MESSAGE: usize = 4_096;

impl Run {
    /// Everything that waits stays within what is configured.
    pub(crate) fn check_limits(&self) {
        let (held, plan) = (self.world.engine.inspect(), &self.world.own.plan);
        held.check_invariants();
        for room in held.rooms() {
            let kept = held.entries(room).count();
            assert!(kept <= plan.log_limit, "{kept} entries of {room}");
        }
        for client in held.clients() {
            let waiting = client.direct_messages.len();
            assert!(
                waiting <= plan.log_limit,
                "{waiting} messages for {}",
                client.id
            );
        }
        assert!(held.pending_progress() <= self.tasks.count());
        let away = held.clients().filter(|client| client.is_away).count();
        let max_away = plan.max_sessions;
        assert!(max_away == 0 || away <= max_away, "{away} are away");
        self.check_sum();
    }

    /// All that the server keeps for others is bounded by how many they are, not by how much was said.
    fn check_sum(&self) {
        let (held, plan) = (self.world.engine.inspect(), &self.world.own.plan);
        let (mut chunks, mut bytes) = (0, 0);
        let open = self.world.conns.iter().filter(|conn| conn.is_open);
        for conn in open.clone() {
            for unsent in self.world.engine.unsent(conn.connection) {
                assert!(conn.is_blocked, "unsent for no reason");
                (chunks, bytes) = (chunks + 1, bytes + unsent.len());
            }
        }
        assert_eq!(held.connections(), open.count(), "connections");
        assert_eq!(held.unsent_messages(), chunks, "messages for nobody");
        let entries = held.rooms().map(|room| held.entries(room).count());
        let entries: usize = entries.sum();
        let letters = held.clients().map(|client| client.direct_messages.len());
        let letters: usize = letters.sum();
        // In one turn a client may be given every log that it follows, its mail, and a state of every task.
        let burst = (plan.rooms.len() + 1) * (plan.log_limit + 1) + MAX_ANSWERS;
        let logs = (plan.rooms.len() + held.clients().count()) * plan.log_limit;
        let blocked = self.world.blocked.len();
        if plan.max_outbox_messages > 0 {
            let most = blocked * plan.max_outbox_messages.max(burst) + logs;
            let sum = chunks + entries + letters;
            assert!(sum <= most, "{sum} messages wait, at most {most} may");
        }
        if plan.max_outbox_bytes > 0 {
            let most = blocked * plan.max_outbox_bytes.max(burst * MAX_MESSAGE);
            assert!(bytes <= most, "{bytes} bytes wait, at most {most} may");
        }
        // One reminder each interval may outlast what it was for: for ten intervals, each ten times as long.
        // The one task that is deleted now and then leaves no more behind than it would have set.
        let of_tasks = 110 * (self.tasks.count() + 1);
        let timers = held.connections() + of_tasks + 8;
        assert!(held.timers() <= timers, "{} timers", held.timers());
        if held.is_store_failing() && !self.world.store().is_busy() {
            let gathered = held.unstored_bytes();
            assert_eq!(gathered, 0, "bytes gather for a store that fails");
        }
    }
}
