//! Whether a peer has confirmed what it was sent: when it is to be asked, and when it has answered.
//!
//! # Confirmations and serials
//!
//! Every message that the hub publishes or sends has a serial, a number that only grows. A session remembers one serial for its
//! client, `received`: everything up to it has surely arrived, or was never for it. Whatever is later is sent again when the
//! client comes back, so `received` must never be too high; too low costs a repetition, which clients recognise by position.
//!
//! Only the client knows what has reached it: a socket that took the bytes says nothing, and neither does a proxy between. So a
//! ping follows messages that must not be lost. Its payload names the newest serial queued so far, and the pong that echoes it
//! proves that everything before it has arrived, because bytes arrive in order. At most one question is out for each peer.
//!
//! Two things make an answer say too much. A client that is told of a loss has not received what lies in the gap; and one that is
//! sent older messages again has not received those, although their serials are below `received`. Both begin a new *round*
//! ([`Confirmation::want_anew`]): an answer counts only if its question was asked in the present round. The round stands in the
//! payload beside the serial, so that nothing need be remembered of questions that are out.
//!
//! | from | when | to |
//! | --- | --- | --- |
//! | `Idle` | a message goes out that must not be lost | `Wanted`: the peer queues to be asked |
//! | `Wanted` | its turn to be asked has come | `Asked`, in the present round |
//! | `Asked` | another such message goes out | `AskedForLess` |
//! | `Asked` | the answer is of this round | `Idle` |
//! | `AskedForLess` | the answer is of this round | `Wanted`: the peer queues again |
//! | `AskedForLess` | the answer is to the last question, but a new round has begun since | `Wanted`: the peer queues again |
//! | `Asked`, `AskedForLess` | any other answer, the first since a good one | `Wanted`: the peer queues again |
//! | `Asked`, `AskedForLess` | any other answer, and it is at least the second since a good one | `Postponed` |
//! | `Postponed` | the next heartbeat, or a longer pause where there are none | `Asked`, in the present round |
//! | `Postponed` | an answer is of this round after all | `Wanted`: the peer queues again |
//!
//! What is not listed changes no state.
//!
//! A peer that never answers well, as some proxies answer pings themselves, is thus asked rarely, and loses nothing: what it has
//! not confirmed is repeated.

/// Questions that a peer may answer in vain before it is asked less often.
const MAX_FRUITLESS: u8 = 2;

/// What is known of a peer's confirmations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Confirmation {
    state: State,
    /// Which questions count: an answer to one of another round says too much.
    round: u8,
    /// The round of the question that waits for an answer.
    asked_round: u8,
    /// How many questions in a row it has answered in vain.
    fruitless: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// The peer was sent nothing that it has not confirmed.
    #[default]
    Idle,
    /// The peer was sent messages that no confirmation has been asked for.
    Wanted,
    /// A confirmation of all that it was sent has been asked for and not been given.
    Asked,
    /// More was sent since it was asked.
    AskedForLess,
    /// The peer is asked again only with the next heartbeat.
    Postponed,
}

impl Confirmation {
    /// Records that the peer was sent something that it must confirm; whether it is to be asked now, which it was not before.
    pub fn want(&mut self) -> bool {
        let before = self.state;
        self.state = match before {
            State::Idle => State::Wanted,
            State::Asked => State::AskedForLess,
            other => other,
        };
        before == State::Idle
    }

    /// [`Confirmation::want`], and an answer to an earlier question does not count.
    pub fn want_anew(&mut self) -> bool {
        self.round = self.round.wrapping_add(1);
        self.want()
    }

    /// Records that the peer is asked now; in which round.
    pub fn ask(&mut self) -> u8 {
        self.state = State::Asked;
        self.asked_round = self.round;
        self.round
    }

    /// Whether an answer is due.
    pub fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked | State::AskedForLess)
    }

    /// Whether it is asked again only later.
    pub fn is_postponed(&self) -> bool {
        self.state == State::Postponed
    }

    /// Whether an answer to a question of this round counts.
    pub fn counts(&self, round: u8) -> bool {
        self.round == round
    }

    /// Records a good answer; whether the peer is to be asked again, because more was sent since.
    pub fn give(&mut self) -> bool {
        self.fruitless = 0;
        let before = self.state;
        self.state = match before {
            State::Asked => State::Idle,
            State::AskedForLess | State::Postponed => State::Wanted,
            other => other,
        };
        matches!(before, State::AskedForLess | State::Postponed)
    }

    /// Records any other answer, perhaps to a question of another round: what was asked may have been left out. Whether
    /// it is to be asked again now.
    pub fn miss(&mut self, round: Option<u8>) -> bool {
        if !self.is_asked() {
            return false;
        }
        let is_overtaken = round == Some(self.asked_round) && !self.counts(self.asked_round);
        if !is_overtaken {
            self.fruitless = self.fruitless.saturating_add(1);
        }
        self.state = match !is_overtaken && self.fruitless >= MAX_FRUITLESS {
            true => State::Postponed,
            false => State::Wanted,
        };
        self.state == State::Wanted
    }
}
