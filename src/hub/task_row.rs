//! A task as the store keeps it: its whole state, and what only the server knows of it.

use super::size::Ledger;
use super::task::{EtaSource, Requested, Task};
use crate::base::time::{Now, Time};
use crate::wire::message::patch::StoredPatch;
use crate::wire::message::{Control, Status, TaskPatch};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TaskRow<'a> {
    #[serde(borrow)]
    state: Cow<'a, RawValue>,
    seq: u64,
    producer_seq: Option<u64>,
    updated_at: u64,
    eta_source: Option<Cow<'a, str>>,
    stalled: bool,
    requested: Option<Cow<'a, str>>,
    requested_at: u64,
    #[serde(default)]
    requested_by: Option<Cow<'a, str>>,
    app_rate: bool,
    announced: bool,
}

impl Task {
    /// The task's row.
    pub fn saved(&self) -> String {
        let view = &self.view;
        let state = RawValue::from_string(self.whole(false));
        let row = TaskRow {
            state: Cow::Owned(state.expect("a state is written as JSON")),
            seq: self.seq,
            producer_seq: self.producer_seq,
            updated_at: view.updated_at,
            eta_source: view.eta_source.map(|source| source.as_str().into()),
            stalled: view.stalled,
            requested: view
                .requested
                .as_ref()
                .map(|pending| pending.control.as_str().into()),
            requested_at: view.requested.as_ref().map_or(0, |pending| pending.at),
            requested_by: view.requested.as_ref().map(|pending| (&*pending.by).into()),
            app_rate: self.app_rate,
            announced: self.announced,
        };
        serde_json::to_string(&row).expect("a row is plain JSON")
    }

    /// The task of a row; what is wrong with the row when it is none.
    pub fn restored(id: &str, row: &str, now: Now) -> Result<Self, serde_json::Error> {
        let row: TaskRow<'_> = serde_json::from_str(row)?;
        let StoredPatch(patch) = serde_json::from_str(row.state.get())?;
        // Ages go on from before the restart.
        let age_ms = now.wall_ms.saturating_sub(row.updated_at);
        let last_event = now
            .at
            .as_micros()
            .saturating_sub(age_ms.saturating_mul(1000));
        let mut task = Self::new(id.into(), Time::from_micros(last_event));
        (task.seq, task.producer_seq) = (row.seq, row.producer_seq);
        (task.app_rate, task.announced) = (row.app_rate, row.announced);
        task.view.updated_at = row.updated_at;
        task.view.stalled = row.stalled;
        task.view.eta_source = row.eta_source.as_deref().and_then(EtaSource::from_word);
        let control = row.requested.as_deref().and_then(Control::from_word);
        task.view.requested = control.map(|control| {
            let by = row.requested_by.as_deref().unwrap_or_default().into();
            let at = row.requested_at;
            Box::new(Requested { control, by, at })
        });
        task.fill(patch);
        if task.view.status == Status::Running {
            task.estimator.resume(now.at);
        }
        task.commit();
        Ok(task)
    }

    fn fill(&mut self, patch: TaskPatch) {
        let view = &mut self.view;
        view.status = patch.status.unwrap_or_default();
        view.progress = patch.progress.into_value().unwrap_or(0.0);
        view.current = patch.current.into_value();
        view.total = patch.total.into_value();
        view.stage = patch.stage.into_value();
        view.estimated_time_remaining = patch.estimated_time_remaining.into_value();
        view.message = patch.message.into_value();
        view.result = patch.result.into_value();
        view.error = patch.error.into_value();
        view.attempt = patch.attempt;
        view.rate = patch.rate.into_value();
        view.started_at = patch.started_at.into_value();
        view.parent_id = patch.parent_id.into_value();
        view.meta = patch.meta.into_value();
        view.controls = patch.controls.into_value();
        for (name, value) in patch.extra {
            view.own.set(name, value.into_value(), 0);
        }
        self.size_bound = Ledger::of(self).bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::rules;
    use crate::wire::message::TaskEvent;

    fn now(ms: u64) -> Now {
        Now {
            at: Time::from_millis(ms),
            wall_ms: 1_000_000 + ms,
        }
    }

    #[test]
    fn a_task_comes_back_as_it_was() {
        let mut task = Task::new("t".into(), Time::ZERO);
        let patch = r#"{"seq":7,"total":9.5,"current":2,"stage":"an \"st\"age","meta":{"a":[1]},"own":true,"parentId":"p",
            "attempt":3,"message":"m","rate":2}"#;
        let patch: TaskPatch = serde_json::from_str(patch).expect("a patch");
        let verdict = rules::judge(&task, TaskEvent::Started, &patch, now(5), false);
        let verdict = verdict.expect("a first event counts");
        rules::apply(&mut task, TaskEvent::Started, verdict, patch, now(5));
        rules::request(&mut task, Control::Pause, "client_1", now(6)).expect("it runs");
        task.commit();
        let back = Task::restored("t", &task.saved(), now(9)).expect("a row");
        assert_eq!(back.whole(false), task.whole(false));
        assert_eq!(back.saved(), task.saved());
        assert_eq!(back.last_event, Time::from_millis(5));
        assert!(Task::restored("t", "{}", now(9)).is_err());
    }
}
