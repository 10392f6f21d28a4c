//! What a reader costs in heap: to tell a room something takes as many allocations for a thousand readers as for ten,
//! and an idle connection holds nothing of its own but its places in the tables.

#[path = "../benches/support/heap.rs"]
mod heap;
#[path = "../benches/support/mod.rs"]
mod support;

use heap::{heap, peak_during};
use joblight::internals::engine::{ConnectionId, Services};
use serde_json::json;
use support::{BINARY, Rig, TEXT, UPGRADE, masked};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const TASK: &str = "import";
const ROOM: &str = "task:import";

/// What a connection may hold: its slots among peers and clients, its membership and its timer. Measured: 335 bytes,
/// with every table as good as full.
const MAX_IDLE_BYTES: i64 = 352;
/// How often tables may grow meanwhile: a few of them, each three times over.
const MAX_GROWTHS: usize = 32;

/// How many times its own size a message of MessagePack may take at once until it is answered: it is read as JSON, which may be
/// several times as long and have room for twice that, and what is sent back is held twice. A tree of its values took 200 times.
const MAX_FOLD: i64 = 11;
/// The same for a list of workspaces: the JSON and what becomes of it.
const MAX_LIST_FOLD: i64 = 3;

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
        let payload = r#"{"page":4250}"#.to_owned();
        engine.command(now, |context| {
            let sent = context.send_to_room(ROOM, "page_done", payload);
            sent.expect("the room may be spoken to");
        });
    });
    let allocations = heap().allocations - before;
    let clients = rig.engine.inspect().clients();
    let clients = clients.filter(|client| !client.is_away).count();
    assert_eq!(written % clients, 0, "everybody hears the same");
    assert!(written > 50 * clients);
    allocations
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

/// A client that speaks MessagePack.
fn packing(rig: &mut Rig, path: &str) -> ConnectionId {
    let connection = rig.connect(Services::BOTH);
    let lines = format!("GET {path} HTTP/1.1\r\nSec-WebSocket-Protocol: joblight.msgpack\r\n");
    let request = UPGRADE.replacen("GET /ws HTTP/1.1\r\n", &lines, 1);
    assert!(rig.receive(connection, &mut request.into_bytes()) > 0);
    connection
}

#[test]
fn a_message_pack_of_a_megabyte_takes_a_few_times_its_size_and_no_tree() {
    const SIZE: usize = 1_000_000;
    let mut rig = Rig::new(|config| config.websocket.max_message_size = 2 * SIZE);
    let connection = packing(&mut rig, "/ws");
    // Whole numbers, empty arrays, empty maps, booleans, empty texts, and one long text.
    for filling in [7_u8, 0x90, 0x80, 0xc3, 0xa0, b'x'] {
        let head = if filling == b'x' { 0xdb } else { 0xdd };
        let mut message = b"\x82\xa4type\xa4ping\xa7payload".to_vec();
        message.push(head);
        message.extend_from_slice(&(SIZE as u32).to_be_bytes());
        message.resize(message.len() + SIZE, filling);
        let mut frame = masked(BINARY, &message);
        let mut written = 0;
        let peak = peak_during(|| written = rig.receive(connection, &mut frame));
        assert!(written > SIZE, "{filling:#x} is sent back");
        let size = SIZE as i64;
        println!("{filling:#x}: {} times its size", peak as f64 / size as f64);
        assert!(peak < MAX_FOLD * size, "{filling:#x}: {peak} bytes");
    }
}

#[test]
fn a_list_for_a_client_that_speaks_message_pack_takes_a_few_times_its_size() {
    let mut rig = Rig::new(|_| {});
    let connection = packing(&mut rig, "/");
    let numbers = vec![7; 20_000];
    for number in 0..128 {
        let data = json!({"name": format!("n{number}"), "numbers": numbers});
        let message = json!({"type": "workspace.create", "data": data}).to_string();
        assert!(rig.receive(connection, &mut masked(TEXT, message.as_bytes())) > 0);
    }
    let mut frame = masked(TEXT, br#"{"type":"workspace.list"}"#);
    let peak = peak_during(|| assert!(rig.receive(connection, &mut frame) > 0));
    let size = rig.engine.inspect().workspace_list().len() as i64;
    println!("{} times its {size} bytes", peak as f64 / size as f64);
    assert!(peak < MAX_LIST_FOLD * size, "{peak} bytes");
}
