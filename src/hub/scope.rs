//! The parts of the hub that a change of a task reaches, borrowed together. The tasks themselves are not in it, because its user holds
//! one of them at the same time.

use crate::base::time::Now;
use crate::hub::delivery::fanout::{Fanout, RoomMessage};
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

impl Scope<'_> {
    /// Publishes a message to a room and its log.
    pub fn publish(&mut self, message: RoomMessage<'_>) {
        self.fanout
            .publish(self.directory, self.now, message, self.out);
    }
}
