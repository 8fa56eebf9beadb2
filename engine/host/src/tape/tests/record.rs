//! What is kept, and that it is on disk ahead of every change.

use baton_core::limits::TAPE_BYTES_MAX;

use super::*;
use crate::guest::wit::redis::Node;

#[test]
fn g4_what_was_heard_is_stored_with_the_next_change() {
    let (mut tape, disk) = (Tape::new(Taping::Record), Disk::default());
    live(&mut tape, 0, "a", 1);
    live(&mut tape, 1, "b", 1);
    intend(&tape, &disk, 2).unwrap();
    live(&mut tape, 2, "the change itself", 1);
    intend(&tape, &disk, 3).unwrap();
    intend(&tape, &disk, 4).unwrap();
    assert_eq!(
        disk.appends(),
        ["heard [0, 1] intend [2]", "heard [2] intend [3]", "heard [] intend [4]"]
    );
    live(&mut tape, 5, "last", 1);
    assert_eq!(tape.rest().len(), 1, "the rest goes with the end");
    assert_eq!(tape.rest(), []);
}

#[test]
fn what_a_full_disk_refused_comes_with_the_next_change() {
    let (mut tape, disk) = (Tape::new(Taping::Record), Disk::default());
    live(&mut tape, 0, "a", 1);
    *disk.full.lock().unwrap() = true;
    assert!(intend(&tape, &disk, 1).is_err());
    live(&mut tape, 1, "it failed", 1);
    *disk.full.lock().unwrap() = false;
    intend(&tape, &disk, 2).unwrap();
    assert_eq!(disk.appends(), ["heard [0, 1] intend [2]"]);
}

#[test]
fn an_attempt_that_is_not_taped_keeps_nothing() {
    let (mut tape, disk) = (Tape::new(Taping::Off), Disk::default());
    let asked = || panic!("what is not kept is not even put into words");
    let Ok(Turn::Live(live)) = tape.hear::<u64>(0, 1, asked) else { panic!() };
    tape.keep(live, &1_u64);
    intend(&tape, &disk, 1).unwrap();
    assert_eq!(disk.appends(), ["heard [] intend [1]"]);
    assert_eq!(tape.rest(), []);
}

#[test]
fn too_much_reading_is_no_fault_until_a_change_comes() {
    let mut tape = Tape::new(Taping::Record);
    let quarter = vec![Node::Bulk(vec![b'x'; TAPE_BYTES_MAX / 4])];
    for index in 0..3 {
        let Turn::Live(live) = tape.hear::<Vec<Node>>(index, 1, || question("a")).unwrap() else {
            panic!()
        };
        tape.keep(live, &quarter);
    }
    assert!(tape.may_change().is_ok());
    let Turn::Live(live) = tape.hear::<Vec<Node>>(3, 1, || question("a")).unwrap() else {
        panic!()
    };
    tape.keep(live, &quarter);
    assert!(matches!(tape.may_change(), Err(Stop::TapeLimit)));
    assert_eq!(tape.rest(), [], "a tape with a hole is none");
    // Reading goes on.
    super::live(&mut tape, 4, "b", 1);
    assert_eq!(tape.rest(), []);
}

#[test]
fn a_tape_that_nobody_goes_on_from_stops_no_change() {
    let (mut tape, disk) = (Tape::new(Taping::Note), Disk::default());
    live(&mut tape, 0, "a", 1);
    intend(&tape, &disk, 1).unwrap();
    let all = vec![Node::Bulk(vec![b'x'; TAPE_BYTES_MAX])];
    let Turn::Live(live) = tape.hear::<Vec<Node>>(2, 1, || question("a")).unwrap() else {
        panic!()
    };
    tape.keep(live, &all);
    assert!(tape.may_change().is_ok());
    intend(&tape, &disk, 3).unwrap();
    super::live(&mut tape, 4, "b", 1);
    assert_eq!(disk.appends(), ["heard [0] intend [1]", "heard [] intend [3]"]);
    assert_eq!(tape.rest(), [], "what is there has no hole: it ends early");
}

#[test]
fn what_is_on_disk_counts_towards_the_bound() {
    let mut first = Tape::new(Taping::Record);
    let half = vec![Node::Bulk(vec![b'x'; TAPE_BYTES_MAX / 2])];
    let Turn::Live(live) = first.hear::<Vec<Node>>(0, 1, || question("a")).unwrap() else {
        panic!()
    };
    first.keep(live, &half);
    let mut again = replaying(first.rest(), Vec::new());
    assert!(matches!(again.hear::<Vec<Node>>(0, 1, || question("a")), Ok(Turn::Heard(_))));
    let Turn::Live(live) = again.hear::<Vec<Node>>(1, 1, || question("a")).unwrap() else {
        panic!()
    };
    again.keep(live, &half);
    assert!(matches!(again.may_change(), Err(Stop::TapeLimit)));
}
