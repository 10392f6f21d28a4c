//! A store that keeps every batch at once, as the tests of what is written see it.

pub(crate) use super::world::Store;

use super::world::{World, request};
use joblight::internals::engine::{Batch, Input, Services};
use serde_json::Value;

/// A server that has kept nothing yet.
pub(crate) fn durable(change: impl FnOnce(&mut joblight::Config)) -> World {
    restarted(1, &Store::default(), change)
}

/// The server that goes on with what is kept.
pub(crate) fn restarted(
    seed: u64,
    kept: &Store,
    change: impl FnOnce(&mut joblight::Config),
) -> World {
    go_on(World::with_seed(seed, change), kept)
}

/// The same, so many milliseconds after the first life began.
pub(crate) fn restarted_at(
    millis: u64,
    kept: &Store,
    change: impl FnOnce(&mut joblight::Config),
) -> World {
    go_on(World::later(2, millis, change), kept)
}

fn go_on(mut world: World, kept: &Store) -> World {
    let now = world.now();
    world.engine.restore(now, &kept.restored());
    world
}

/// Publishes to a room and waits for no answer.
pub(crate) fn say(world: &mut World, room: &str, payload: impl ToString) {
    world.publish(room, payload);
}

/// Reports a task event and waits for no answer.
pub(crate) fn tell(world: &mut World, task: &str, verb: &str, body: Value) {
    ask(world, "POST", &format!("/api/tasks/{task}/{verb}"), &body);
}

/// Makes a request and waits for no answer.
pub(crate) fn ask(world: &mut World, method: &str, path: &str, body: &Value) {
    let peer = world.connect(Services::HTTP, [127, 0, 0, 1]);
    world.say(peer, request(method, path, body).as_bytes());
}

/// Writes to one client and waits for no answer.
pub(crate) fn write_to(world: &mut World, client: &str, payload: impl ToString) {
    world.write_to(client, payload);
}

/// By which key the store knows a client's session.
pub(crate) fn session_key(client: &str) -> String {
    let number = client.strip_prefix("client_").expect("a client's name");
    format!("{number:0>16}")
}

/// The next batch, if one is due.
pub(crate) fn batch(world: &mut World) -> Option<Batch> {
    world.batch()
}

/// The store is done with a batch.
pub(crate) fn stored(world: &mut World, seq: u64, result: Result<(), &str>) {
    let now = world.now();
    let result = result.map_err(str::to_owned);
    world.turn(|world| {
        world
            .engine
            .handle_input(now, Input::Appended { seq, result })
    });
}

impl Store {
    /// Keeps all that is due now, or soon.
    pub(crate) fn take(&mut self, world: &mut World) {
        for rest_ms in [50, 50, 0] {
            while let Some(batch) = batch(world) {
                self.keep(world, batch);
            }
            world.run_for(rest_ms);
        }
    }

    /// Keeps a batch.
    pub(crate) fn keep(&mut self, world: &mut World, batch: Batch) {
        let seq = batch.seq;
        let records = batch.records.into_iter();
        records.for_each(|record| self.apply(record));
        stored(world, seq, Ok(()));
    }
}
