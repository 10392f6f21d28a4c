//! Catching up after a pause of the process (SIGSTOP, a frozen machine).
//!
//! Everything is overdue at once then, and what would have cancelled it waits in the sockets. So timers rest until that
//! input is taken, though not for long.

use crate::base::time::{Span, Time};

/// No turn takes this long: a timer that is later was held up by a pause.
pub const LATE: Span = Span::from_secs(1);
/// The longest rest of the timers: endless input must not stop time.
const LONGEST: Span = Span::from_secs(1);

#[derive(Debug, Default)]
pub struct Pause {
    since: Option<Time>,
}

/// What timers do in this turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timers {
    Run,
    Rest,
    /// They run for the first time after a pause.
    RunAfterPause,
}

impl Pause {
    /// Whether timers rest, so that the next turn must follow at once.
    pub fn is_catching_up(&self) -> bool {
        self.since.is_some()
    }

    /// The input of a turn that began at `now` is in. `due`: when the first timer was due; `is_quiet`: nothing came,
    /// and nothing is left.
    pub fn handle_input(&mut self, now: Time, due: Option<Time>, is_quiet: bool) -> Timers {
        let is_late = due.is_some_and(|due| now.saturating_since(due) >= LATE);
        match self.since {
            None if !is_late => Timers::Run,
            // This turn's input may be from before the pause.
            None => {
                self.since = Some(now);
                Timers::Rest
            }
            Some(since) if is_quiet || now.saturating_since(since) >= LONGEST => {
                self.since = None;
                Timers::RunAfterPause
            }
            Some(_) => Timers::Rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_rest_until_everything_is_read_or_a_second_is_over() {
        let at = Time::from_millis;
        let mut pause = Pause::default();
        assert_eq!(pause.handle_input(at(0), None, true), Timers::Run);
        let due = Some(at(1000));
        assert_eq!(pause.handle_input(at(1999), due, false), Timers::Run);
        assert_eq!(pause.handle_input(at(2000), due, true), Timers::Rest);
        assert_eq!(pause.handle_input(at(2001), due, false), Timers::Rest);
        let ends = pause.handle_input(at(2002), due, true);
        assert_eq!(
            (ends, pause.is_catching_up()),
            (Timers::RunAfterPause, false)
        );
        assert_eq!(pause.handle_input(at(9000), due, false), Timers::Rest);
        assert_eq!(pause.handle_input(at(9999), due, false), Timers::Rest);
        let ends = pause.handle_input(at(10_000), due, false);
        assert_eq!(ends, Timers::RunAfterPause);
    }
}
