//! A real failover (BondX's three nodes and three Sentinels, the master killed), taken
//! out with `baton tape export <run> promote` and promoted again without any of them.
//! A change of the plugin that makes it ask otherwise is seen here: if it is meant,
//! record another failover.

use baton_plugin::testing::{End, Tape};
use promote::Promote;

fn failover() -> Tape {
    Tape::load("tests/failover.json").expect("the tape is whole")
}

#[test]
fn a_recorded_failover_is_promoted_again() {
    let tape = failover();
    let end = tape.replay::<Promote>();
    assert_eq!(Some(&end), tape.end().as_ref());
    let End::Output(output) = end else { panic!("{end:?}") };
    assert_eq!(output["master"], tape.input()["chosen"]);
    assert_eq!(output["unreachable"][0], tape.input()["old_master"]);
}

#[test]
#[should_panic(expected = "the tape goes on with call 33, log.write (REPLICAOF NO ONE")]
fn a_promotion_of_another_node_is_not_what_was_recorded() {
    let text = std::fs::read_to_string("tests/failover.json").expect("the tape is there");
    let tape: serde_json::Value = serde_json::from_str(&text).expect("the tape is JSON");
    let (chosen, old) = (&tape["input"]["chosen"], &tape["input"]["old_master"]);
    let chosen = format!("\"chosen\": {chosen}");
    assert!(text.contains(&chosen), "{chosen}");
    let other = text.replacen(&chosen, &format!("\"chosen\": {old}"), 1);
    Tape::read(&other).expect("the tape is whole").replay::<Promote>();
}
