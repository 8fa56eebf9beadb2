//! Small plans, and scripts of facts told to a run of them.
//!
//! A line of a script is a fact; `+ 50` lets 50 ms pass first. The transcript has a
//! line for each: the time, the fact, what it changed, and what became owed by it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::Expect;
use petgraph::graph::DiGraph;
use serde_json::json;

use crate::expression::{Condition, Template};
use crate::id::{AttemptId, Digest, Place, Side, StepId};
use crate::run::event::{
    Answer, Begun, Call, CallClass, Cause, Event, Outcome, Pin, Queued, Tape, TapeEntry, TapeHead,
    Trigger, TriggerKind,
};
use crate::run::fault::Fault;
use crate::run::place::{Item, State};
use crate::run::state::{Phase, Run};
use crate::run::{Effect, RULES_VERSION, step};
use crate::workflow::plan::{
    Action, Child, ForEach, Grants, OnFailure, Plan, PluginCall, Retry, Step, WhenInterrupted,
};
use crate::{Json, Millis};

/// A plan of `steps`, which come after the steps they need.
pub(super) fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        name: "w".to_owned(),
        summary: String::new(),
        source: "".into(),
        digest: Digest::of(b""),
        params: BTreeMap::new(),
        triggers: Vec::new(),
        steps,
        graph: DiGraph::new(),
        concurrency: None,
        cooldown_ms: None,
        timeout_ms: None,
        output: None,
    }
}

/// Version of the tapes that the host on stage plays.
pub(super) const TAPES: u32 = 1;

/// A step that runs plugin `p`, needs the steps of these numbers, and does nothing more.
pub(super) fn plugin(name: &str, needs: &[u16]) -> Step {
    Step {
        name: name.to_owned(),
        needs: needs.iter().copied().map(StepId).collect(),
        when: None,
        action: Action::Plugin(call()),
        retry: tries(1),
        timeout_ms: 1_000,
        poll: None,
        for_each: None,
        undo: None,
        pivot: false,
        on_failure: OnFailure::Fail,
        always: false,
        assesses: false,
        fresh_for_ms: None,
        when_interrupted: None,
        replay_within_ms: 60_000,
        record: false,
        changes_nothing: false,
    }
}

pub(super) fn call() -> PluginCall {
    PluginCall { plugin: "p".to_owned(), with: template(json!({})), grants: Grants::default() }
}

pub(super) fn child() -> Action {
    Action::Workflow(Child {
        plan: Arc::new(plan(Vec::new())),
        with: template(json!({})),
        detached: false,
    })
}

pub(super) fn tries(attempts_max: u32) -> Retry {
    Retry { attempts_max, backoff_ms: 100, factor: 2.0, backoff_ms_max: 300, jitter: 0.5 }
}

pub(super) fn each(items: Json, parallel: u32) -> ForEach {
    ForEach { items: template(items), parallel }
}

pub(super) fn template(value: Json) -> Template {
    Template::parse(value).expect("a template")
}

pub(super) fn condition(text: &str) -> Condition {
    Condition::parse(text).expect("a condition")
}

pub(super) fn begun(queued: Option<Queued>) -> Begun {
    let pin = Pin { digest: Digest::of(b"p"), when_interrupted: WhenInterrupted::Rerun };
    Begun {
        id: "r".parse().expect("an id"),
        workflow: "w".to_owned(),
        source: "".into(),
        children: BTreeMap::new(),
        plugins: BTreeMap::from([("p".to_owned(), pin)]),
        params: Arc::new(json!({ "cluster": "bondx", "force": false })),
        trigger: trigger("sre"),
        key: None,
        queued,
        parent: None,
        rules: RULES_VERSION,
    }
}

fn trigger(source: &str) -> Trigger {
    let (kind, source) = (TriggerKind::Manual, source.to_owned());
    Trigger { kind, source, dedup: None, evidence: Arc::default() }
}

/// Tells `script` to a run of `plan` and compares the transcript.
pub(super) fn check(plan: &Plan, script: &str, expect: &Expect) {
    let mut stage = Stage::new(plan, None);
    stage.tell(script);
    expect.assert_eq(&stage.transcript);
}

/// A run on stage.
pub(super) struct Stage<'a> {
    plan: &'a Plan,
    run: Option<Run>,
    now: Millis,
    transcript: String,
}

impl<'a> Stage<'a> {
    /// A run that has just begun; queued until the given time, if any.
    pub(super) fn new(plan: &'a Plan, not_before: Option<Millis>) -> Self {
        let mut stage = Self { plan, run: None, now: 0, transcript: String::new() };
        let begun = begun(not_before.map(|not_before| Queued { not_before }));
        stage.play("begin", &Event::Begun { at: 0, begun: Arc::new(begun) });
        stage
    }

    pub(super) fn run(&self) -> &Run {
        self.run.as_ref().expect("it has begun")
    }

    pub(super) fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Tells the facts of `script`, one a line.
    pub(super) fn tell(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(wait) = line.strip_prefix("+ ") {
                self.now += wait.parse::<Millis>().expect("milliseconds");
            } else if line == "crash" {
                for attempt in self.run().cut_off(self.plan) {
                    self.play(line, &Event::Interrupted { at: self.now, attempt, plays: TAPES });
                }
            } else {
                let event = self.event(line);
                self.play(line, &event);
            }
        }
    }

    fn event(&self, line: &str) -> Event {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = self.now;
        match words[..] {
            ["admit"] => return Event::Admitted { at },
            ["close"] => return Event::Closed { at },
            ["join", source] => return Event::Joined { at, trigger: trigger(source) },
            ["cancel"] => {
                let by = Cause::Person { who: "sre".to_owned(), reason: "enough".to_owned() };
                return Event::Cancelled { at, by };
            }
            // An engine came back that plays no tape of ours.
            ["crash", "upgraded"] => {
                let attempt = self.run().running()[0];
                return Event::Interrupted { at, attempt, plays: TAPES + 1 };
            }
            ["timeout"] => return Event::Cancelled { at, by: Cause::Timeout },
            _ => {}
        }
        let (side, words) = match words.split_first() {
            Some((&"undo", rest)) => (Side::Undo, rest),
            _ => (Side::Do, &words[..]),
        };
        let [name, verb, rest @ ..] = words else { panic!("not a fact: {line}") };
        let place = self.place(name);
        let attempt = AttemptId { place, side, number: self.number(place, side, verb) };
        match (*verb, rest) {
            ("starts", []) => Event::Started { at, attempt },
            ("ok", []) => {
                Event::Succeeded { at, attempt, output: Arc::new(json!({ "done": true })) }
            }
            ("gives", [json]) => {
                let output = Arc::new(serde_json::from_str(json).expect("JSON"));
                Event::Succeeded { at, attempt, output }
            }
            ("flaky", []) => self.failed(attempt, Fault::retryable("flaky", "try again"), 0),
            ("flaky", [jitter]) => {
                let jitter = jitter.parse().expect("0 to 65535");
                self.failed(attempt, Fault::retryable("flaky", "try again"), jitter)
            }
            ("broken", []) => self.failed(attempt, Fault::permanent("broken", "it broke"), 0),
            ("intends", [class]) => Event::Called { at, attempt, call: intent(class) },
            ("learns", [class]) => {
                let call = Call { outcome: Some("OK".to_owned()), ..intent(class) };
                Event::Called { at, attempt, call }
            }
            ("hears", []) => Event::Taped { at, attempt, tape: self.tape(place, side) },
            ("diverges", []) => {
                Event::Diverged { at, attempt, why: "call 1 asks for something else".to_owned() }
            }
            ("waits-for-news", []) => Event::Stale { at, attempt },
            ("wakes", []) => Event::Woke { at, place },
            ("yes", []) => Event::Answered { at, place, answer: answer(Said::Yes) },
            ("no", []) => Event::Answered { at, place, answer: answer(Said::No) },
            ("child", [word]) => {
                let outcome = [Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled];
                let outcome =
                    outcome.into_iter().find(|o| o.as_str() == *word).expect("an outcome");
                let output = Arc::new(json!({ "child": word }));
                Event::ChildClosed { at, attempt, outcome, output, assessed_at: None, acted: false }
            }
            _ => panic!("not a fact: {line}"),
        }
    }

    fn failed(&self, attempt: AttemptId, fault: Fault, jitter: u16) -> Event {
        Event::Failed { at: self.now, attempt, fault, jitter }
    }

    fn tape(&self, place: Place, side: Side) -> Tape {
        let taped = self.run().item(place).is_some_and(|item| item.tapes[side as usize].is_some());
        let head =
            (!taped).then(|| TapeHead { version: TAPES, input: Arc::new(json!({ "n": 1 })) });
        let entry = TapeEntry {
            index: 0,
            function: "redis.call".to_owned(),
            request: "a:1> GET x".to_owned(),
            digest: Digest::of(b"GET x"),
            answer: "1".into(),
        };
        Tape { head, entries: vec![Arc::new(entry)] }
    }

    /// `a`, or `a.2` for an item of a `for_each`.
    fn place(&self, name: &str) -> Place {
        let (name, item) = name.split_once('.').unwrap_or((name, "0"));
        let step = self.plan.find(name).unwrap_or_else(|| panic!("no step `{name}`"));
        Place { step, item: item.parse().expect("an item's number") }
    }

    fn number(&self, place: Place, side: Side, verb: &str) -> u32 {
        let Some(item) = self.run().item(place) else { return 1 };
        let begins = ["starts", "waits-for-news"].contains(&verb);
        if begins { item.next_number(side) } else { item.numbers[side as usize] }
    }

    fn play(&mut self, line: &str, event: &Event) {
        let said = match step(self.plan, self.run.as_ref(), event) {
            Ok(next) => {
                let mut said = self.changes(&next.run);
                said.extend(next.effects.iter().map(|effect| self.owed(effect)));
                self.run = Some(next.run);
                said
            }
            Err(illegal) => vec![format!("refused: {}", illegal.state)],
        };
        let said = if said.is_empty() { "nothing new".to_owned() } else { said.join("; ") };
        writeln!(self.transcript, "{:<3} {line}: {said}", self.now).expect("memory");
    }

    fn changes(&self, after: &Run) -> Vec<String> {
        let before = self.run.as_ref();
        let mut changes = Vec::new();
        for (place, item) in after.places() {
            let was = before.and_then(|run| run.item(place));
            for side in [Side::Do, Side::Undo] {
                let was = was.map_or(&State::Waiting, |item: &Item| item.lane(side));
                let is = item.lane(side);
                if was != is {
                    changes.push(format!("{} {}", self.name(place, side), state_of(is, item)));
                }
            }
        }
        if let Phase::Closed { outcome, output, .. } = after.phase() {
            changes.push(format!("the run {} with {output}", outcome.as_str()));
        }
        changes
    }

    fn name(&self, place: Place, side: Side) -> String {
        let step = self.plan.step(place.step);
        let item = step.for_each.as_ref().map_or(String::new(), |_| format!(".{}", place.item));
        let side = if side == Side::Undo { "undo " } else { "" };
        format!("{side}{}{item}", step.name)
    }

    fn owed(&self, effect: &Effect) -> String {
        let who = |a: &AttemptId| format!("{} #{}", self.name(a.place, a.side), a.number);
        match effect {
            Effect::Admit { not_before } => format!("owed: admit from {not_before}"),
            Effect::Invoke { attempt } => format!("owed: start {}", who(attempt)),
            Effect::Wake { place, at } => {
                format!("owed: wake {} at {at}", self.name(*place, Side::Do))
            }
            Effect::Stop { attempt } => format!("owed: stop {}", who(attempt)),
            Effect::Deadline { at } => format!("owed: time out at {at}"),
            Effect::Close => "owed: close".to_owned(),
        }
    }
}

fn state_of(state: &State, item: &Item) -> String {
    let fault = || item.fault().map_or(String::new(), |fault| format!(" ({})", fault.code));
    match state {
        State::Waiting => "waits".to_owned(),
        State::Ready => "is ready".to_owned(),
        State::Running { stopping: false, .. } => "runs".to_owned(),
        State::Running { stopping: true, .. } => "should stop".to_owned(),
        State::BackingOff { until } => format!("backs off to {until}"),
        State::Sleeping { until } => format!("sleeps to {until}"),
        State::Asking { question, .. } => format!("asks {question:?}"),
        State::Succeeded { .. } => "succeeded".to_owned(),
        State::Failed { .. } => format!("failed{}", fault()),
        State::Skipped => "is skipped".to_owned(),
        State::Cancelled => "is cancelled".to_owned(),
    }
}

#[derive(Clone, Copy)]
enum Said {
    Yes,
    No,
}

fn answer(said: Said) -> Answer {
    let approved = matches!(said, Said::Yes);
    Answer { approved, who: "sre".to_owned(), reason: "I looked".to_owned() }
}

fn intent(class: &str) -> Call {
    let class = match class {
        "once" => CallClass::Once,
        "guarded" => CallClass::Guarded,
        "idempotent" => CallClass::Idempotent,
        _ => panic!("not a class: {class}"),
    };
    Call { index: 0, class, request: "REPLICAOF NO ONE".to_owned(), outcome: None }
}
