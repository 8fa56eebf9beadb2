//! Entries and helpers for the tests.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use baton_core::Millis;
use baton_core::id::{AttemptId, Digest, Place, RunId, Side, StepId};
use baton_core::run::event::{Begun, Dedup, Event, Outcome, Pin, Trigger, TriggerKind};
use baton_core::workflow::plan::WhenInterrupted;
use serde_json::json;

use crate::journal::{AppendError, Batch, Closed, Entry, Journal};

/// A disk that takes longer than this has stalled; the test fails instead of hanging.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn run(name: &str) -> RunId {
    name.parse().expect("a run id")
}

pub(super) fn begun(name: &str, at: Millis) -> Entry {
    let begun = Begun {
        id: run(name),
        workflow: "redis-failover".to_owned(),
        source: "name = \"redis-failover\"".into(),
        children: BTreeMap::from([("verify".to_owned(), "name = \"verify\"".into())]),
        plugins: BTreeMap::from([(
            "promote".to_owned(),
            Pin { digest: Digest::of(b"promote"), when_interrupted: WhenInterrupted::Rerun },
        )]),
        params: Arc::new(json!({"cluster": "bondx"})),
        trigger: Trigger {
            kind: TriggerKind::Webhook,
            source: "alertmanager".to_owned(),
            dedup: Some(Dedup { key: "abc".to_owned(), for_ms: 600_000 }),
            evidence: Arc::new(json!({"status": "firing"})),
        },
        key: Some("redis:bondx".to_owned()),
        queued: None,
        parent: None,
        rules: 1,
    };
    Entry {
        run: run(name),
        seq: 0,
        event: Event::Begun { at, begun: Arc::new(begun) },
        closed: None,
    }
}

pub(super) fn attempt(number: u32) -> AttemptId {
    AttemptId { place: Place { step: StepId(3), item: 0 }, side: Side::Do, number }
}

/// An entry whose content follows from its run, its number and its size.
pub(super) fn output(name: &str, seq: u64, bytes: usize) -> Entry {
    let output = Arc::new(json!({"of": format!("{name} {seq}"), "fill": "x".repeat(bytes)}));
    let event = Event::Succeeded { at: 1_000 + seq, attempt: attempt(1), output };
    Entry { run: run(name), seq, event, closed: None }
}

pub(super) fn closed(name: &str, seq: u64, at: Millis) -> Entry {
    let closed = Closed {
        run: run(name),
        workflow: "redis-failover".to_owned(),
        begun_at: 1,
        closed_at: at,
        outcome: Outcome::Succeeded,
        trigger: TriggerKind::Webhook,
        source: "alertmanager".to_owned(),
        key: Some("redis:bondx".to_owned()),
        dedup: Some(Dedup { key: "abc".to_owned(), for_ms: 600_000 }),
    };
    Entry { run: run(name), seq, event: Event::Closed { at }, closed: Some(closed) }
}

/// Appends and waits for the answer.
pub(super) fn store(journal: &dyn Journal, entries: Vec<Entry>) -> Result<(), AppendError> {
    let (reply, answer) = mpsc::channel();
    let done = Box::new(move |end| reply.send(end).expect("the test waits"));
    journal.append(Batch { entries }, done);
    answer.recv_timeout(PATIENCE).expect("an answer")
}

/// What the entries say.
pub(super) fn events(entries: &[Entry]) -> Vec<Event> {
    entries.iter().map(|entry| entry.event.clone()).collect()
}
