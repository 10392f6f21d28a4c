//! What it costs to bring a viewer up to date from a room's log: one that comes back with its session lacks the last
//! hundred messages, and gets them, its rooms and the state of its task.
//!
//! Engine only. The answer to "what do five thousand viewers cost that reconnect at once?"

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use joblight::internals::engine::{ClientState, ConnectionId, Input, Services};
use std::time::Duration;
use support::{Rig, UPGRADE};

const TASK: &str = "import";
const ROOM: &str = "task:import";
const MESSAGES: usize = 100;
const NOTE: &str =
    r#"{"itemId":"page-4250","url":"https://example.com/r/4250","bytes":18234,"took":118}"#;

/// A viewer that leaves and comes back, and confirms nothing.
struct Returning {
    rig: Rig,
    connection: ConnectionId,
    request: String,
}

impl Returning {
    fn new() -> Self {
        let mut rig = Rig::new(|config| config.websocket.message_queue_size = MESSAGES);
        let connection = rig.viewer(&[TASK]);
        let is_it = |client: &ClientState| client.connection == connection;
        let client = rig.engine.inspect().clients().find(is_it);
        let session = client.and_then(|client| client.session);
        let session = session.expect("it is greeted");
        let path = format!("GET /ws?session={session} HTTP");
        let request = UPGRADE.replacen("GET /ws HTTP", &path, 1);
        for _ in 0..MESSAGES {
            rig.turn(|engine, now| {
                let delivered = engine.command(now, |context| {
                    context.send_to_room(ROOM, "page_done", NOTE.to_owned())
                });
                delivered.expect("the room may be spoken to");
            });
        }
        Self {
            rig,
            connection,
            request,
        }
    }

    fn come_back(&mut self) {
        let gone = self.connection;
        self.rig
            .turn(|engine, now| engine.handle_input(now, Input::Failed(gone)));
        self.connection = self.rig.connect(Services::BOTH);
        let mut request = self.request.clone().into_bytes();
        let written = self.rig.receive(self.connection, &mut request);
        assert!(written > MESSAGES * NOTE.len(), "everything comes again");
    }
}

fn replay(criterion: &mut Criterion) {
    let mut viewer = Returning::new();
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.bench_function("session/100", |bencher| bencher.iter(|| viewer.come_back()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = replay
}
criterion_main!(benches);
