//! Two processes and one file: the second is refused while the first lives, and finds everything when it was killed.

use super::super::database::Store;
use super::super::error::Fault;
use super::{Directory, append, batch, entry};
use crate::config::Synchronous;
use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Names the file to the process that is to hold it.
const FILE: &str = "STORE_TO_HOLD";
/// What that process says once it does.
const WORD: &str = "it is held";

/// The test below as a process of its own, which holds the file until its standard input ends.
struct Holder {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Holder {
    fn start(path: &str) -> Self {
        let name =
            "shell::store::tests::processes::the_file_is_held_by_one_process_and_outlives_it";
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "--nocapture", name])
            .env(FILE, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output }
    }

    fn wait_until_it_holds(&mut self) {
        let mut lines = self.output.by_ref().lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(WORD)), "it ended early");
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn hold(path: &str) {
    let mut store = Store::open(path, Synchronous::Normal).unwrap();
    store.apply(&[batch(1, vec![append("a", 1)])]).unwrap();
    println!("{WORD}");
    io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
}

#[test]
fn the_file_is_held_by_one_process_and_outlives_it() {
    if let Ok(path) = env::var(FILE) {
        return hold(&path);
    }
    let directory = Directory::new();
    let path = directory.path("joblight.db");
    let mut holder = Holder::start(&path);
    holder.wait_until_it_holds();
    assert_eq!(
        Store::open(&path, Synchronous::Normal).map(drop),
        Err(Fault::InUse.at(&path))
    );
    holder.kill();
    assert_eq!(directory.open().load().unwrap().entries, [entry("a", 1)]);
}
