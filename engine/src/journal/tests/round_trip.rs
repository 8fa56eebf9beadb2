//! Every event comes back as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use baton_core::Json;
use baton_core::id::{AttemptId, Digest, Place, RunId, Side, StepId};
use baton_core::run::event::{
    Answer, Begun, Call, CallClass, Cause, Dedup, Event, Outcome, Parent, Pin, Queued, Tape,
    TapeEntry, TapeHead, Trigger, TriggerKind,
};
use baton_core::run::fault::{Fault, FaultKind};
use baton_core::workflow::plan::WhenInterrupted;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::journal::{Closed, record};

fn text() -> impl Strategy<Value = String> {
    any::<String>()
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        text().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Json::from),
            vec((text(), inner), 0..6)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

fn run() -> impl Strategy<Value = RunId> {
    "[a-z0-9-]{1,64}".prop_map(|text| text.parse().expect("a run id"))
}

fn place() -> impl Strategy<Value = Place> {
    any::<(u16, u32)>().prop_map(|(step, item)| Place { step: StepId(step), item })
}

fn attempt() -> impl Strategy<Value = AttemptId> {
    let side = prop_oneof![Just(Side::Do), Just(Side::Undo)];
    (place(), side, any::<u32>()).prop_map(|(place, side, number)| AttemptId {
        place,
        side,
        number,
    })
}

fn dedup() -> impl Strategy<Value = Dedup> {
    (text(), any::<u64>()).prop_map(|(key, for_ms)| Dedup { key, for_ms })
}

fn kind() -> impl Strategy<Value = TriggerKind> {
    use TriggerKind::{Manual, Parent, Reassess, Schedule, Watch, Webhook};
    prop::sample::select(vec![Manual, Webhook, Watch, Schedule, Parent, Reassess])
}

fn trigger() -> impl Strategy<Value = Trigger> {
    (kind(), text(), option::of(dedup()), json()).prop_map(|(kind, source, dedup, evidence)| {
        Trigger { kind, source, dedup, evidence: Arc::new(evidence) }
    })
}

fn pin() -> impl Strategy<Value = Pin> {
    use WhenInterrupted::{Ask, Replay, Rerun};
    let wishes = prop::sample::select(vec![Replay, Rerun, Ask]);
    (any::<[u8; 32]>(), wishes)
        .prop_map(|(digest, when_interrupted)| Pin { digest: Digest(digest), when_interrupted })
}

fn begun() -> impl Strategy<Value = Begun> {
    let parent = (run(), attempt(), option::of(any::<u64>()))
        .prop_map(|(run, attempt, fresh_until)| Parent { run, attempt, fresh_until });
    let queued = any::<u64>().prop_map(|not_before| Queued { not_before });
    let names = (run(), text(), text(), btree_map(text(), text(), 0..3));
    let rest = (btree_map(text(), pin(), 0..3), json(), trigger(), option::of(text()));
    let places = (option::of(queued), option::of(parent), any::<u32>());
    (names, rest, places).prop_map(
        |((id, workflow, source, children), (plugins, params, trigger, key), places)| Begun {
            id,
            workflow,
            source: source.into(),
            children: children.into_iter().map(|(name, text)| (name, text.into())).collect(),
            plugins: BTreeMap::from_iter(plugins),
            params: Arc::new(params),
            trigger,
            key,
            queued: places.0,
            parent: places.1,
            rules: places.2,
        },
    )
}

fn call() -> impl Strategy<Value = Call> {
    use CallClass::{Guarded, Idempotent, Once, Read};
    let class = prop::sample::select(vec![Read, Idempotent, Guarded, Once]);
    (any::<u32>(), class, text(), option::of(text()))
        .prop_map(|(index, class, request, outcome)| Call { index, class, request, outcome })
}

fn tape() -> impl Strategy<Value = Tape> {
    let head = (any::<u32>(), json())
        .prop_map(|(version, input)| TapeHead { version, input: Arc::new(input) });
    let entry = (any::<u32>(), text(), text(), any::<[u8; 32]>(), text()).prop_map(
        |(index, function, request, digest, answer)| {
            let (digest, answer) = (Digest(digest), answer.into());
            Arc::new(TapeEntry { index, function, request, digest, answer })
        },
    );
    (option::of(head), vec(entry, 0..4)).prop_map(|(head, entries)| Tape { head, entries })
}

fn fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![Just(FaultKind::Retryable), Just(FaultKind::Permanent)];
    (kind, text(), text(), json()).prop_map(|(kind, code, message, details)| Fault {
        kind,
        code,
        message,
        details,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    use Outcome::{Cancelled, Failed, Succeeded, TimedOut};
    prop::sample::select(vec![Succeeded, Failed, Cancelled, TimedOut])
}

fn answer() -> impl Strategy<Value = Answer> {
    (any::<bool>(), text(), text()).prop_map(|(approved, who, reason)| Answer {
        approved,
        who,
        reason,
    })
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        (text(), text()).prop_map(|(who, reason)| Cause::Person { who, reason }),
        Just(Cause::Parent),
        Just(Cause::Timeout),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let at = any::<u64>;
    let child = (at(), attempt(), outcome(), json(), option::of(at()), any::<bool>());
    prop_oneof![
        (at(), begun()).prop_map(|(at, begun)| Event::Begun { at, begun: Arc::new(begun) }),
        at().prop_map(|at| Event::Admitted { at }),
        (at(), trigger()).prop_map(|(at, trigger)| Event::Joined { at, trigger }),
        (at(), attempt()).prop_map(|(at, attempt)| Event::Started { at, attempt }),
        (at(), attempt(), call()).prop_map(|(at, attempt, call)| Event::Called {
            at,
            attempt,
            call
        }),
        (at(), attempt(), json()).prop_map(|(at, attempt, output)| Event::Succeeded {
            at,
            attempt,
            output: Arc::new(output)
        }),
        (at(), attempt(), fault(), any::<u16>()).prop_map(|(at, attempt, fault, jitter)| {
            Event::Failed { at, attempt, fault, jitter }
        }),
        (at(), attempt(), any::<u32>()).prop_map(|(at, attempt, plays)| Event::Interrupted {
            at,
            attempt,
            plays
        }),
        (at(), attempt(), text()).prop_map(|(at, attempt, why)| Event::Diverged {
            at,
            attempt,
            why
        }),
        (at(), attempt()).prop_map(|(at, attempt)| Event::Stale { at, attempt }),
        (at(), attempt(), tape()).prop_map(|(at, attempt, tape)| Event::Taped {
            at,
            attempt,
            tape
        }),
        (at(), place()).prop_map(|(at, place)| Event::Woke { at, place }),
        child.prop_map(|(at, attempt, outcome, output, assessed_at, acted)| {
            let output = Arc::new(output);
            Event::ChildClosed { at, attempt, outcome, output, assessed_at, acted }
        }),
        (at(), place(), answer()).prop_map(|(at, place, answer)| Event::Answered {
            at,
            place,
            answer
        }),
        (at(), cause()).prop_map(|(at, by)| Event::Cancelled { at, by }),
        at().prop_map(|at| Event::Closed { at }),
    ]
}

fn summary() -> impl Strategy<Value = Closed> {
    let when = any::<(u64, u64, bool)>();
    let texts = (text(), text(), option::of(text()));
    (run(), texts, when, outcome(), kind(), option::of(dedup())).prop_map(
        |(run, (workflow, source, key), (begun_at, closed_at, acted), outcome, trigger, dedup)| {
            Closed {
                run,
                workflow,
                begun_at,
                closed_at,
                outcome,
                trigger,
                source,
                key,
                dedup,
                acted,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_event_comes_back_as_it_was(event in event()) {
        let body = record::encode(&event).expect("encoded");
        prop_assert_eq!(record::decode(&body), Ok(event));
    }

    #[test]
    fn a_summary_comes_back_as_it_was(closed in summary()) {
        prop_assert_eq!(record::decode_closed(&record::encode_closed(&closed)), Ok(closed));
    }

    #[test]
    fn rubbish_is_an_error_and_no_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = record::decode(&bytes);
        prop_assert!(crate::journal::envelope::unseal("x", &bytes).is_err());
    }
}

/// The words on disk. A journal of last year holds them: this test may grow, not change.
#[test]
fn the_words_on_disk_stay() {
    let mut seen = BTreeSet::new();
    let words = |event: &Event| {
        let body = record::encode(event).expect("encoded");
        String::from_utf8(body).expect("JSON")
    };
    let at = 7;
    let attempt =
        AttemptId { place: Place { step: StepId(2), item: 1 }, side: Side::Undo, number: 4 };
    let output = Arc::new(serde_json::json!({"a": 1.5}));
    for (event, expected) in [
        (Event::Admitted { at }, r#"{"admitted":{"at":7}}"#),
        (
            Event::Started { at, attempt },
            r#"{"started":{"at":7,"attempt":{"step":2,"item":1,"side":"undo","number":4}}}"#,
        ),
        (
            Event::Succeeded { at, attempt, output: Arc::clone(&output) },
            r#"{"succeeded":{"at":7,"attempt":{"step":2,"item":1,"side":"undo","number":4},"output":"{\"a\":1.5}"}}"#,
        ),
        (
            Event::ChildClosed {
                at,
                attempt,
                outcome: Outcome::TimedOut,
                output,
                assessed_at: None,
                acted: false,
            },
            r#"{"child-closed":{"at":7,"attempt":{"step":2,"item":1,"side":"undo","number":4},"outcome":"timed-out","output":"{\"a\":1.5}","assessed_at":null,"acted":false}}"#,
        ),
        (Event::Cancelled { at, by: Cause::Parent }, r#"{"cancelled":{"at":7,"by":"parent"}}"#),
    ] {
        assert_eq!(words(&event), expected);
        assert!(seen.insert(expected));
    }
}

/// What an earlier Baton did not write has a meaning all the same.
#[test]
fn records_without_the_later_fields_are_read() {
    let attempt = r#""attempt":{"step":2,"item":1,"side":"do","number":4}"#;
    let interrupted = format!(r#"{{"interrupted":{{"at":7,{attempt}}}}}"#);
    let Ok(Event::Interrupted { plays, .. }) = record::decode(interrupted.as_bytes()) else {
        panic!("{interrupted} is not read");
    };
    assert_eq!(plays, 0, "no tape is of version 0");
    let closed = format!(
        r#"{{"child-closed":{{"at":7,{attempt},"outcome":"failed","output":"null","assessed_at":null}}}}"#
    );
    let Ok(Event::ChildClosed { acted, .. }) = record::decode(closed.as_bytes()) else {
        panic!("{closed} is not read");
    };
    assert!(acted, "what is not known may have been");
}
