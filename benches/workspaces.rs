//! Whether a change of one workspace among 10,000, a new order of all of them, and their list, stay within a blink.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use joblight::Config;
use joblight::internals::base::Random;
use joblight::internals::base::{Now, Time};
use joblight::internals::hub::{HubSettings, Moment, Workspaces};
use joblight::internals::wire::Members;
use std::time::Duration;

/// The default of `workspaces.max_workspaces`, and a tenth of it.
const COUNTS: [u32; 2] = [1_000, 10_000];

const NOW: Now = Now {
    at: Time::ZERO,
    wall_ms: 1_700_000_000_000,
};

fn settings() -> HubSettings {
    let mut config = Config::default();
    config.workspaces.max_workspaces = 0;
    config.engine_settings(0).hub
}

fn filled(count: u32, settings: &HubSettings) -> Workspaces {
    let mut workspaces = Workspaces::new([1, 2]);
    let mut random = Random::from_seed([1; 32]);
    for number in 0..count {
        let wish = format!(
            r#"{{"id":"workspace_{number:016}","name":"Workspace {number}","colour":"red","view":{{"zoom":1,"page":2}}}}"#
        );
        let wish = Members::parse(&wish).expect("an object");
        let moment = Moment { now: NOW, settings };
        let edit = workspaces.create(moment, wish, &mut random);
        workspaces.apply(edit.expect("there is no limit"), &mut Vec::new());
    }
    workspaces
}

/// The wish for an order in which neighbours are far apart.
fn shuffled(count: u32) -> String {
    let ids: Vec<String> = (0..count)
        .map(|place| {
            format!(
                "\"workspace_{:016}\"",
                u64::from(place) * 7919 % u64::from(count)
            )
        })
        .collect();
    format!("{{\"ids\":[{}]}}", ids.join(","))
}

fn changes(criterion: &mut Criterion) {
    for count in COUNTS {
        let mut group = criterion.benchmark_group(format!("workspaces/{count}"));
        let settings = &settings();
        let moment = Moment { now: NOW, settings };
        let mut workspaces = filled(count, settings);
        let order = shuffled(count);
        group.bench_function("reorder", |bencher| {
            bencher.iter(|| {
                let wish = Members::parse(&order).expect("an object");
                let edit = workspaces.reorder(&wish).expect("a permutation");
                workspaces.apply(edit, &mut Vec::new())
            });
        });
        let patch = r#"{"id":"workspace_0000000000000500","view":{"zoom":3},"colour":"blue"}"#;
        group.bench_function("update", |bencher| {
            bencher.iter(|| {
                let wish = Members::parse(patch).expect("an object");
                let edit = workspaces.update(moment, wish).expect("it is there");
                workspaces.apply(edit, &mut Vec::new())
            });
        });
        group.bench_function("list", |bencher| bencher.iter(|| workspaces.list()));
        let first = r#"{"id":"workspace_0000000000000000"}"#;
        group.bench_function("delete_first", |bencher| {
            bencher.iter_batched_ref(
                || filled(count, settings),
                |workspaces| {
                    let wish = Members::parse(first).expect("an object");
                    let edit = workspaces.delete(&wish).expect("it is there");
                    workspaces.apply(edit, &mut Vec::new())
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = changes
}
criterion_main!(benches);
