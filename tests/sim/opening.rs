//! A start with a store that does not open at once.

use super::truth::Place;
use super::witness::Sim;
use super::world::{Far, World, upgrade_request};
use joblight::internals::engine::{Input, Services};
use joblight::internals::hub::Table;

impl World<Sim> {
    /// The store opens at some try, perhaps fails half-way, and is read slice by slice; service begins when it has kept what
    /// that records.
    pub(crate) fn open_late(&mut self) {
        let now = self.now();
        self.engine.handle_input(now, Input::StoreOpening);
        let size = self.dice.pick(&[1, 3, 50]);
        let slices = self.store().slices(size);
        for _ in 0..self.dice.below(3) {
            let count = self.dice.below(slices.len() as u64 + 1) as usize;
            for slice in &slices[..count] {
                self.turn(|world| world.engine.handle_input(now, Input::StoreSlice(slice)));
            }
            let reason = "kept.db: damaged".to_owned();
            self.turn(|world| world.engine.handle_input(now, Input::StoreUnopened(reason)));
            assert!(!self.store().is_busy(), "it was never read to its end");
        }
        let guest = self.connect(Services::BOTH, true);
        self.say(guest, upgrade_request("/ws", "").as_bytes());
        for slice in &slices {
            self.turn(|world| world.engine.handle_input(now, Input::StoreSlice(slice)));
        }
        let store = self.store_mut();
        let (fails, millis) = (store.fails, store.millis);
        (store.fails, store.millis) = (false, 0);
        self.turn(|world| world.engine.handle_input(now, Input::StoreRead));
        while self.store().is_busy() {
            self.turn(|_| {});
        }
        let store = self.store_mut();
        (store.fails, store.millis) = (fails, millis);
        self.turn(|_| {});
        self.own.guests = u64::from(self.conns[guest].messages > 0);
        if self.own.guests > 0 {
            self.check_epochs_kept();
        }
        self.cut(guest, Far::Gone, false);
    }

    /// Whoever is served may be told of any epoch, so the store must know them all: the next crash may follow at once.
    fn check_epochs_kept(&self) {
        let held = self.engine.inspect();
        for room in self.store().keys(Table::Room) {
            let (epoch, now) = (self.store().epoch(&room), held.position(&room));
            let now = now.map(|position| Place::parse(&position).epoch);
            let is_kept = now.is_none() || now == epoch;
            assert!(is_kept, "{room} is served in {now:?}, kept in {epoch:?}");
        }
    }
}
