//! Thousands of viewers lose their connections and come back at once: each is served, and nothing of it stays behind.

use crate::socket::{ask, greeted, resident_kb, wait_for};
use crate::support::Viewer;
use crate::support::process::{Directory, Process};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::thread;

const VIEWERS: usize = 5000;
const ROOMS: usize = 50;
/// What is said to each room while nobody is there.
const MESSAGES: u64 = 4;
const THREADS: usize = 4;

fn serve(directory: &Directory, more: &[&str]) -> Process {
    let flags = [
        "--websocket.max_clients",
        "0",
        "--websocket.rate_limit.max_connections_per_minute",
        "0",
        "--websocket.rate_limit.max_messages_per_minute",
        "0",
    ];
    Process::serve(directory, &[&flags[..], more].concat())
}

/// Somebody who comes again and again.
#[derive(Default, Clone)]
struct Visitor {
    secret: Option<String>,
    room: String,
    /// The last offset that it has heard.
    heard: u64,
}

/// Connects all visitors before it reads any answer; each hears everything up to the last message of its room.
fn visit(address: SocketAddr, visitors: &mut [Visitor], last: u64) -> Vec<Viewer> {
    let call = |visitor: &Visitor| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let session = visitor.secret.as_ref();
        let query = session.map_or_else(String::new, |secret| format!("?session={secret}"));
        ask(&mut stream, &format!("/ws{query}"));
        stream
    };
    let streams: Vec<TcpStream> = visitors.iter().map(call).collect();
    let pairs = visitors.iter_mut().zip(streams);
    pairs
        .map(|(visitor, stream)| visitor.arrive(greeted(stream), last))
        .collect()
}

impl Visitor {
    fn arrive(&mut self, mut viewer: Viewer, last: u64) -> Viewer {
        let greeting = &viewer.greeting["payload"];
        assert_eq!(greeting["resumed"], self.secret.is_some(), "{greeting}");
        if self.secret.is_none() {
            self.secret = greeting["session"].as_str().map(str::to_owned);
            viewer.send(&json!({"type": "subscribe", "rooms": [self.room]}));
        }
        let ack = viewer.expect("subscription_ack");
        let recovered = &ack["payload"]["recovered"];
        assert_ne!(recovered[&self.room], false, "{ack}");
        let mut previous = None;
        while self.heard < last {
            let message = viewer.expect("room_broadcast");
            let offset = message["offset"].as_u64().expect("an offset");
            // What may not have arrived before comes again, once on a connection.
            let is_next = previous.is_none_or(|before| offset == before + 1);
            assert!(is_next && offset <= self.heard + 1, "{message}");
            assert_eq!(message["payload"], offset, "{message}");
            previous = Some(offset);
            self.heard = self.heard.max(offset);
        }
        viewer
    }
}

/// Everybody comes at once.
fn visit_all(address: SocketAddr, visitors: &mut [Visitor], last: u64) -> Vec<Viewer> {
    let share = visitors.len() / THREADS;
    thread::scope(|scope| {
        let groups = visitors.chunks_mut(share);
        let threads: Vec<_> = groups
            .map(|group| scope.spawn(move || visit(address, group, last)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.flatten().collect()
    })
}

fn visitors(count: usize) -> Vec<Visitor> {
    let visitor = |number| Visitor {
        room: format!("room-{}", number % ROOMS),
        ..Visitor::default()
    };
    (0..count).map(visitor).collect()
}

fn connections(process: &Process, count: usize) -> Value {
    wait_for(process.http(), "/health", |health| {
        health["websocket"]["connections"] == count
    })
}

#[test]
fn five_thousand_come_back_at_once_and_miss_nothing() {
    let directory = Directory::new();
    let process = serve(&directory, &[]);
    let mut visitors = visitors(VIEWERS);
    let mut sizes = Vec::new();
    let mut last = 0;
    let mut viewers = visit_all(process.websocket(), &mut visitors, last);
    // What was not surely received is sent again, and the store's cache fills; then nothing may be left of another return.
    for messages in [MESSAGES, MESSAGES, MESSAGES, 0, 0, 0, 0, 0] {
        drop(viewers);
        connections(&process, 0);
        for number in last + 1..=last + messages {
            for room in 0..ROOMS {
                let path = format!("/api/rooms/room-{room}/broadcast");
                process.post(&path, &json!({"payload": number}));
            }
        }
        last += messages;
        viewers = visit_all(process.websocket(), &mut visitors, last);
        connections(&process, VIEWERS);
        sizes.push(resident_kb(process.id()));
    }
    let stats = wait_for(process.http(), "/api/websocket/stats", |_| true);
    assert_eq!(stats["rooms"]["clients"], VIEWERS, "{stats}");
    assert_eq!(stats["rooms"]["total"], ROOMS, "{stats}");
    println!("{sizes:?} kB after each return");
    let (first, last) = sizes.split_at(5);
    assert!(
        last.last() < first.iter().max().map(|most| most + 2 * 1024).as_ref(),
        "it grows with every return: {sizes:?} kB"
    );
    drop(viewers);
    process.stop();
}

#[test]
fn sessions_that_nobody_comes_back_to_go() {
    let directory = Directory::new();
    let process = serve(&directory, &["--websocket.session_ttl", "100"]);
    let mut sizes = Vec::new();
    let mut stale = Vec::new();
    for _ in 0..4 {
        let mut visitors = visitors(1000);
        drop(visit_all(process.websocket(), &mut visitors, 0));
        let stats = wait_for(process.http(), "/api/websocket/stats", |stats| {
            stats["rooms"]["total"] == 0 && stats["connections"]["active"] == 0
        });
        assert_eq!(stats["rooms"]["clients"], 0, "{stats}");
        sizes.push(resident_kb(process.id()));
        stale = visitors;
    }
    assert!(sizes[3] < sizes[0] + 4 * 1024, "{sizes:?} kB");
    // Their rooms went with them; the sessions of the last go in a moment.
    let has_ended = stale.iter().any(|visitor| {
        let secret = visitor.secret.as_ref().expect("a session");
        let path = format!("/ws?session={secret}");
        let mut viewer = Viewer::connect(process.websocket(), &path);
        viewer.expect("connected")["payload"]["resumed"] == false
    });
    assert!(has_ended, "a thousand came back, one after the other");
    process.stop();
}
