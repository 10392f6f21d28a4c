//! What durability costs: to commit entries and task states, alone and a thousand at a time, and to load 100,000 entries
//! at the start.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use joblight::base::id::MessageIds;
use joblight::config::Synchronous;
use joblight::hub::journal::{Batch, Record, StoredEntry, Table};
use joblight::shell::store::Store;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What a server under load commits at once.
const LARGE_BATCH: u64 = 1_000;
/// What a server that was busy for a while finds when it starts.
const LOADED_ENTRIES: u64 = 100_000;
/// Entries are replaced after so many, so that the file stays as large as a server's.
const KEPT_ENTRIES: u64 = 100_000;
/// Over so many rooms, busy ones and all.
const BUSY_ROOMS: u64 = 10;
const ROOMS: u64 = 1_000;

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
        self.entry_of(BUSY_ROOMS)
    }

    fn scattered_entry(&mut self) -> Record {
        self.entry_of(ROOMS)
    }

    fn entry_of(&mut self, rooms: u64) -> Record {
        self.number += 1;
        let number = self.number % KEPT_ENTRIES;
        Record::Append(StoredEntry {
            room: format!("task:report-{}", number % rooms).into(),
            offset: number / rooms,
            serial: self.number,
            kind: "task_item_completed".into(),
            payload: format!(
                r#"{{"taskId":"report-{}","item":"page-{number}","current":{number},"result":{{"file":"page-{number}.pdf"}}}}"#,
                number % rooms
            )
            .into(),
            timestamp: 1_700_000_000_000 + self.number,
            id: self.ids.next(),
        })
    }

    fn task(&mut self) -> Record {
        self.number += 1;
        let number = self.number % KEPT_ENTRIES;
        Record::Put {
            table: Table::Task,
            key: format!("report-{number}").into(),
            value: format!(
                r#"{{"taskId":"report-{number}","status":"running","progress":42.5,"current":{number},"total":100000,"stage":"rendering"}}"#
            ),
        }
    }

    fn batch(&mut self, size: u64, record: fn(&mut Self) -> Record) -> Vec<Batch> {
        let seq = self.number;
        let records = (0..size).map(|_| record(self)).collect();
        vec![Batch { seq, records }]
    }
}

/// A kind of record: its name, and how one is made.
type Kind = (&'static str, fn(&mut Source) -> Record);

fn commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store/commit");
    for synchronous in [Synchronous::Normal, Synchronous::Full] {
        for size in [1, LARGE_BATCH] {
            let kinds: [Kind; 3] = [
                ("entries", Source::entry),
                ("scattered_entries", Source::scattered_entry),
                ("tasks", Source::task),
            ];
            for (name, record) in kinds {
                let name = format!("{}/{size}_{name}", synchronous.name());
                let directory = Directory::new("commit");
                let mut store = directory.open(synchronous);
                let mut source = Source::new();
                group.throughput(Throughput::Elements(size));
                group.bench_function(name, |bencher| {
                    bencher.iter_batched(
                        || source.batch(size, record),
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
    let entries = Source::new().batch(LOADED_ENTRIES, Source::scattered_entry);
    store.apply(&entries).expect("it is kept");
    store.close().expect("a clean end");
    let mut group = criterion.benchmark_group("store/load");
    group.throughput(Throughput::Elements(LOADED_ENTRIES));
    group.bench_function(format!("{LOADED_ENTRIES}_entries"), |bencher| {
        bencher.iter(|| {
            let store = directory.open(Synchronous::Normal);
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
