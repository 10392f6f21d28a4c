//! What a reader costs in heap: to tell a room something takes as many allocations for a thousand readers as for ten,
//! and an idle connection holds nothing of its own but its places in the tables.

#[path = "../benches/support/heap.rs"]
mod heap;
#[path = "../benches/support/mod.rs"]
mod support;

use heap::heap;
use support::Rig;

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const TASK: &str = "import";
const ROOM: &str = "task:import";

/// What a connection may hold: its slots among peers and clients, its membership and its timer. Measured: 335 bytes,
/// with every table as good as full.
const MAX_IDLE_BYTES: i64 = 352;
/// How often tables may grow meanwhile: a few of them, each three times over.
const MAX_GROWTHS: usize = 32;

/// A room of so many readers, to which enough was said that every buffer has its size.
fn warmed_up(readers: usize) -> Rig {
    let mut rig = Rig::new(|config| config.websocket.message_queue_size = 8);
    for _ in 0..readers {
        rig.viewer(&[TASK]);
    }
    for _ in 0..32 {
        publish(&mut rig);
    }
    rig
}

/// How many allocations one publication takes, from the command to the last byte written.
fn publish(rig: &mut Rig) -> u64 {
    let before = heap().allocations;
    let written = rig.turn(|engine, now| {
        let state = engine.state_mut();
        let payload = r#"{"page":4250}"#.to_owned();
        state
            .send_to_room(now, ROOM, "page_done", payload)
            .expect("the room may be spoken to");
    });
    let clients = rig.engine.state().clients();
    assert_eq!(written % clients, 0, "everybody hears the same");
    assert!(written > 50 * clients);
    heap().allocations - before
}

#[test]
fn a_publication_allocates_no_more_for_a_thousand_readers_than_for_ten() {
    let few = publish(&mut warmed_up(10));
    let many = publish(&mut warmed_up(1000));
    assert_eq!(few, many);
    println!("{few} allocations for each publication");
    assert!(few < 20, "{few} allocations for one publication");
}

#[test]
fn an_idle_connection_holds_its_places_in_the_tables_and_nothing_else() {
    let mut rig = warmed_up(1000);
    let before = heap().bytes;
    let connections = 7_000;
    let mut growths = 0;
    for _ in 0..connections {
        let bytes = heap().bytes;
        rig.viewer(&[TASK]);
        growths += usize::from(heap().bytes > bytes);
    }
    let each = (heap().bytes - before) / connections;
    println!("{each} bytes for each idle connection");
    assert!(each <= MAX_IDLE_BYTES, "{each} bytes");
    assert!(
        growths < MAX_GROWTHS,
        "{growths} connections of {connections} hold memory of their own"
    );
}
