//! What the engine's side of the store works on.

use crate::base::time::Now;
use crate::base::wheel::Wheel;
use crate::engine::session::key::{SESSION_KEY, SessionKey};
use crate::engine::timer::Timer;
use crate::engine::transport::peers::Delivery;
use crate::hub::Hub;

/// Borrowed for one step.
pub struct Parts<'a> {
    /// The time of the present input.
    pub now: Now,
    /// What is to be kept, and was.
    pub hub: &'a mut Hub,
    /// Connections, which hear of nothing before the store is read.
    pub delivery: Delivery<'a>,
    /// Reminders.
    pub wheel: &'a mut Wheel<Timer>,
    /// What makes the secrets of sessions: it is kept as well.
    pub session_key: &'a mut SessionKey,
}

impl Parts<'_> {
    /// Has the store keep what makes the secrets of sessions.
    pub fn keep_session_key(&mut self) {
        self.hub.keep_meta(SESSION_KEY, self.session_key.to_text());
    }
}
