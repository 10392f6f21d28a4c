//! What durability costs: to commit entries and task states, alone and a thousand at a time, to keep as many entries as
//! before, and to load 100,000 at the start.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use joblight::config::Synchronous;
use joblight::internals::base::MessageIds;
use joblight::internals::hub::{Batch, Record, StoredEntry, Table};
use joblight::internals::shell::Store;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What a server under load commits at once.
const LARGE_BATCH: u64 = 1_000;
/// What a server that was busy for a while finds when it starts.
const LOADED_ENTRIES: u64 = 100_000;
/// Entries that a server keeps, beyond which each drops the oldest.
const KEPT_ENTRIES: u64 = 100_000;
/// Rooms that take turns.
const ROOMS: u64 = 1_000;
/// Tasks that take turns.
const TASKS: u64 = 100_000;

/// A directory that is gone when its bench is.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("joblight-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn open(&self, synchronous: Synchronous) -> Store {
        let path = self.0.join("joblight.db");
        let path = path
            .to_str()
            .expect("a temporary directory whose name is text");
        Store::open(path, synchronous).expect("a store")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes records as the server would.
struct Source {
    ids: MessageIds,
    number: u64,
}

impl Source {
    fn new() -> Self {
        Self {
            ids: MessageIds::new("msg_ab12cd_".to_owned()),
            number: 0,
        }
    }

    fn entry(&mut self) -> Record {
        self.number += 1;
        let (number, room) = (self.number, self.number % ROOMS);
        Record::Append(StoredEntry {
            room: format!("task:report-{room}").into(),
            offset: number / ROOMS,
            serial: number,
            kind: "task_item_completed".into(),
            payload: format!(
                r#"{{"taskId":"report-{room}","item":"page-{number}","current":{number},"result":{{"file":"page-{number}.pdf"}}}}"#
            )
            .into(),
            timestamp: 1_700_000_000_000 + number,
            id: self.ids.next(),
            sender: None,
        })
    }

    fn task(&mut self) -> Record {
        self.number += 1;
        let number = self.number % TASKS;
        Record::Put {
            table: Table::Task,
            key: format!("report-{number}").into(),
            value: format!(
                r#"{{"taskId":"report-{number}","status":"running","progress":42.5,"current":{number},"total":100000,"stage":"rendering"}}"#
            ),
        }
    }

    fn entries(&mut self, size: u64) -> Vec<Record> {
        (0..size).map(|_| self.entry()).collect()
    }

    /// As many entries that come as go.
    fn turnover(&mut self, size: u64) -> Vec<Record> {
        let mut records = self.entries(size);
        let last = self.number - KEPT_ENTRIES;
        let serials = (last - size + 1..=last).collect();
        records.push(Record::Drop { serials });
        records
    }

    fn tasks(&mut self, size: u64) -> Vec<Record> {
        (0..size).map(|_| self.task()).collect()
    }
}

/// One batch of these.
fn batch(records: Vec<Record>) -> [Batch; 1] {
    [Batch { seq: 1, records }]
}

/// A kind of batch: its name, how many entries are there before, and how the records are made.
type Kind = (&'static str, u64, fn(&mut Source, u64) -> Vec<Record>);

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store/commit");
    for synchronous in [Synchronous::Normal, Synchronous::Full] {
        for size in [1, LARGE_BATCH] {
            let kinds: [Kind; 3] = [
                ("entries", 0, Source::entries),
                ("entries_come_and_go", KEPT_ENTRIES, Source::turnover),
                ("tasks", 0, Source::tasks),
            ];
            for (name, before, records) in kinds {
                let name = format!("{}/{size}_{name}", synchronous.name());
                let directory = Directory::new("commit");
                let mut store = directory.open(synchronous);
                let mut source = Source::new();
                let before = batch(source.entries(before));
                store.apply(&before).expect("it is kept");
                group.throughput(Throughput::Elements(size));
                group.bench_function(name, |bencher| {
                    bencher.iter_batched(
                        || batch(records(&mut source, size)),
                        |batches| store.apply(&batches).expect("it is kept"),
                        BatchSize::PerIteration,
                    );
                });
            }
        }
    }
    group.finish();
}

fn load(criterion: &mut Criterion) {
    let directory = Directory::new("load");
    let mut store = directory.open(Synchronous::Normal);
    let entries = batch(Source::new().entries(LOADED_ENTRIES));
    store.apply(&entries).expect("it is kept");
    store.close().expect("a clean end");
    let mut group = criterion.benchmark_group("store/load");
    group.throughput(Throughput::Elements(LOADED_ENTRIES));
    group.bench_function(format!("{LOADED_ENTRIES}_entries"), |bencher| {
        bencher.iter(|| {
            let mut store = directory.open(Synchronous::Normal);
            let restored = store.load().expect("what was kept");
            assert_eq!(restored.entries.len() as u64, LOADED_ENTRIES);
            restored
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = commit, load
}
criterion_main!(benches);
