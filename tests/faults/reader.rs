//! A viewer over many lives of the server, and what it must have heard when all is over.

use crate::support::Viewer;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::Sender;
use tungstenite::Message;

pub(crate) const TASKS: [&str; 3] = ["t0", "t1", "t2"];
pub(crate) const ROOMS: [&str; 2] = ["chat-0", "chat-1"];

/// How a viewer comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// With its session.
    Session,
    /// Anew, subscribing with positions.
    Since,
}

/// What all have heard under a position, to be compared.
#[derive(Debug, Default)]
pub(crate) struct Contents(HashMap<(String, String, u64), (String, Value)>);

impl Contents {
    /// A message of a log must be what everybody else has seen there.
    pub(crate) fn check(&mut self, epoch: &str, message: &Value) -> (String, u64) {
        let room = message["room"].as_str().expect("a room").to_owned();
        let offset = message["offset"].as_u64().expect("an offset");
        let id = message["id"].as_str().expect("an id").to_owned();
        let place = (room.clone(), epoch.to_owned(), offset);
        let content = (id, message["payload"].clone());
        let known = self.0.entry(place).or_insert_with(|| content.clone());
        assert_eq!(known, &content, "two contents at {room} {epoch}:{offset}");
        (room, offset)
    }
}

/// What a viewer has of a room.
#[derive(Debug, Default)]
struct Heard {
    epoch: String,
    last: u64,
    markers: HashSet<String>,
    /// Up to here everything was in the log when the viewer last came back: it is settled.
    settled: u64,
    /// Offsets that it was told may be missing: after the first, up to the second.
    missing: Vec<(u64, u64)>,
}

/// A viewer.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) way: Way,
    secret: Option<String>,
    rooms: BTreeMap<String, Heard>,
    /// How often it was told that a room is not recovered.
    pub(crate) told_of_loss: usize,
}

impl Reader {
    pub(crate) fn new(way: Way) -> Self {
        Self {
            way,
            secret: None,
            rooms: BTreeMap::new(),
            told_of_loss: 0,
        }
    }

    /// The path to connect to, and what to say then.
    pub(crate) fn plan(&self) -> Plan {
        let since: BTreeMap<&str, String> = self
            .rooms
            .iter()
            .map(|(room, heard)| (room.as_str(), format!("{}:{}", heard.epoch, heard.last)))
            .collect();
        let subscribe =
            json!({"type": "subscribe", "taskIds": TASKS, "rooms": ROOMS, "since": since});
        match (&self.secret, self.way) {
            (Some(secret), Way::Session) => Plan {
                path: format!("/ws?session={secret}"),
                say: None,
            },
            _ => Plan {
                path: "/ws".to_owned(),
                say: Some(subscribe.to_string()),
            },
        }
    }

    /// Takes in what one connection brought. `settled`: the offsets that the logs held when the server had started.
    pub(crate) fn take(
        &mut self,
        messages: &[Value],
        settled: &HashMap<String, u64>,
        contents: &mut Contents,
    ) {
        let mut previous: HashMap<String, u64> = HashMap::new();
        for message in messages {
            match message["type"].as_str() {
                Some("connected") => self.check_greeting(message),
                Some("subscription_ack") => self.take_acknowledgement(&message["payload"], settled),
                _ if message["offset"].is_u64() => self.hear(message, &mut previous, contents),
                _ => {}
            }
        }
    }

    fn check_greeting(&mut self, message: &Value) {
        let expected = self.way == Way::Session && self.secret.is_some();
        assert_eq!(message["payload"]["resumed"], expected, "{message}");
        self.secret = message["payload"]["session"].as_str().map(str::to_owned);
    }

    fn take_acknowledgement(&mut self, payload: &Value, settled: &HashMap<String, u64>) {
        for (room, position) in payload["positions"].as_object().expect("positions") {
            let heard = self.rooms.entry(room.clone()).or_default();
            let (epoch, offset) = position.as_str().and_then(|at| at.split_once(':')).unwrap();
            let offset: u64 = offset.parse().expect("an offset");
            if payload["recovered"][room] == false {
                heard.missing.push((heard.settled, offset));
                heard.last = offset;
                self.told_of_loss += 1;
            }
            heard.epoch = epoch.to_owned();
            heard.settled = settled.get(room).copied().unwrap_or(0);
        }
    }

    fn hear(
        &mut self,
        message: &Value,
        previous: &mut HashMap<String, u64>,
        contents: &mut Contents,
    ) {
        let heard = self
            .rooms
            .get_mut(message["room"].as_str().expect("a room"));
        let heard = heard.expect("a room that was joined");
        let (room, offset) = contents.check(&heard.epoch, message);
        match previous.insert(room, offset) {
            Some(before) => assert_eq!(offset, before + 1, "a gap before {message}"),
            None => assert!(
                offset <= heard.last + 1,
                "heard up to {}, then {message}",
                heard.last
            ),
        }
        heard.last = offset;
        heard.markers.extend(marker(message));
    }

    /// Everything that was said must have been heard, or said to be missing.
    pub(crate) fn check_all(&self, said: &HashMap<(String, String), u64>) {
        for ((room, marker), offset) in said {
            let heard = &self.rooms[room];
            let is_told = |(after, to): &(u64, u64)| after < offset && offset <= to;
            assert!(
                heard.markers.contains(marker) || heard.missing.iter().any(is_told),
                "{:?} never heard {marker} at {room} {offset}; told to miss {:?}",
                self.way,
                heard.missing
            );
        }
    }
}

/// What a producer wrote into a message, to know it again.
pub(crate) fn marker(message: &Value) -> Option<String> {
    let payload = &message["payload"];
    let marker = payload["marker"].as_str().or(payload["message"].as_str());
    marker.map(str::to_owned)
}

/// How to connect.
pub(crate) struct Plan {
    path: String,
    say: Option<String>,
}

impl Plan {
    /// Connects and reads until the server is gone, or `enough` has come.
    pub(crate) fn listen(
        self,
        address: SocketAddr,
        ready: &Sender<()>,
        mut enough: impl FnMut(&Value) -> bool,
    ) -> Vec<Value> {
        let mut messages = Vec::new();
        let Some(mut viewer) = connect(address, &self.path) else {
            return messages;
        };
        let said = self.say.map(|text| viewer.socket.send(Message::text(text)));
        if said.is_some_and(|said| said.is_err()) {
            return messages;
        }
        while let Ok(message) = viewer.socket.read() {
            let Message::Text(text) = message else {
                continue;
            };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message["type"] == "subscription_ack" {
                // Nobody may be waiting for it any more.
                let _ = ready.send(());
            }
            let is_last = enough(&message);
            messages.push(message);
            if is_last {
                break;
            }
        }
        messages
    }
}

fn connect(address: SocketAddr, path: &str) -> Option<Viewer> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(crate::support::LIMIT)).ok()?;
    stream.set_nodelay(true).ok()?;
    let (socket, _) = tungstenite::client(format!("ws://{address}{path}"), stream).ok()?;
    Some(Viewer {
        socket,
        greeting: Value::Null,
    })
}
