//! The parts of the hub that a task's change reaches besides the tasks.

use crate::base::time::Now;
use crate::hub::delivery::fanout::Fanout;
use crate::hub::delivery::publication::Outlet;
use crate::hub::rooms::directory::Directory;
use crate::hub::timer::Timers;

/// What everything here works on besides its own state.
pub struct Scope<'a> {
    /// Who listens.
    pub directory: &'a mut Directory,
    /// How it reaches them.
    pub fanout: &'a mut Fanout,
    /// What is to be done later.
    pub timers: &'a mut Timers,
    /// Where frames go.
    pub out: &'a mut dyn Outlet,
    /// The time.
    pub now: Now,
}
