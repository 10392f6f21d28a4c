//! Everything that waits, each kind of it and all together, against the limits that are configured.

use super::run::Run;
use joblight::internals::engine::Condition;

/// Beyond its limit a connection may be owed a goodbye and answers; a burst of one turn may be larger.
const MAX_ANSWERS: usize = 32;

/// The longest message here, in its frame.
const MAX_MESSAGE: usize = 4_096;

impl Run {
    /// Everything that waits stays within what is configured.
    pub(crate) fn check_limits(&self) {
        let (state, plan) = (self.world.engine.state(), &self.world.plan);
        for (_, room) in state.hub.directory().rooms() {
            let Some(log) = &room.log else { continue };
            let kept = log.after(0).entries.len();
            assert!(kept <= plan.log_limit, "{kept} entries of {}", room.name);
        }
        for (_, client) in state.hub.directory().all_clients() {
            let waiting = client.direct().map_or(0, |direct| direct.letters().count());
            assert!(
                waiting <= plan.log_limit,
                "{waiting} letters for {}",
                client.id
            );
        }
        assert!(state.hub.broadcaster().queue_len() <= self.tasks.count());
        state.hub.workspaces().check_invariants();
        let away = state.hub.directory().away();
        let max_away = plan.max_sessions;
        assert!(max_away == 0 || away <= max_away, "{away} are away");
        self.check_sum();
    }

    /// All that the server keeps for others is bounded by how many they are, not by how much was said.
    fn check_sum(&self) {
        let (state, plan) = (self.world.engine.state(), &self.world.plan);
        let (mut chunks, mut bytes) = (0, 0);
        let open = self.world.conns.iter().filter(|conn| conn.is_open);
        for conn in open.clone() {
            let peer = state.peers.peer(conn.connection).expect("it is open");
            let outbox = &peer.connection.outbox;
            assert!(conn.is_blocked || outbox.is_empty(), "unsent for no reason");
            (chunks, bytes) = (chunks + outbox.len_chunks(), bytes + outbox.len_bytes());
        }
        assert_eq!(state.peers.len(), open.count(), "connections");
        assert_eq!(state.peers.unsent_chunks(), chunks, "chunks of nobody");
        let directory = state.hub.directory();
        let entries = directory.rooms().filter_map(|(_, room)| room.log.as_ref());
        let entries: usize = entries.map(|log| log.after(0).entries.len()).sum();
        let mailboxes = directory.all_clients();
        let mailboxes = mailboxes.filter_map(|(_, client)| client.direct());
        let letters: usize = mailboxes.map(|direct| direct.letters().count()).sum();
        // In one turn a client may be given every log that it follows, its mail, and a state of every task.
        let burst = (plan.rooms.len() + 1) * (plan.log_limit + 1) + MAX_ANSWERS;
        let logs = (plan.rooms.len() + directory.all_clients().count()) * plan.log_limit;
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
        let timers = state.peers.len() + of_tasks + 8;
        assert!(state.wheel.len() <= timers, "{} timers", state.wheel.len());
        let is_failing = matches!(state.durability.condition(), Condition::Failing(_));
        if is_failing && !self.world.store.is_busy() {
            let gathered = state.hub.gathered_bytes();
            assert_eq!(gathered, 0, "bytes gather for a store that fails");
        }
    }
}
