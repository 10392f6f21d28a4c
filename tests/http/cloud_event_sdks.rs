//! CloudEvents as the SDKs for Node (npm) and Python (PyPI) make them and their platforms send them: none is lost.

use crate::support::Running;
use crate::support::optional::{node_cloud_events, python_cloud_events, skip};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::process::Command;

/// Sends each event in each mode and prints `subject`, a tab and the status.
const NODE: &str = r#"
const { CloudEvent, HTTP } = require('cloudevents');
const http = require('http');
const send = (headers, body) => new Promise((resolve, reject) => {
  const request = http.request(process.argv[1] + '/api/events', { method: 'POST', headers }, answer => {
    answer.resume();
    answer.on('end', () => resolve(answer.statusCode));
  });
  request.on('error', reject);
  request.end(body);
});
const event = (subject, data, more) => new CloudEvent({
  type: 'com.example.task_progress', source: '/node', subject, data, ...more });
const say = (name, status) => console.log(name + '\t' + status);
(async () => {
  const data = { progress: 40, message: 'caf\u00e9', own: { a: [1.5] } };
  const bytes = Buffer.from(JSON.stringify(data));
  for (const [subject, payload, more] of [
    ['object', data, {}],
    ['typed', data, { datacontenttype: 'application/json; charset=utf-8' }],
    ['bytes', bytes, { datacontenttype: 'application/json' }],
  ]) {
    for (const mode of ['structured', 'binary']) {
      const message = HTTP[mode](event(mode + '-' + subject, payload, more));
      say(mode + '-' + subject, await send(message.headers, message.body));
    }
  }
  const batch = ['batch-1', 'batch-2'].map(subject => event(subject, data));
  const headers = { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' };
  say('batch', await send(headers, JSON.stringify(batch)));
  // What is not ASCII in a header leaves Node as UTF-8 beside a text and as Latin-1 beside bytes; both are forbidden.
  const loose = HTTP.binary(event('caf\u00e9', data));
  say('latin', await send(loose.headers, Buffer.from(loose.body)));
  say('utf8', await send(loose.headers, loose.body));
  const escaped = HTTP.binary(event(encodeURIComponent('caf\u00e9 \u{1f600}'), data));
  say('escaped', await send(escaped.headers, escaped.body));
  const text = HTTP.structured(event('text', 'plain words', { datacontenttype: 'text/plain' }));
  say('text', await send(text.headers, text.body));
  const again = event('repeat', data);
  for (const mode of ['structured', 'binary']) {
    const message = HTTP[mode](again);
    say('repeat', await send(message.headers, message.body));
  }
})();
"#;

/// The same with both interfaces of the other SDK.
const PYTHON: &str = r#"
import json, sys, urllib.request, urllib.error
from cloudevents.core.v1.event import CloudEvent
from cloudevents.core.bindings import http
from cloudevents.v1.http import CloudEvent as OldEvent, to_binary, to_structured

def send(name, headers, body):
    request = urllib.request.Request(sys.argv[1] + '/api/events', data=body, headers=headers, method='POST')
    try:
        status = urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        status = error.code
    print(name + '\t' + str(status))

data = {'progress': 40, 'message': 'caf\u00e9', 'own': {'a': [1.5]}}
raw = json.dumps(data).encode()

def event(subject, payload, number=[0], **more):
    number[0] += 1
    return CloudEvent({'type': 'com.example.task_progress', 'source': '/python', 'id': str(number[0]),
                       'specversion': '1.0', 'subject': subject, **more}, payload)

for subject, payload, more in [('object', data, {}), ('typed', data, {'datacontenttype': 'application/json; charset=utf-8'}),
                               ('bytes', raw, {'datacontenttype': 'application/json'})]:
    for mode, convert in [('structured', http.to_structured_event), ('binary', http.to_binary_event)]:
        message = convert(event(mode + '-' + subject, payload, **more))
        send(mode + '-' + subject, message.headers, message.body)
message = http.to_binary_event(event('caf\u00e9 \U0001f600', data))
send('escaped', message.headers, message.body)
message = http.to_structured_event(event('text', 'plain words', datacontenttype='text/plain'))
send('text', message.headers, message.body)
batch = [json.loads(http.to_structured_event(event(subject, data)).body) for subject in ('batch-1', 'batch-2')]
send('batch', {'content-type': 'application/cloudevents-batch+json'}, json.dumps(batch).encode())
for subject, payload in [('object', data), ('bytes', raw)]:
    for mode, convert in [('structured', to_structured), ('binary', to_binary)]:
        old = OldEvent({'type': 'task_progress', 'source': '/old', 'subject': f'old-{mode}-{subject}',
                        'datacontenttype': 'application/json'}, payload)
        send(f'old-{mode}-{subject}', *convert(old))
"#;

/// Runs a program that sends events; what each was answered with.
fn answers(server: &Running, mut command: Command) -> Vec<(String, u16)> {
    let output = command
        .arg(format!("http://{}", server.http))
        .env("no_proxy", "*")
        .output()
        .expect("the program starts");
    let (text, complaint) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{complaint}");
    let line = |line: &str| {
        let (name, status) = line.split_once('\t')?;
        Some((name.to_owned(), status.parse().ok()?))
    };
    text.lines()
        .map(|text| line(text).unwrap_or_else(|| panic!("{text}")))
        .collect()
}

/// Every event must have been taken whole, but for those that no JSON or no UTF-8 can come out of.
fn check(server: &Running, answers: &[(String, u16)], least: usize) {
    assert!(answers.len() >= least, "{answers:?}");
    for (name, status) in answers {
        let expected = match name.as_str() {
            "text" | "latin" => 400,
            _ => 200,
        };
        assert_eq!(*status, expected, "{name}");
    }
    let subjects = answers
        .iter()
        .flat_map(|(name, status)| match name.as_str() {
            _ if *status != 200 => vec![],
            "batch" => vec!["batch-1", "batch-2"],
            "utf8" => vec!["caf\u{e9}"],
            "escaped" => vec!["caf\u{e9} \u{1f600}"],
            name => vec![name],
        });
    for subject in subjects {
        let task = utf8_percent_encode(subject, NON_ALPHANUMERIC);
        let shown = server.document(&format!("/api/tasks/{task}"));
        assert_eq!(
            (&shown["progress"], &shown["message"], &shown["own"]),
            (&json!(40), &json!("caf\u{e9}"), &json!({"a": [1.5]})),
            "{subject}"
        );
    }
    let tasks = server.document("/api/tasks");
    for task in tasks["tasks"].as_array().expect("a list") {
        assert_ne!(task["taskId"], Value::Null);
        assert!(
            !task["taskId"]
                .as_str()
                .is_some_and(|id| id.contains(['?', '\u{fffd}'])),
            "{task}"
        );
    }
}

#[test]
fn events_of_the_node_sdk() {
    let Some(modules) = node_cloud_events() else {
        return skip("Node's `cloudevents` is not installed");
    };
    let server = Running::start(|_| {});
    let mut node = Command::new("node");
    node.args(["-e", NODE]).env("NODE_PATH", modules);
    check(&server, &answers(&server, node), 13);
    let stats = server.document("/api/broadcaster/stats");
    assert_eq!(
        stats["droppedEvents"], 1,
        "the same event in the other mode"
    );
}

#[test]
fn events_of_the_python_sdk() {
    let Some(path) = python_cloud_events() else {
        return skip("Python's `cloudevents` is not installed");
    };
    let server = Running::start(|_| {});
    let mut python = Command::new(path);
    python.args(["-c", PYTHON]);
    check(&server, &answers(&server, python), 13);
}
