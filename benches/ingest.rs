//! How many events a second one core takes, by each way in: lines in a request's body, a request for each event, and
//! lines of a local producer. Every task has a viewer, so that events are not only counted but told.

mod support;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use joblight::internals::engine::{ConnectionId, Services};
use std::time::Duration;
use support::Rig;

const TASKS: u64 = 100;
/// Events in one request's body.
const EVENTS: u64 = 1000;
/// The shell reads this much at once.
const READ_BYTES: usize = 64 * 1024;
/// Virtual time between two reads.
const TURN_MICROS: u64 = 1000;

/// A server with a hundred watched tasks, and an endless progress.
struct Producer {
    rig: Rig,
    connection: ConnectionId,
    done: u64,
}

impl Producer {
    fn new(services: Services) -> Self {
        let mut rig = Rig::new(|config| {
            config.websocket.heartbeat_interval = 0;
            config.websocket.connection_timeout = 0;
        });
        let tasks: Vec<String> = (0..TASKS).map(|task| format!("t{task}")).collect();
        let names: Vec<&str> = tasks.iter().map(String::as_str).collect();
        for ten in names.chunks(10) {
            rig.viewer(ten);
        }
        let connection = rig.connect(services);
        Self {
            rig,
            connection,
            done: 0,
        }
    }

    /// The next event.
    fn event(&mut self) -> String {
        self.done += 1;
        let (task, processed) = (self.done % TASKS, self.done / TASKS);
        format!(
            "{{\"type\":\"task_progress\",\"payload\":{{\"taskId\":\"t{task}\",\"processed\":{processed},\
             \"total\":1000000000,\"message\":\"page {processed}\"}}}}"
        )
    }

    fn lines(&mut self) -> String {
        (0..EVENTS).map(|_| self.event() + "\n").collect()
    }

    /// Sends bytes in pieces, each in a turn of its own; how many bytes came back to all peers.
    fn send(&mut self, bytes: &mut [u8]) -> usize {
        let mut written = 0;
        for piece in bytes.chunks_mut(READ_BYTES) {
            self.rig.pass(TURN_MICROS);
            written += self.rig.receive(self.connection, piece);
        }
        written
    }

    /// Events reached tasks, and viewers were told.
    fn check(&mut self) {
        let held = self.rig.engine.inspect();
        assert_eq!(held.task_ids().count() as u64, TASKS.min(self.done));
        self.rig.turn(|engine, now| {
            let stats = engine.command(now, |context| context.broadcaster_stats());
            assert!(stats.successful_sends > 0, "nobody was told");
        });
    }
}

fn request(content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /api/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Measures `events` events for each piece of input that `next` makes; making it is not measured.
fn measure(
    criterion: &mut Criterion,
    name: &str,
    events: u64,
    services: Services,
    next: impl Fn(&mut Producer) -> Vec<u8>,
) {
    let producer = std::cell::RefCell::new(Producer::new(services));
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(events));
    group.bench_function(name, |bencher| {
        bencher.iter_batched_ref(
            || next(&mut producer.borrow_mut()),
            |bytes| producer.borrow_mut().send(bytes),
            BatchSize::SmallInput,
        );
    });
    group.finish();
    producer.borrow_mut().check();
}

fn ndjson(criterion: &mut Criterion) {
    measure(
        criterion,
        "ndjson_1000",
        EVENTS,
        Services::HTTP,
        |producer| request("application/x-ndjson", &producer.lines()),
    );
}

fn posts(criterion: &mut Criterion) {
    measure(criterion, "single_posts", 1, Services::HTTP, |producer| {
        request("application/json", &producer.event())
    });
}

fn unix_lines(criterion: &mut Criterion) {
    measure(
        criterion,
        "unix_lines_1000",
        EVENTS,
        Services::INGEST,
        |producer| producer.lines().into_bytes(),
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = ndjson, posts, unix_lines
}
criterion_main!(benches);
