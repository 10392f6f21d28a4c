//! Offers publications to readers, and counts what was delivered.
//!
//! Owns the ids, the serial counter, the turn's workload and the journal, because each message touches all of them. This file knows no
//! room, and of clients only their keys; what `Fanout` does with logs is in `publishing`. Who is offered what, and what becomes of what a
//! reader refuses, is its callers' to say.

use crate::base::average::Average;
use crate::base::id::{MessageId, MessageIds};
use crate::base::time::{Now, Time};
use crate::hub::budget::Workload;
use crate::hub::change::Changes;
use crate::hub::delivery::audience::Audience;
use crate::hub::delivery::publication::{Lane, Outlet, Publication};
use crate::hub::durable::journal::Journal;
use crate::hub::keys::ConnectionId;

/// Counts shown in the statistics.
#[derive(Debug, Default, Clone)]
pub struct BroadcastCounts {
    /// Publications that at least one connection took.
    pub broadcasts: u64,
    /// Messages that connections took.
    pub delivered: u64,
    /// Refused messages that are not kept for the reader.
    pub failed: u64,
    /// From an event's arrival to the end of the turn that wrote it.
    pub latency: Average,
    /// Unix milliseconds.
    pub last_broadcast_at: u64,
}

/// Gives publications their ids and serials and offers them to readers.
#[derive(Debug)]
pub struct Fanout {
    ids: MessageIds,
    counts: BroadcastCounts,
    /// Arrival times of the events published in this turn; their latency ends when the turn has written.
    turn: Vec<Time>,
    pub load: Workload,
    /// The readers of the publication that is being offered, or was last.
    pub audience: Audience,
    serial: u64,
    pub journal: Journal,
    pub changes: Changes,
}

/// Most arrivals sampled per turn for the average latency.
const MAX_SAMPLES: usize = 4096;

impl Fanout {
    /// `prefix` begins every message id of this process.
    pub fn new(prefix: String) -> Self {
        Self {
            ids: MessageIds::new(prefix),
            counts: BroadcastCounts::default(),
            turn: Vec::new(),
            load: Workload::default(),
            audience: Audience::default(),
            serial: 0,
            journal: Journal::default(),
            changes: Changes::default(),
        }
    }

    pub fn counts(&self) -> &BroadcastCounts {
        &self.counts
    }

    pub fn next_id(&mut self) -> MessageId {
        self.ids.next()
    }

    /// The next serial, for a log entry or a direct message.
    pub fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The newest serial.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Continues after a serial that an earlier process gave out.
    pub fn skip_serials(&mut self, serial: u64) {
        self.serial = self.serial.max(serial);
    }

    /// Offers a publication to its audience, whose `refused` names those that did not take it; returns how many did. The caller keeps what
    /// was refused, or marks the reader so that it follows.
    pub fn offer_all(
        &mut self,
        publication: &Publication<'_>,
        lane: Lane,
        out: &mut dyn Outlet,
    ) -> usize {
        let Audience {
            connections,
            refused,
            ..
        } = &mut self.audience;
        if !connections.is_empty() {
            let encoded = out.publish(publication, connections, lane, refused);
            self.load.encode(encoded);
        }
        let delivered = connections.len() - refused.len();
        self.counts.delivered += delivered as u64;
        delivered
    }

    /// Offers a publication to one reader; returns whether its connection took it.
    pub fn offer(
        &mut self,
        publication: &Publication<'_>,
        reader: ConnectionId,
        lane: Lane,
        out: &mut dyn Outlet,
    ) -> bool {
        // A buffer that is there, so that a single reader costs no allocation.
        let refused = &mut self.audience.refused;
        refused.clear();
        let encoded = out.publish(publication, &[reader], lane, refused);
        let is_taken = refused.is_empty();
        self.load.encode(encoded);
        self.counts.delivered += u64::from(is_taken);
        is_taken
    }

    /// Counts the refusals of a publication that is kept nowhere.
    pub fn count_failed(&mut self) {
        self.counts.failed += self.audience.refused.len() as u64;
    }

    /// Counts a publication whose event arrived at `arrived`.
    pub fn handle_broadcast(&mut self, now: Now, arrived: Time, delivered: usize) {
        if delivered > 0 {
            self.counts.broadcasts += 1;
            self.counts.last_broadcast_at = now.wall_ms;
            // Enough for an average; more would let one huge turn grow the buffer.
            if self.turn.len() < MAX_SAMPLES {
                self.turn.push(arrived);
            }
        }
    }

    /// Call when everything published in this turn has been written.
    pub fn handle_turn_end(&mut self, now: Time) {
        self.load.begin_turn();
        self.audience.release();
        // Latency counts to the end of the writes, not of the encoding: the viewer waits for both.
        for arrived in self.turn.drain(..) {
            self.counts.latency.record(now.saturating_since(arrived));
        }
    }
}
