//! Runs for the goldens.

use baton_core::{Json, Millis};
use serde_json::json;

use crate::runner::view::{
    AnswerView, AttemptView, BuildsView, CallView, FaultView, HeldView, JoinedView, ParentView,
    ProgressView, QuestionView, RunView, SeenView, StepView, Summary, TriggerView,
};

/// 2026-11-03 14:05:09.123 UTC.
pub(super) const BEGUN: Millis = 1_793_714_709_123;
const ID: &str = "01932b5e-7c1a-7000-8000-00000000002a";

pub(super) fn summary(state: &str, took_ms: Option<Millis>) -> Summary {
    Summary {
        id: ID.to_owned(),
        workflow: "redis-failover".to_owned(),
        state: state.to_owned(),
        begun_at: BEGUN,
        closed_at: took_ms.map(|ms| BEGUN + ms),
        trigger: "webhook".to_owned(),
        key: Some("redis:bondx".to_owned()),
    }
}

/// A step without history.
pub(super) fn step(name: &str, plugin: &str, state: &str) -> StepView {
    StepView {
        name: name.to_owned(),
        kind: "plugin".to_owned(),
        plugin: Some(plugin.to_owned()),
        needs: Vec::new(),
        state: state.to_owned(),
        when: None,
        pivot: false,
        always: false,
        started_at: None,
        ended_at: None,
        attempts: Vec::new(),
        output: Json::Null,
        fault: None,
        again: Vec::new(),
        calls: Vec::new(),
        child: None,
        question: None,
        asks: None,
        answers: Vec::new(),
        progress: None,
        held: None,
        items: Vec::new(),
    }
}

pub(super) fn attempt(number: u32, from: Millis, to: Option<Millis>, end: &str) -> AttemptView {
    AttemptView {
        number,
        side: "do".to_owned(),
        started_at: BEGUN + from,
        ended_at: to.map(|at| BEGUN + at),
        end: end.to_owned(),
        fault: None,
        replayed: false,
    }
}

fn fault() -> FaultView {
    FaultView {
        kind: "permanent".to_owned(),
        code: "no-candidate".to_owned(),
        message: "no replica of bondx may be promoted: 127.0.0.1:7002 is loading\n\
                  127.0.0.1:7003 is of another lineage \x1b[31m"
            .to_owned(),
        details: json!({ "candidates": 2 }),
    }
}

fn past(mut step: StepView, tries: Vec<AttemptView>) -> StepView {
    step.started_at = tries.first().map(|first| first.started_at);
    step.ended_at = tries.last().and_then(|last| last.ended_at);
    step.attempts = tries;
    step
}

/// A run with one of everything.
pub(super) fn run(state: &str) -> RunView {
    let assess = StepView {
        output: json!({ "verdict": "dead", "master": null }),
        ..past(
            step("assess", "redis-assess", "succeeded"),
            vec![attempt(1, 2, Some(122), "succeeded")],
        )
    };
    let call = |index, request: &str, outcome: Option<&str>| CallView {
        attempt: 1,
        side: "do".to_owned(),
        index,
        class: "guarded".to_owned(),
        request: request.to_owned(),
        outcome: outcome.map(str::to_owned),
    };
    let promote = StepView {
        pivot: true,
        needs: vec!["assess".to_owned()],
        calls: vec![
            call(3, "REPLICAOF NO ONE", Some("OK")),
            call(9, "PUBLISH __sentinel__:hello …", None),
        ],
        ..past(
            step("promote", "promote", "succeeded"),
            vec![
                attempt(1, 130, Some(1_330), "interrupted"),
                attempt(2, 2_000, Some(5_440), "succeeded"),
            ],
        )
    };
    let drain = StepView {
        items: vec![
            past(
                step("drain[0]", "drain", "succeeded"),
                vec![attempt(1, 5_500, Some(5_600), "succeeded")],
            ),
            StepView {
                fault: Some(fault()),
                ..past(
                    step("drain[1]", "drain", "failed"),
                    vec![attempt(1, 5_500, Some(5_700), "failed")],
                )
            },
        ],
        ..past(step("drain", "drain", "failed"), vec![attempt(1, 5_500, Some(5_700), "failed")])
    };
    let verify = StepView {
        kind: "workflow".to_owned(),
        child: Some("5f0c1ad2-0000-5000-8000-000000000001".to_owned()),
        ..past(step("verify", "verify-redis", "running"), vec![attempt(1, 6_000, None, "running")])
    };
    let scan = StepView {
        progress: Some(ProgressView { done: 120, total: Some(200), message: "instruments".into() }),
        ..past(
            step("scan", "verify-orderbook", "running"),
            vec![attempt(1, 6_000, None, "running")],
        )
    };
    RunView {
        id: ID.to_owned(),
        workflow: "redis-failover".to_owned(),
        state: state.to_owned(),
        begun_at: BEGUN,
        closed_at: None,
        key: Some("redis:bondx".to_owned()),
        digest: "12ab34cd56ef78901234".to_owned(),
        builds: BuildsView {
            workflows: [("verify-redis".to_owned(), "ab12cd34ef5678901234".to_owned())].into(),
            plugins: [("promote".to_owned(), "cd34ef56ab7890123456".to_owned())].into(),
            changed: vec!["workflow redis-failover".to_owned(), "plugin promote".to_owned()],
        },
        params: json!({ "cluster": "bondx", "force": false }),
        trigger: TriggerView {
            kind: "webhook".to_owned(),
            source: "alertmanager".to_owned(),
            evidence: json!({ "status": "firing" }),
            dedup: Some("abc".to_owned()),
        },
        parent: Some(ParentView { run: "parent-1".into(), attempt: "step 3[0] attempt 1".into() }),
        output: Json::Null,
        joined: vec![JoinedView {
            at: BEGUN + 300,
            kind: "watch".to_owned(),
            source: "detect-redis".to_owned(),
        }],
        interruptions: 1,
        acknowledged: Some(SeenView {
            at: BEGUN + 4_000,
            who: "anna".to_owned(),
            reason: "on it".to_owned(),
        }),
        now: BEGUN + 7_500,
        steps: [vec![assess, promote, drain, verify, scan], idle()].concat(),
        note: None,
    }
}

/// Steps that nothing has run in.
fn idle() -> Vec<StepView> {
    let ok = StepView {
        kind: "approval".to_owned(),
        plugin: None,
        question: Some("Promote 127.0.0.1:7002?".to_owned()),
        asks: Some(QuestionView {
            kind: "approval".to_owned(),
            side: "do".to_owned(),
            since: BEGUN + 6_000,
            until: Some(BEGUN + 1_206_000),
            silence: Some("reject".to_owned()),
            approve: "the step succeeds and the run goes on".to_owned(),
            reject: "the step fails and the run with it; nothing is undone".to_owned(),
        }),
        answers: vec![AnswerView {
            at: BEGUN + 5_900,
            kind: "failed".to_owned(),
            approved: true,
            who: "anna".to_owned(),
            reason: "7002 is back".to_owned(),
        }],
        ..step("ok", "", "asking")
    };
    let page = StepView {
        when: Some("status.verify == 'failed'".to_owned()),
        question: Some("its condition does not hold".to_owned()),
        ..step("page", "page", "skipped")
    };
    let report = StepView {
        kind: "report".to_owned(),
        plugin: None,
        always: true,
        ..step("report", "", "waiting")
    };
    let held = StepView {
        held: Some(HeldView {
            why: "maintenance of bondx by ben: new racks".to_owned(),
            since: BEGUN - 60_000,
            until: Some(BEGUN + 3_600_000),
            end: "baton maintenance end 3 --reason WHY".to_owned(),
        }),
        ..step("settle", "settle", "held")
    };
    vec![ok, held, page, report]
}
