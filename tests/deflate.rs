//! permessage-deflate with a client that is not ours: Node's `ws`, once for each way to offer it and once without, all
//! in one room. Each is told the same, in the form that its offer allows, and is understood when it compresses.

mod support;

use joblight::config::Publish;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use support::Running;
use support::optional::{node_modules, skip};

const TASK: &str = "t";
const ROOM: &str = "r";
/// `websocket.compression_threshold`.
const THRESHOLD: usize = 100;
/// The viewer that offers nothing and says nothing: it hears everything, as it is.
const PLAIN: &str = "plain";
/// The type of the last message of all.
const LAST: &str = "last";
/// How many messages each other viewer sends.
const SPEECHES: usize = 3;

/// What a viewer is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Plain,
    /// References reach back 512 bytes.
    Narrow,
    /// References reach back 32 KiB.
    Wide,
}

/// A viewer: `perMessageDeflate` of `ws`, the parameters of the answer beyond the two that it always has, and what it
/// is sent then.
struct Offer {
    name: &'static str,
    options: Value,
    answer: Option<&'static str>,
    form: Form,
}

fn offers() -> Vec<Offer> {
    let offer = |name, options, answer, form| Offer {
        name,
        options,
        answer,
        form,
    };
    let bits = |bits: u8| json!({"serverMaxWindowBits": bits});
    let forgetful = json!({"clientNoContextTakeover": true});
    let strict = json!({"serverNoContextTakeover": true, "clientNoContextTakeover": true, "serverMaxWindowBits": 15});
    let brief = json!({"clientMaxWindowBits": 9});
    let (of_8, of_9) = ("server_max_window_bits=8", "server_max_window_bits=9");
    let (of_12, of_15) = ("server_max_window_bits=12", "server_max_window_bits=15");
    vec![
        offer("default", json!(true), Some(""), Form::Wide),
        offer("forgetful", forgetful, Some(""), Form::Wide),
        offer("brief", brief, Some(""), Form::Wide),
        offer("strict", strict, Some(of_15), Form::Wide),
        offer("middling", bits(12), Some(of_12), Form::Narrow),
        offer("narrow", bits(9), Some(of_9), Form::Narrow),
        offer("narrowest", bits(8), Some(of_8), Form::Plain),
        offer(PLAIN, json!(false), None, Form::Plain),
    ]
}

#[test]
fn every_way_to_offer_compression_hears_the_same() {
    let server = Running::start(|config| {
        config.websocket.enable_compression = true;
        config.websocket.compression_threshold = THRESHOLD;
        config.websocket.publish = Publish::Anybody;
        config.broadcaster.broadcast_interval = 0;
    });
    let offers = offers();
    let Some(mut viewers) = Viewers::start(&server, &offers) else {
        return skip("there is no Node with its ws");
    };
    check_answers(&offers, &viewers.answers);

    publish(&server, &mut viewers);
    let speakers = || offers.iter().filter(|offer| offer.name != PLAIN);
    for offer in speakers() {
        viewers.speak(offer);
    }
    let spoken = speakers().count() * SPEECHES;
    viewers.read_until(|heard| of_kind(&heard[PLAIN], "room_broadcast") == spoken);
    broadcast(&server, LAST, json!(null));
    viewers.read_until_all_heard(LAST);
    let stories = viewers.leave();

    let whole = room_story(&stories[PLAIN]);
    assert_eq!(kinds(&whole), expected_kinds(spoken));
    for offer in &offers {
        let story = &stories[offer.name];
        let own = &story[0].message["payload"]["clientId"];
        assert!(own.is_string(), "{own}");
        let others = |message: &&&Value| message["payload"]["from"] != *own;
        let expected: Vec<&Value> = whole.iter().filter(others).copied().collect();
        assert_eq!(room_story(story), expected, "{}", offer.name);
        check_forms(offer, story);
    }
    check_windows(&stories);
}

/// A message as it came.
struct Heard {
    message: Value,
    /// The length of its text.
    length: usize,
    /// The length of its payload on the wire.
    wire: usize,
    /// Whether its frame said that it is compressed (RFC 7692 section 6).
    rsv1: bool,
}

type Stories = BTreeMap<String, Vec<Heard>>;

/// All viewers, in one Node.
struct Viewers {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// `Sec-WebSocket-Extensions` of the responses, `null` where there is none.
    answers: BTreeMap<String, Value>,
    stories: Stories,
}

impl Viewers {
    /// Starts them and waits until all are in their rooms; `None` where there is no Node, or no `ws`.
    fn start(server: &Running, offers: &[Offer]) -> Option<Self> {
        let options: BTreeMap<_, _> = offers
            .iter()
            .map(|offer| (offer.name, &offer.options))
            .collect();
        let subscribe = json!({"type": "subscribe", "taskIds": [TASK], "rooms": [ROOM]});
        let mut child = Command::new("node")
            .env("NODE_PATH", node_modules()?)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/deflate/viewers.js"
            ))
            .arg(format!("ws://{}/ws", server.websocket))
            .args([json!(options).to_string(), subscribe.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let output = child.stdout.take().expect("it is piped");
        let mut viewers = Self {
            input: child.stdin.take(),
            child,
            lines: BufReader::new(output).lines(),
            answers: BTreeMap::new(),
            stories: offers
                .iter()
                .map(|offer| (offer.name.to_owned(), Vec::new()))
                .collect(),
        };
        viewers.read_until_all_heard("subscription_ack");
        Some(viewers)
    }

    /// Reads a line and keeps what it tells; `None` when the viewers have left.
    fn read(&mut self) -> Option<Value> {
        let line = self.lines.next()?.expect("a line");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        let viewer = line["viewer"].as_str().expect("a name");
        if let Some(text) = line["text"].as_str() {
            let heard = Heard {
                message: serde_json::from_str(text).expect("JSON"),
                length: text.len(),
                wire: line["wire"].as_u64().expect("a length") as usize,
                rsv1: line["rsv1"].as_bool().expect("a bit"),
            };
            self.stories
                .get_mut(viewer)
                .expect("a viewer of ours")
                .push(heard);
        } else if let Some(answer) = line.get("extensions") {
            self.answers.insert(viewer.to_owned(), answer.clone());
        }
        Some(line)
    }

    fn read_until(&mut self, is_enough: impl Fn(&Stories) -> bool) {
        while !is_enough(&self.stories) {
            self.read().expect("the viewers go on");
        }
    }

    fn read_until_all_heard(&mut self, kind: &str) {
        self.read_until(|stories| stories.values().all(|story| of_kind(story, kind) > 0));
    }

    /// Has a viewer say something to the room; its length, and the bytes that it took on the wire.
    fn say(&mut self, viewer: &str, message: Value) -> (usize, usize) {
        let said = json!({"type": "room_broadcast", "room": ROOM, "message": message}).to_string();
        let line = json!({"viewer": viewer, "text": said});
        writeln!(self.input.as_mut().expect("it is piped"), "{line}").expect("the line leaves");
        loop {
            let line = self.read().expect("the viewers go on");
            if let Some(sent) = line["sent"].as_u64() {
                return (said.len(), sent as usize);
            }
        }
    }

    /// Has a viewer say something long, the same again, which must not refer to it, and something short.
    fn speak(&mut self, offer: &Offer) {
        for message in [long(offer.name), long(offer.name)] {
            let (length, sent) = self.say(offer.name, message);
            assert!(sent < length, "{}: {sent} of {length}", offer.name);
        }
        let (length, sent) = self.say(offer.name, json!(offer.name));
        assert!(sent > length, "{}: {sent} of {length}", offer.name);
    }

    /// Has all leave in good order; what they heard.
    fn leave(mut self) -> Stories {
        self.input = None;
        while self.read().is_some() {}
        assert!(self.child.wait().expect("it ends").success());
        std::mem::take(&mut self.stories)
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        // It has ended by itself, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Over 1 KB whose second half repeats the first, from farther than 512 bytes away.
fn long(name: &str) -> Value {
    let words = (1..72_u32).map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761)));
    let half: String = words.collect();
    json!({"name": name, "one": half, "other": half})
}

fn broadcast(server: &Running, kind: &str, payload: Value) {
    server.post(
        &format!("/api/rooms/{ROOM}/broadcast"),
        json!({"type": kind, "payload": payload}),
    );
}

/// What is published over HTTP; each message of the task is heard before the next.
fn publish(server: &Running, viewers: &mut Viewers) {
    for _ in 0..2 {
        broadcast(server, "long", long("room"));
        broadcast(server, "short", json!(1));
    }
    for (verb, kind, body) in [
        ("started", "task_started", json!({"total": 50})),
        (
            "progress",
            "task_progress",
            json!({"current": 10, "message": "a tenth and another"}),
        ),
        (
            "completed",
            "task_completed",
            json!({"result": long("result")}),
        ),
    ] {
        server.post(&format!("/api/tasks/{TASK}/{verb}"), body);
        viewers.read_until_all_heard(kind);
    }
}

fn expected_kinds(spoken: usize) -> Vec<&'static str> {
    let mut kinds = vec!["long", "short", "long", "short"];
    kinds.extend(["task_started", "task_progress", "task_completed"]);
    kinds.extend(std::iter::repeat_n("room_broadcast", spoken));
    kinds.push(LAST);
    kinds
}

fn of_kind(story: &[Heard], kind: &str) -> usize {
    story
        .iter()
        .filter(|heard| heard.message["type"] == kind)
        .count()
}

/// What came after the greeting and the acknowledgement.
fn room_story(story: &[Heard]) -> Vec<&Value> {
    story[2..].iter().map(|heard| &heard.message).collect()
}

fn kinds<'a>(story: &[&'a Value]) -> Vec<&'a str> {
    story
        .iter()
        .map(|message| message["type"].as_str().expect("a type"))
        .collect()
}

/// RFC 7692 section 7.1: a window that was asked for is granted, none is mentioned that was not, and
/// `server_no_context_takeover` is there for all, asked for or not.
fn check_answers(offers: &[Offer], answers: &BTreeMap<String, Value>) {
    for offer in offers {
        let answer = answers[offer.name].as_str();
        let parameters = answer.map(|answer| answer.split(';').map(str::trim).collect());
        let expected: Option<BTreeSet<&str>> = offer.answer.map(|own| {
            let always = [
                "permessage-deflate",
                "server_no_context_takeover",
                "client_no_context_takeover",
            ];
            always
                .into_iter()
                .chain([own])
                .filter(|parameter| !parameter.is_empty())
                .collect()
        });
        assert_eq!(parameters, expected, "{}", offer.name);
    }
}

/// Compressed is what reaches the threshold, if the viewer takes it, and nothing else.
fn check_forms(offer: &Offer, story: &[Heard]) {
    for heard in story {
        let about = format!("{}: {}", offer.name, heard.message);
        let is_compressed = offer.form != Form::Plain && heard.length >= THRESHOLD;
        assert_eq!(heard.rsv1, is_compressed, "{about}");
        if !is_compressed {
            assert_eq!(heard.wire, heard.length, "{about}");
        }
        match heard.message["type"].as_str() {
            Some("long") => {
                assert!(heard.length > 1024, "{about}");
                assert!(!is_compressed || heard.wire < heard.length, "{about}");
            }
            Some("short") => assert!(heard.length < THRESHOLD, "{about}"),
            _ => {}
        }
    }
}

/// The repetition is out of a narrow window's reach, and nobody is sent what only another can inflate.
fn check_windows(stories: &Stories) {
    let sizes = |form: Form| {
        let named = offers().into_iter().filter(move |offer| offer.form == form);
        named
            .flat_map(|offer| &stories[offer.name])
            .filter(|heard| heard.message["type"] == "long")
            .map(|heard| heard.wire)
            .collect::<BTreeSet<usize>>()
    };
    let (wide, narrow) = (sizes(Form::Wide), sizes(Form::Narrow));
    assert!(wide.last() < narrow.first(), "{wide:?} and {narrow:?}");
    assert!(
        narrow.last() < sizes(Form::Plain).first(),
        "{narrow:?} is no gain"
    );
}
