//! Whether a timer costs the same however many others are armed: to set and cancel one, and to let one fire.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use joblight::internals::base::Wheel;
use joblight::internals::base::{Span, Time};
use std::hint::black_box;
use std::time::Duration;

/// How many timers are armed; the server has about one for each connection.
const COUNTS: [u64; 3] = [1_000, 100_000, 1_000_000];

/// Every timer is set again for this long after it fired, as heartbeats are.
const INTERVAL: Span = Span::from_secs(30);

/// A wheel of `count` timers, spread evenly over one interval.
fn armed(count: u64) -> Wheel<u64> {
    let mut wheel = Wheel::new();
    for number in 0..count {
        let at = Time::from_micros(number * INTERVAL.as_micros() / count);
        wheel.schedule(at, number);
    }
    wheel
}

fn schedule_and_cancel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel/schedule_cancel");
    for count in COUNTS {
        let mut wheel = armed(count);
        let at = Time::from_millis(17_123);
        group.bench_function(format!("{count}_armed"), |bencher| {
            bencher.iter(|| {
                let timer = wheel.schedule(black_box(at), 0);
                wheel.cancel(timer)
            });
        });
    }
    group.finish();
}

/// One virtual second each time, told by the wheel when to advance, as the loop is.
fn advance(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wheel/fire_and_rearm");
    for count in COUNTS {
        let mut wheel = armed(count);
        let mut now = Time::ZERO;
        group.throughput(Throughput::Elements(count / 30));
        group.bench_function(format!("{count}_armed"), |bencher| {
            bencher.iter(|| {
                now += Span::from_secs(1);
                while let Some(at) = wheel.next_deadline()
                    && at <= now
                {
                    wheel.advance(at);
                    while let Some(expired) = wheel.pop_expired() {
                        wheel.schedule(at + INTERVAL, expired.payload);
                    }
                }
            });
        });
        assert_eq!(wheel.len() as u64, count);
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = schedule_and_cancel, advance
}
criterion_main!(benches);
