//! The parts of the hub that a change of a task reaches, borrowed together. The tasks themselves are not in it, because its user holds
//! one of them at the same time.

use crate::base::time::Now;
use crate::hub::delivery::fanout::Fanout;
use crate::hub::delivery::publication::Outlet;
use crate::hub::rooms::directory::Directory;
use crate::hub::timer::Timers;

pub struct Scope<'a> {
    pub directory: &'a mut Directory,
    pub fanout: &'a mut Fanout,
    pub timers: &'a mut Timers,
    pub out: &'a mut dyn Outlet,
    pub now: Now,
}
