//! Rows against tasks: whatever events make of a task comes back as it was, and goes on as if nothing had happened.

use super::*;
use crate::base::time::Span;
use crate::hub::tasks::decision;
use crate::hub::tasks::state::Listing;
use crate::hub::tasks::step;
use crate::hub::tasks::verdict::{DropReason, Verdict};
use crate::wire::message::{Control, TaskEvent, TaskPatch};
use proptest::prelude::*;

/// Later than any age.
const START_MS: u64 = 400 * 24 * 3_600_000;

fn now(ms: u64) -> Now {
    Now {
        at: Time::from_millis(START_MS + ms),
        wall_ms: 1_700_000_000_000 + ms,
    }
}

/// The same moment in another process, whose clock began later.
fn elsewhere(now: Now) -> Now {
    let shift_us = Span::from_secs(24 * 3600).as_micros();
    Now {
        at: Time::from_micros(now.at.as_micros() - shift_us),
        ..now
    }
}

/// Everything of a task that must outlive the process. Every field is named, so that a new one is not forgotten.
#[derive(Debug, PartialEq)]
struct Lasting {
    id: String,
    view: String,
    own: Vec<(String, String)>,
    numbers: [Option<u64>; 5],
    seq: u64,
    producer_seq: Option<u64>,
    flags: [bool; 3],
    lost: Option<Status>,
    since_restart: Option<Span>,
    estimator: Estimator,
    silence: Span,
}

fn lasting(task: &Task, now: Now) -> Lasting {
    let Task {
        id,
        view,
        seq,
        producer_seq,
        app_rate,
        announced,
        has_progress,
        status_before_lost,
        restarted_at,
        // Room for what is to come, not what there is.
        size_bound: _,
        estimator,
        last_event,
        // When the next message is due, and what was in the last: nobody has heard one in this life.
        last_flush: _,
        flush: _,
        is_unsaved: _,
        listing: _,
        late_look: _,
        pending_since: _,
        version: _,
        versions: _,
        changed: _,
        flushed_progress: _,
        delta_floor: _,
    } = task;
    let own = view.own.iter();
    let own = own.map(|(name, value)| (name.to_owned(), value.get().to_owned()));
    let bits = |number: Option<f64>| number.map(f64::to_bits);
    // Moments are compared by their age, so that the two may be of different processes.
    let estimator = Estimator::restored(estimator.saved(now), self::now(0));
    Lasting {
        id: id.to_string(),
        own: own.collect(),
        numbers: [
            Some(view.progress.to_bits()),
            bits(view.current),
            bits(view.total),
            bits(view.rate),
            bits(view.estimated_time_remaining),
        ],
        view: without_own(view),
        seq: *seq,
        producer_seq: *producer_seq,
        flags: [*app_rate, *announced, *has_progress],
        lost: *status_before_lost,
        since_restart: restarted_at.map(|at| now.at.saturating_since(at)),
        estimator,
        silence: now.at.saturating_since(*last_event),
    }
}

/// What is compared as text: every named field, also those that a row leaves out.
fn without_own(view: &View) -> String {
    // Destructured without `..`: a new field that is not compared does not compile.
    let View {
        status,
        progress,
        current,
        total,
        stage,
        estimated_time_remaining,
        estimated_end_at,
        message,
        result,
        error,
        attempt,
        rate,
        eta_source,
        stalled,
        started_at,
        updated_at,
        parent_id,
        meta,
        requested,
        controls,
        indeterminate,
        own: _,
    } = view;
    let numbers = (progress, current, total, attempt, rate);
    let times = (
        estimated_time_remaining,
        estimated_end_at,
        started_at,
        updated_at,
    );
    let texts = (stage, message, result, error, parent_id, meta);
    let states = (
        status,
        eta_source,
        stalled,
        requested,
        controls,
        indeterminate,
    );
    format!("{numbers:?} {times:?} {texts:?} {states:?}")
}

/// What a producer or time may do to a task.
#[derive(Debug, Clone)]
enum Step {
    Event(TaskEvent, String),
    Request(Control),
    Stall,
    Lose,
    Flush,
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (0_u32..1000).prop_map(|number| number.to_string()),
        (0.0_f64..100.0).prop_map(|number| number.to_string()),
        Just("0".to_owned()),
        Just("-0.0".to_owned()),
        Just("1e2".to_owned()),
        Just("null".to_owned()),
    ]
}

fn amount() -> impl Strategy<Value = String> {
    prop_oneof![
        number(),
        (0.0..f64::MAX).prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        Just("5e-324".to_owned()),
    ]
}

fn percent() -> impl Strategy<Value = String> {
    number().prop_map(|text| match text.parse::<f64>() {
        Ok(number) if number > 100.0 => "100".to_owned(),
        _ => text,
    })
}

fn json() -> impl Strategy<Value = String> {
    let texts = [
        "7",
        "7.0",
        "-0",
        "1E300",
        "12345678901234567890123",
        "\"7\"",
        "\"\\u00e9\\n\\\"\"",
        "true",
        "[1, 2.50]",
        "{\"a\" : {\"a\":null}, \"id\":7}",
        "{}",
        "null",
    ];
    prop::sample::select(texts.to_vec()).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    let texts = ["a", "", "an \"st\"age", "\u{7}\u{2028}é\u{1f600}", "null"];
    let text = prop::sample::select(texts.to_vec());
    text.prop_map(|text| serde_json::to_string(text).expect("text"))
}

/// Names that mean something elsewhere: in a row, in a message, in an envelope.
fn own_name() -> impl Strategy<Value = String> {
    let names = [
        "x",
        "own",
        "view",
        "v",
        "savedAt",
        "seqs",
        "room",
        "data",
        "payload",
        "taskid",
        "task_id",
        "quo\"ted",
        "line\nbreak",
        "é",
        "",
        "lost",
        "state",
    ];
    prop::sample::select(names.to_vec()).prop_map(|name| serde_json::to_string(name).expect("text"))
}

fn member() -> impl Strategy<Value = String> {
    let named = |name: &'static str, value: BoxedStrategy<String>| {
        value.prop_map(move |value| format!("\"{name}\":{value}"))
    };
    let whole = |most: u64| (0..=most).prop_map(|number| number.to_string()).boxed();
    prop_oneof![
        named("progress", percent().boxed()),
        named("current", amount().boxed()),
        named("total", amount().boxed()),
        named("stage", text().boxed()),
        named("message", text().boxed()),
        named("estimatedTimeRemaining", amount().boxed()),
        named("rate", amount().boxed()),
        named("result", json().boxed()),
        named("error", json().boxed()),
        named("meta", json().boxed()),
        named("parentId", text().boxed()),
        named("attempt", whole(3)),
        named("seq", whole(40)),
        named("restart", json_switch()),
        named("controls", controls()),
        named(
            "startedAt",
            (946_684_800_000_u64..=7_258_118_399_999)
                .prop_map(|ms| ms.to_string())
                .boxed()
        ),
        named(
            "status",
            prop::sample::select(vec!["\"pending\"", "\"running\"", "\"paused\"", "null"])
                .prop_map(str::to_owned)
                .boxed()
        ),
        (own_name(), json()).prop_map(|(name, value)| format!("{name}:{value}")),
    ]
}

fn json_switch() -> BoxedStrategy<String> {
    prop::sample::select(vec!["true", "false"])
        .prop_map(str::to_owned)
        .boxed()
}

fn controls() -> BoxedStrategy<String> {
    let texts = vec!["[]", "[\"cancel\"]", "[\"resume\",\"pause\"]", "null"];
    prop::sample::select(texts).prop_map(str::to_owned).boxed()
}

fn step() -> impl Strategy<Value = Step> {
    use TaskEvent::*;
    let kinds = vec![
        Started, Progress, Progress, Progress, Progress, Paused, Completed, Failed, Cancelled,
    ];
    let body = prop::collection::vec(member(), 0..5).prop_map(|members| members.join(","));
    let event = (prop::sample::select(kinds), body)
        .prop_map(|(kind, body)| Step::Event(kind, format!("{{{body}}}")));
    prop_oneof![
        12 => event,
        1 => prop::sample::select(vec![Control::Cancel, Control::Pause, Control::Resume])
            .prop_map(Step::Request),
        1 => Just(Step::Stall),
        1 => Just(Step::Lose),
        2 => Just(Step::Flush),
    ]
}

/// Does one step; what became of it.
fn go(task: &mut Task, step: &Step, now: Now) -> Option<Result<Verdict, DropReason>> {
    match step {
        Step::Event(kind, body) => {
            let patch: TaskPatch = serde_json::from_str(body).ok()?;
            let verdict = decision::judge(task, *kind, &patch, now, false);
            if let Ok(verdict) = verdict {
                if let Some(status) = decision::revival_by(task, *kind, verdict, &patch) {
                    step::revive(task, status, now);
                }
                step::apply(task, *kind, verdict, patch, now);
            }
            return Some(verdict);
        }
        Step::Request(control) if decision::judge_request(task, *control) == Ok(true) => {
            step::apply_request(task, *control, "client_1".into(), now);
        }
        Step::Stall if task.view.status == Status::Running => step::set_stalled(task, true),
        Step::Lose if matches!(task.view.status, Status::Running | Status::Pending) => {
            step::lose(task, "no news", now);
        }
        Step::Flush => {
            task.refresh_estimate(now);
            task.commit();
        }
        _ => {}
    }
    None
}

fn steps(most: usize) -> impl Strategy<Value = Vec<(u64, Step)>> {
    prop::collection::vec((0_u64..90_000, step()), 0..most)
}

/// What a viewer who comes now is sent, with members in no particular order.
fn shown(task: &Task) -> serde_json::Value {
    serde_json::from_str(&task.whole(false)).expect("a state is JSON")
}

/// What a viewer who has seen the last state is sent.
fn told(task: &mut Task, now: Now) -> serde_json::Value {
    let seen = task.version();
    task.refresh_estimate(now);
    task.commit();
    serde_json::from_str(&task.delta(seen)).expect("a delta is JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_task_comes_back_as_it_was(steps in steps(30), away_ms in 0_u64..100_000_000) {
        let mut task = Task::new("t".into(), now(0).at);
        let mut ms = 0;
        for (pause, step) in &steps {
            ms += pause;
            go(&mut task, step, now(ms));
        }
        let row = task.saved(now(ms));
        let back = Task::restored("t", &row, now(ms)).expect("a row");
        prop_assert_eq!(lasting(&back, now(ms)), lasting(&task, now(ms)));
        prop_assert_eq!(back.saved(now(ms)), row.clone(), "the second row is the first");
        prop_assert_eq!(shown(&back), shown(&task));
        prop_assert_eq!(back.listing, Listing::Unlisted);
        // The time that the server was away has passed for the task.
        let later = elsewhere(now(ms + away_ms));
        let back = Task::restored("t", &row, later).expect("a row");
        prop_assert_eq!(lasting(&back, later), lasting(&task, now(ms + away_ms)));
    }

    #[test]
    fn a_restart_changes_nothing_of_what_follows(before in steps(20), after in steps(20)) {
        let mut task = Task::new("t".into(), now(0).at);
        let mut ms = 0;
        for (pause, step) in &before {
            ms += pause;
            go(&mut task, step, now(ms));
        }
        go(&mut task, &Step::Flush, now(ms));
        let row = task.saved(now(ms));
        let mut back = Task::restored("t", &row, elsewhere(now(ms))).expect("a row");
        for (pause, step) in &after {
            ms += pause;
            let (here, there) = (now(ms), elsewhere(now(ms)));
            let verdicts = [go(&mut task, step, here), go(&mut back, step, there)];
            prop_assert_eq!(verdicts[0], verdicts[1], "{:?}", step);
            prop_assert_eq!(lasting(&back, there), lasting(&task, here), "{:?}", step);
            prop_assert_eq!(told(&mut back, there), told(&mut task, here), "{:?}", step);
        }
    }
}

#[test]
fn unknown_and_zero_are_told_apart_after_a_restart() {
    for (body, current, total) in [
        (r#"{"progress":12}"#, None, None),
        (r#"{"current":0}"#, Some(0.0), None),
        (r#"{"current":0,"total":0}"#, Some(0.0), Some(0.0)),
        (r#"{"total":5}"#, None, Some(5.0)),
    ] {
        let mut task = Task::new("t".into(), now(0).at);
        go(
            &mut task,
            &Step::Event(TaskEvent::Progress, body.into()),
            now(0),
        );
        let back = Task::restored("t", &task.saved(now(0)), now(0)).expect("a row");
        assert_eq!((back.view.current, back.view.total), (current, total));
    }
}

#[test]
fn a_percent_only_task_has_a_rate_after_a_restart() {
    let mut task = Task::new("t".into(), now(0).at);
    for second in 0..=20 {
        let body = format!("{{\"progress\":{}}}", second * 2);
        let step = Step::Event(TaskEvent::Progress, body);
        go(&mut task, &step, now(second * 1000));
    }
    let mut back =
        Task::restored("t", &task.saved(now(20_000)), elsewhere(now(20_000))).expect("a row");
    task.refresh_estimate(now(20_000));
    back.refresh_estimate(elsewhere(now(20_000)));
    assert_eq!(back.view.rate, Some(2.0));
    assert_eq!(
        back.view.estimated_time_remaining,
        task.view.estimated_time_remaining
    );
}

#[test]
fn a_row_that_is_none_says_what_is_wrong() {
    for (row, fault) in [
        ("{}", "missing field `state`"),
        ("[]", "invalid length 0"),
        (r#"{"v":3}"#, "version 3 is not known"),
        (r#"{"v":2}"#, "missing field `savedAt`"),
        (r#"{"state":{"taskId":"t"}}"#, "it names no status"),
        (r#"{"state":{"status":"asleep"}}"#, "it names no status"),
    ] {
        let said = Task::restored("t", row, now(0)).unwrap_err().to_string();
        assert!(said.contains(fault), "{row}: {said}");
    }
}

#[test]
fn an_estimator_of_another_form_begins_anew() {
    let mut task = Task::new("t".into(), now(0).at);
    let step = Step::Event(TaskEvent::Progress, r#"{"progress":5}"#.into());
    go(&mut task, &step, now(0));
    let mut row: serde_json::Value = serde_json::from_str(&task.saved(now(0))).expect("JSON");
    row["estimator"] = serde_json::json!([1, "another"]);
    let back = Task::restored("t", &row.to_string(), now(0)).expect("a row");
    assert_eq!(back.view.progress, 5.0);
    assert_eq!(back.estimator, Estimator::default());
}

/// A row of the first version around a state.
fn first(state: &str) -> String {
    format!(
        r#"{{"state":{state},"seq":4,"producerSeq":3,"updatedAt":1700000000000,"etaSource":"app","stalled":true,
            "requested":"pause","requestedAt":5,"appRate":true,"announced":true}}"#
    )
}

#[test]
fn a_row_of_the_first_version_keeps_all_that_it_says() {
    let state = r#"{"taskId":"t","seq":4,"status":"running","progress":41.7,"current":3,"total":9.5,"stage":"an \"st\"age",
        "estimatedTimeRemaining":50000.5,"message":"m","attempt":2,"rate":120.25,"etaSource":"app","stalled":true,
        "startedAt":1700000000123,"updatedAt":1700000000000,"parentId":"p","meta":{"a":[1, 2.50]},"requested":"pause",
        "id":"7","spelled":  [1, 2.50],"indeterminate":"mine"}"#;
    let task = Task::restored("t", &first(state), now(0)).expect("a row");
    let view = &task.view;
    assert_eq!(
        (view.progress, view.current, view.total),
        (41.7, Some(3.0), Some(9.5))
    );
    assert_eq!(view.stage.as_deref(), Some("an \"st\"age"));
    assert_eq!((task.seq, task.producer_seq), (4, Some(3)));
    assert_eq!(
        (view.rate, view.estimated_time_remaining),
        (Some(120.25), Some(50000.5))
    );
    let requested = view.requested.as_ref();
    assert_eq!(
        requested.map(|requested| (requested.control, requested.at)),
        Some((Control::Pause, 5))
    );
    assert_eq!(view.started_at, Some(1_700_000_000_123));
    assert_eq!(task.last_event, now(0).at);
    assert_eq!(
        task.estimator.app_remaining_ms(now(20_000).at),
        Some(Some(30_000.5))
    );
    assert!(task.has_progress && task.announced && task.app_rate && view.stalled);
    let own = view.own.iter().map(|(name, value)| (name, value.get()));
    let own: Vec<_> = own.collect();
    assert_eq!(own, [("id", "\"7\""), ("spelled", "[1, 2.50]")]);
    let again = Task::restored("t", &task.saved(now(9)), now(9)).expect("a row");
    assert_eq!(lasting(&again, now(9)), lasting(&task, now(9)));
}

#[test]
fn a_field_of_the_first_version_that_is_unreadable_costs_no_task() {
    for (member, expected) in [
        (
            r#""startedAt":1.8446744073709552e+19"#,
            r#""startedAt":9007199254740991"#,
        ),
        (
            r#""startedAt":9007199254740992.0"#,
            r#""startedAt":9007199254740991"#,
        ),
        (r#""progress":117"#, r#""progress":100"#),
        (r#""attempt":-1"#, r#""status":"completed""#),
        (r#""stage":7"#, r#""stage":"""#),
        (r#""message":null"#, r#""status":"completed""#),
    ] {
        let state = format!(r#"{{"taskId":"t","status":"completed",{member},"result":"kept"}}"#);
        let task = Task::restored("t", &first(&state), now(0)).expect("a row");
        let shown = task.whole(false);
        assert!(
            shown.contains(expected) && shown.contains("kept"),
            "{shown}"
        );
    }
}
