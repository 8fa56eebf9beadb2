//! What it does with what an earlier attempt has done.

use super::*;
use baton_plugin::Done;
use baton_plugin::redis::ErrorKind;
use baton_plugin::testing::FakeCluster;

const SERVER: &str = "n:1";

fn input(act: Act, memory: Memory) -> Input {
    Input {
        cluster: "bench".into(),
        address: SERVER.into(),
        book: "b".into(),
        name: "s".into(),
        acts: vec![act],
        memory,
    }
}

fn ledger(entries: &[&str]) -> Vec<Value> {
    vec![Value::List(entries.iter().map(|entry| Value::from(*entry)).collect())]
}

fn server(found: &[&str]) -> FakeCluster {
    FakeCluster::new("bench", &[SERVER], &[]).on(SERVER, "RPUSH", vec![Value::Int(1)]).on(
        SERVER,
        "LRANGE",
        ledger(found),
    )
}

fn done(outcome: Option<&str>) -> Done {
    let request = format!("{SERVER}> RPUSH b:ledger s.0");
    Done { attempt: 1, index: 0, request, outcome: outcome.map(str::to_owned) }
}

#[test]
fn an_entry_is_left_and_then_found() {
    let mut fake = server(&["s.0"]);
    let output = Torture::run(input(Act::Push, Memory::Done), &mut fake).unwrap();
    assert_eq!(output.entries, ["ledger:s.0 1"]);
    assert_eq!(fake.count_sent("RPUSH b:ledger s.0"), 1);
}

#[test]
fn what_was_done_is_not_done_again() {
    let mut fake = server(&["s.0"]);
    fake.context.done = vec![done(Some("(integer) 1"))];
    Torture::run(input(Act::Push, Memory::Done), &mut fake).unwrap();
    assert_eq!(fake.count_sent("RPUSH"), 0);
}

#[test]
fn what_was_not_sent_is_done() {
    let mut fake = server(&["s.0"]);
    fake.context.done = vec![done(Some("not sent: another intent could not be stored"))];
    Torture::run(input(Act::Push, Memory::Done), &mut fake).unwrap();
    assert_eq!(fake.count_sent("RPUSH"), 1);
}

#[test]
fn in_doubt_the_world_is_asked() {
    for (found, sent) in [(&["s.0"][..], 0), (&[][..], 1)] {
        let mut fake = server(found);
        fake.context.done = vec![done(None)];
        Torture::run(input(Act::Push, Memory::Done), &mut fake).unwrap();
        assert_eq!(fake.count_sent("RPUSH"), sent, "{found:?}");
    }
}

#[test]
fn a_guest_that_trusts_the_tape_does_not_ask_what_was_done() {
    let mut fake = server(&["s.0"]);
    fake.context.done = vec![done(Some("(integer) 1"))];
    Torture::run(input(Act::Push, Memory::Tape), &mut fake).unwrap();
    assert_eq!(fake.count_sent("RPUSH"), 1);
}

#[test]
fn a_server_that_is_gone_is_a_fault_that_may_pass() {
    let mut fake = FakeCluster::new("bench", &[SERVER], &[]).down(SERVER, ErrorKind::Refused);
    let fault = Torture::run(input(Act::Push, Memory::Done), &mut fake).unwrap_err();
    assert_eq!(fault.kind, baton_plugin::FaultKind::Retryable);
}
