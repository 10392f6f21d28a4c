//! What a connection costs over real sockets, with a thousand to nineteen thousand of them: to connect, upgrade and
//! subscribe, and to be kept alive. The server is the release binary in a process of its own.
//!
//! The first table is about growing to each count; the benchmark then measures one more connection at that count. CPU
//! is the server's own, from `/proc`; wall time includes this client, which shares the machine.

#[path = "support/server.rs"]
mod server;
mod support;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use server::Server;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use support::{UPGRADE, is_measuring, masked, subscription};

const COUNTS: [usize; 4] = [1_000, 5_000, 10_000, 19_000];
/// Without `--bench`: enough to see that it works.
const SMALL_COUNTS: [usize; 1] = [200];
/// Connections on their way at once.
const BATCH: usize = 100;
/// The clients come from several loopback addresses: the system takes long to find a free port among many used ones.
const CLIENTS_OF_A_HOST: usize = 5_000;
const FIRST_HOST: u8 = 2;
const LAST_HOST: u8 = 250;
/// Files that a process needs besides its sockets.
const OTHER_FILES: u64 = 100;
/// Milliseconds between pings: long enough to connect everybody before the first must be answered.
const HEARTBEAT_MS: u64 = 4_000;
/// The interval for which the cost of heartbeats is told: the default.
const USUAL_HEARTBEAT_SECONDS: f64 = 30.0;
/// What only a broken run waits for.
const LIMIT: Duration = Duration::from_secs(20);
const PONG: u8 = 10;

/// The clients, all subscribed to one task.
struct Crowd {
    address: SocketAddr,
    clients: Vec<TcpStream>,
}

impl Crowd {
    fn grow_to(&mut self, count: usize) {
        while self.clients.len() < count {
            let more = BATCH.min(count - self.clients.len());
            let host = FIRST_HOST + (self.clients.len() / CLIENTS_OF_A_HOST) as u8;
            let batch = connect(self.address, host, more);
            self.clients.extend(batch);
        }
    }

    /// Waits for a ping on every connection and answers it; how many pings there were.
    fn answer_pings(&mut self) -> usize {
        let pong = masked(PONG, b"");
        let mut buffer = [0; 256];
        let mut bytes = 0;
        for client in &mut self.clients {
            let count = client.read(&mut buffer).expect("a ping");
            assert_eq!(buffer[..2], [0x89, 0], "only pings come to an idle client");
            client.write_all(&pong).expect("the pong leaves");
            bytes += count;
        }
        bytes / 2
    }
}

/// Connects from `127.0.0.host`, upgrades and subscribes, every step for all of a batch before the next.
fn connect(address: SocketAddr, host: u8, count: usize) -> Vec<TcpStream> {
    let subscription = subscription(&["import"]);
    let mut batch: Vec<TcpStream> = (0..count)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            let host = Ipv4Addr::new(127, 0, 0, host);
            socket
                .bind(&SocketAddr::from((host, 0)).into())
                .expect("a port");
            socket.connect(&address.into()).expect("a connection");
            socket.set_read_timeout(Some(LIMIT)).expect("a limit");
            // Closed by a reset, so that no port waits for its end.
            let abrupt = socket.set_linger(Some(Duration::ZERO));
            abrupt.expect("an abrupt end");
            socket.into()
        })
        .collect();
    for stream in &mut batch {
        stream
            .write_all(UPGRADE.as_bytes())
            .expect("the request leaves");
    }
    for stream in &mut batch {
        read_until(stream, br#""type":"connected""#);
        stream.write_all(&subscription).expect("the frame leaves");
    }
    for stream in &mut batch {
        read_until(stream, br#""type":"subscription_ack""#);
    }
    batch
}

/// Reads until what came contains `part` and ends with a JSON message.
fn read_until(stream: &mut TcpStream, part: &[u8]) {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).expect("an answer");
        assert!(count > 0, "the server has closed");
        filled += count;
        let came = &buffer[..filled];
        if came.ends_with(b"}") && came.windows(part.len()).any(|window| window == part) {
            return;
        }
    }
}

/// The counts that this process may open files for.
fn counts() -> Vec<usize> {
    let allowed = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    let most = allowed.saturating_sub(OTHER_FILES) as usize;
    let counts: &[usize] = match is_measuring() {
        true => &COUNTS,
        false => &SMALL_COUNTS,
    };
    counts.iter().map(|count| (*count).min(most)).collect()
}

fn connecting(criterion: &mut Criterion) {
    let server = Server::start(&[]);
    let mut crowd = Crowd {
        address: server.address,
        clients: Vec::new(),
    };
    let empty_bytes = server.resident_bytes();
    println!(
        "an empty server occupies {:.1} MB; connect, upgrade, subscribe:",
        empty_bytes as f64 / 1e6
    );
    for count in counts() {
        // The last batch is left to the benchmark.
        let (target, cpu, began) = (count - BATCH, server.cpu(), Instant::now());
        let added = target - crowd.clients.len();
        crowd.grow_to(target);
        println!(
            "  to {count:>6}: {:.1} us each on the wall, {:.1} us of server CPU each, {:.0} resident server bytes each",
            micros_each(began.elapsed(), added),
            micros_each(server.cpu() - cpu, added),
            server.resident_bytes().saturating_sub(empty_bytes) as f64 / target as f64,
        );
        let mut group = criterion.benchmark_group("connections/one_more");
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(format!("{count}"), |bencher| {
            bencher.iter_custom(|iterations| one_more(server.address, iterations as usize));
        });
        group.finish();
    }
}

/// How long `count` further connections take, in batches that are closed again; closing is not measured.
fn one_more(address: SocketAddr, count: usize) -> Duration {
    let (mut took, mut left) = (Duration::ZERO, count);
    while left > 0 {
        let now = left.min(BATCH);
        let began = Instant::now();
        let batch = connect(address, LAST_HOST, now);
        took += began.elapsed();
        drop(batch);
        left -= now;
    }
    took
}

/// The cost of pings and pongs, by the server's CPU over two rounds. There is nothing to sample: it is printed.
fn heartbeats(_: &mut Criterion) {
    let Some(count) = counts().pop() else {
        return;
    };
    let interval = HEARTBEAT_MS.to_string();
    let server = Server::start(&["--websocket.heartbeat_interval", &interval]);
    let mut crowd = Crowd {
        address: server.address,
        clients: Vec::new(),
    };
    crowd.grow_to(count);
    crowd.answer_pings();
    let (cpu, began) = (server.cpu(), Instant::now());
    let pings = crowd.answer_pings() + crowd.answer_pings();
    let (cpu, took) = (server.cpu() - cpu, began.elapsed());
    let each = cpu.as_secs_f64() / pings as f64;
    println!(
        "heartbeats: {pings} pings to {count} clients in {:.1} s took {:.2} s of server CPU, {:.1} us each: \
         {:.2} % of a core at {USUAL_HEARTBEAT_SECONDS} s",
        took.as_secs_f64(),
        cpu.as_secs_f64(),
        each * 1e6,
        100.0 * each * count as f64 / USUAL_HEARTBEAT_SECONDS,
    );
}

fn micros_each(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = connecting, heartbeats
}
criterion_main!(benches);
