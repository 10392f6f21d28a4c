//! The parts of the hub that a change of a task reaches, borrowed together with what the engine lends. The tasks themselves are not in it,
//! because its user holds one of them at the same time.

use crate::base::time::Now;
use crate::hub::delivery::fanout::Fanout;
use crate::hub::delivery::publication::Outlet;
use crate::hub::rooms::directory::Directory;
use crate::hub::settings::{HubSettings, Moment};
use crate::hub::timer::Timers;

pub struct Scope<'a> {
    pub directory: &'a mut Directory,
    pub fanout: &'a mut Fanout,
    pub timers: &'a mut Timers,
    pub out: &'a mut dyn Outlet,
    pub now: Now,
    pub settings: &'a HubSettings,
}

impl<'a> Scope<'a> {
    pub fn moment(&self) -> Moment<'a> {
        let (now, settings) = (self.now, self.settings);
        Moment { now, settings }
    }
}
