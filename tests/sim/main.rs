//! The unmodified engine among simulated peers: a bus of bytes with delay, cut, half-open and stall, a store that is
//! slow, fails and crashes, virtual time, and one seed for all of it. A shadow model says what must hold; when the faults
//! stop, everything must converge.
//!
//! `SIM_SEED=<seed>` repeats one run, `SIM_SEEDS=<count>` and `SIM_STEPS=<count>` extend the test. A failure prints the line
//! to run; with `SIM_TRACE=1` that prints all that viewers say and hear.

mod board;
mod calm;
mod checks;
#[path = "../support/dice.rs"]
mod dice;
mod editors;
mod ending;
#[path = "../support/event.rs"]
mod event;
mod faults;
mod fold;
mod history;
mod kept;
mod limits;
mod lines;
mod mail;
#[path = "../support/masked.rs"]
mod masked;
mod opening;
mod plan;
mod producers;
mod run;
mod screen;
#[path = "../support/shadow_task.rs"]
mod shadow_task;
mod tasks;
mod truth;
mod viewer;
mod wish;
mod witness;
#[path = "../support/world/mod.rs"]
mod world;

use run::Run;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 256;
const STEPS: usize = 3_000;
const THREADS: usize = 2;

#[test]
fn whatever_fails_every_promise_holds() {
    let steps = number("SIM_STEPS").map_or(STEPS, |steps| steps as usize);
    if let Some(seed) = number("SIM_SEED") {
        return Run::play(seed, steps);
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let (next, first_failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let next_seed = || next.fetch_add(1, Ordering::Relaxed);
                while let Some(seed) = Some(next_seed()).filter(|seed| *seed < seeds) {
                    if catch_unwind(AssertUnwindSafe(|| Run::play(seed, steps))).is_err() {
                        first_failed.fetch_min(seed, Ordering::Relaxed);
                        next.store(seeds, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = first_failed.into_inner();
    assert_eq!(failed, u64::MAX, "seed {failed} failed; its line is above");
}

#[test]
fn the_same_seed_plays_the_same_run() {
    let transcript = |seed| Run::transcript(seed, 300);
    assert_eq!(transcript(7), transcript(7));
    assert_ne!(
        transcript(7),
        transcript(8),
        "the transcript says something"
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number")),
    )
}
