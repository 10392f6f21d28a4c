//! Whether a peer has confirmed what it was sent: when it is to be asked, and when it has answered.

/// Questions that a peer may answer in vain before it is asked less often.
const MAX_FRUITLESS: u8 = 2;

/// What is known of a peer's confirmations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Confirmation {
    /// Whether it was sent messages that no confirmation has been asked for.
    is_wanted: bool,
    /// Whether one has been asked for and not been given.
    is_asked: bool,
    /// Which questions count: an answer to one of another round says too much.
    round: u8,
    /// The round of the question that waits for an answer.
    asked_round: u8,
    /// How many questions in a row it has answered in vain.
    fruitless: u8,
    /// Whether it is asked again only when it is asked for a sign of life.
    is_postponed: bool,
}

impl Confirmation {
    /// It was sent something that it must confirm; whether it is to be asked now, which it was not before.
    pub fn want(&mut self) -> bool {
        !std::mem::replace(&mut self.is_wanted, true) && !self.is_asked
    }

    /// The same, and an answer to what it was asked before says too little.
    pub fn want_anew(&mut self) -> bool {
        self.round = self.round.wrapping_add(1);
        self.want()
    }

    /// It is asked now, in this round.
    pub fn ask(&mut self) -> u8 {
        (self.is_wanted, self.is_postponed, self.is_asked) = (false, false, true);
        self.asked_round = self.round;
        self.round
    }

    /// Whether an answer is due.
    pub fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// Whether it is asked again only later.
    pub fn is_postponed(&self) -> bool {
        self.is_postponed
    }

    /// Whether an answer to a question of this round counts.
    pub fn counts(&self, round: u8) -> bool {
        self.round == round
    }

    /// It has answered well; whether it is to be asked again, because more was sent since.
    pub fn give(&mut self) -> bool {
        self.fruitless = 0;
        let was_asked = std::mem::take(&mut self.is_asked) | std::mem::take(&mut self.is_postponed);
        was_asked && self.is_wanted
    }

    /// It has answered something else, perhaps a question of another round: what it was asked may have been left out. Whether
    /// it is to be asked again now.
    pub fn miss(&mut self, round: Option<u8>) -> bool {
        if !std::mem::take(&mut self.is_asked) {
            return false;
        }
        self.is_wanted = true;
        let is_overtaken = round == Some(self.asked_round) && !self.counts(self.asked_round);
        if !is_overtaken {
            self.fruitless = self.fruitless.saturating_add(1);
            self.is_postponed = self.fruitless >= MAX_FRUITLESS;
        }
        !self.is_postponed
    }
}
