//! What one delivery costs as a room grows from a thousand clients to a million, and what an idle client holds.
//!
//! Engine only: a publication is encoded, queued for every member, and drained as if each socket took it at once.
//! `logged` is a message that everybody must get; `progress` is task progress, of which only the newest counts.

#[path = "support/heap.rs"]
mod heap;
mod support;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use joblight::internals::wire::Report;
use std::time::Duration;
use support::{Rig, is_measuring};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

const COUNTS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Without `--bench`: enough to see that it works.
const SMALL_COUNTS: [usize; 1] = [1_000];
const TASK: &str = "import";
const ROOM: &str = "task:import";
const NOTE: &str = concat!(
    r#"{"itemId":"page-4250","title":"Quarterly report, page 4250","#,
    r#""url":"https://example.com/r/4250","bytes":18234,"took":118}"#
);

/// A room that only grows.
struct Crowd {
    rig: Rig,
    members: usize,
    processed: u64,
}

impl Crowd {
    fn new() -> Self {
        let rig = Rig::new(|config| {
            config.broadcaster.broadcast_interval = 0;
            config.broadcaster.min_change_threshold = 0.0;
        });
        Self {
            rig,
            members: 0,
            processed: 0,
        }
    }

    /// Time hardly passes, so nobody is pinged; but everybody's timer is armed.
    fn grow_to(&mut self, members: usize) {
        while self.members < members {
            self.rig.viewer(&[TASK]);
            self.members += 1;
        }
        self.progress();
    }

    fn log(&mut self) {
        let written = self.rig.turn(|engine, now| {
            let delivered = engine.command(now, |context| {
                context.send_to_room(ROOM, "page_done", NOTE.to_owned())
            });
            delivered.expect("the room may be spoken to");
        });
        assert!(written > self.members * NOTE.len());
    }

    fn progress(&mut self) {
        self.processed += 1;
        let report = format!(
            r#"{{"type":"task_progress","payload":{{"taskId":"{TASK}","processed":{},"total":1000000000}}}}"#,
            self.processed
        );
        let event = Report::parse(&report);
        let report = event.expect("an event");
        self.rig.pass(1);
        let written = self.rig.turn(|engine, now| {
            let accepted = engine.command(now, |context| context.report(report));
            assert!(matches!(accepted, Ok(true)));
        });
        assert!(written > self.members * 50, "{written}");
    }
}

fn fan_out(criterion: &mut Criterion) {
    let counts: &[usize] = match is_measuring() {
        true => &COUNTS,
        false => &SMALL_COUNTS,
    };
    let before = heap::heap().bytes;
    let mut crowd = Crowd::new();
    for &count in counts {
        crowd.grow_to(count);
        let mut group = criterion.benchmark_group("fanout");
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("logged/{count}"), |bencher| {
            bencher.iter(|| crowd.log());
        });
        group.bench_function(format!("progress/{count}"), |bencher| {
            bencher.iter(|| crowd.progress());
        });
        group.finish();
    }
    let held = heap::heap().bytes - before;
    println!(
        "idle clients: {} hold {:.1} MB of heap in all, {} bytes each",
        crowd.members,
        held as f64 / 1e6,
        held / crowd.members as i64
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3));
    targets = fan_out
}
criterion_main!(benches);
