//! What one frame, request, envelope or compression costs: the price of a message before anybody is sent it.

mod support;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use joblight::internals::base::MessageIds;
use joblight::internals::wire::Input;
use joblight::internals::wire::http;
use joblight::internals::wire::{Deflater, MessageKind, Window, websocket};
use joblight::internals::wire::{Encoding, Envelope, RoomOffset, Variant};
use std::hint::black_box;
use std::time::Duration;
use support::{TEXT, masked};

/// One progress message's payload.
const PROGRESS: &str = concat!(
    r#"{"taskId":"import-2024-07","status":"running","progress":42.5,"processed":4250,"total":10000,"#,
    r#""message":"page 4250","rate":118.2,"etaMs":48646}"#
);

/// JSON as a server sends it, of about `len` bytes: the same keys again and again, with other numbers.
fn json(len: usize) -> String {
    let mut text = String::from("[");
    for number in 0u64.. {
        if text.len() + 2 >= len {
            break;
        }
        let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.push_str(&format!(r#"{{"itemId":"{noise:x}","done":{number}}},"#));
    }
    text.pop();
    text.push(']');
    text
}

fn read_frames(criterion: &mut Criterion) {
    let limits = websocket::FrameLimits {
        max_message_size: 1 << 20,
        compression: false,
    };
    let mut group = criterion.benchmark_group("codec/read_frame");
    for len in [100, 1024] {
        let frame = masked(TEXT, "a".repeat(len).as_bytes());
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("{len}"), |bencher| {
            let mut reader = websocket::Reader::default();
            bencher.iter_batched_ref(
                || frame.clone(),
                |bytes| {
                    let mut input = Input::new(bytes);
                    let event = reader.poll_event(&mut input, &limits);
                    assert!(matches!(
                        event,
                        Ok(Some(websocket::ReaderEvent::Message(_)))
                    ));
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn encode_frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/encode_frame");
    for len in [100, 1024] {
        let payload = vec![b'a'; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("{len}"), |bencher| {
            bencher.iter(|| websocket::encode(MessageKind::Text, black_box(&payload)));
        });
    }
    group.finish();
}

fn parse_requests(criterion: &mut Criterion) {
    let request = format!(
        "POST /api/events HTTP/1.1\r\nHost: localhost:3000\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{PROGRESS}",
        PROGRESS.len()
    );
    let limits = http::ParserLimits::default();
    criterion.bench_function("codec/parse_request", |bencher| {
        let mut parser = http::Parser::new();
        let mut bytes = request.clone().into_bytes();
        bencher.iter(|| {
            let mut input = Input::new(&mut bytes);
            let event = parser.poll_event(&mut input, &limits, |_| http::BodyMode::Collect {
                max_bytes: 1 << 20,
            });
            assert!(matches!(event, Ok(Some(http::ParserEvent::Request { .. }))));
        });
    });
}

fn encode_envelopes(criterion: &mut Criterion) {
    let id = MessageIds::new("msg_abcdef_".to_owned()).next();
    let envelope = Envelope {
        kind: "task_progress",
        payload: PROGRESS,
        timestamp: 1_700_000_000_000,
        id: Some(&id),
        reply_to: None,
        room_offset: Some(RoomOffset {
            room: "task:import-2024-07",
            offset: 17,
        }),
    };
    let mut group = criterion.benchmark_group("codec/envelope");
    for (name, encoding) in [("json", Encoding::Json), ("msgpack", Encoding::MessagePack)] {
        let variant = Variant {
            encoding,
            ..Variant::default()
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(&envelope).encode(variant));
        });
    }
    group.finish();
}

fn deflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/deflate");
    for len in [200, 1024, 16 * 1024] {
        let text = json(len);
        let mut deflater = Deflater::default();
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("{len}"), |bencher| {
            bencher.iter(|| {
                deflater
                    .compress(Window::Bits15, black_box(text.as_bytes()))
                    .len()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = read_frames, encode_frames, parse_requests, encode_envelopes, deflate
}
criterion_main!(benches);
