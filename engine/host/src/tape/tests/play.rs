//! A tape is played, left, and goes on live.

use super::*;

#[test]
fn what_was_heard_is_heard_again_and_then_the_world() {
    let mut tape = replaying(recorded(), Vec::new());
    assert_eq!(heard(&mut tape, 0, "a"), 10);
    assert_eq!(heard(&mut tape, 1, "b"), 11);
    assert_eq!(heard(&mut tape, 2, "c"), 12);
    assert_eq!(tape.rest(), [], "what is on disk is not told again");
    live(&mut tape, 3, "d", 13);
    assert_eq!(tape.rest().iter().map(|entry| entry.index).collect::<Vec<_>>(), [3]);
    assert_eq!(tape.end(4), Ok(()));
}

#[test]
fn another_question_at_any_place_is_a_divergence() {
    for at in 0..3_u32 {
        let mut tape = replaying(recorded(), Vec::new());
        for (index, what) in (0..at).zip(["a", "b", "c"]) {
            heard(&mut tape, index, what);
        }
        let how = left(&mut tape, at, "x");
        assert_eq!((how.index, how.same), (at, at as usize));
        let taped = ["a", "b", "c"][at as usize];
        assert_eq!(
            how.to_string(),
            format!(
                "the tape says that call {at} was clock.sleep ({taped}); replayed, the plugin asked for clock.sleep (x)"
            )
        );
    }
}

#[test]
fn the_same_question_under_another_number_is_a_divergence() {
    let how = left(&mut replaying(recorded(), Vec::new()), 1, "a");
    assert_eq!(how.index, 1);
    assert!(how.to_string().contains("other arguments than are shown"), "{how}");
}

#[test]
fn another_function_with_the_same_words_is_a_divergence() {
    let mut tape = replaying(recorded(), Vec::new());
    let Err(error) = tape.hear::<u64>(0, 1, || Asked::of("clock.now").text("a").word("a")) else {
        panic!("the tape was not left")
    };
    assert!(error.to_string().contains("asked for clock.now (a)"), "{error}");
}

#[test]
fn a_guest_that_ends_before_its_tape_diverges() {
    let mut tape = replaying(recorded(), Vec::new());
    heard(&mut tape, 0, "a");
    let how = tape.end(1).unwrap_err();
    assert_eq!((how.index, how.asked.as_deref()), (1, None));
    assert!(how.to_string().ends_with("the plugin ended before it"), "{how}");
}

#[test]
fn a_guest_that_ends_before_the_change_that_was_in_flight_diverges() {
    let mut tape = replaying(recorded(), vec![change(3)]);
    for (index, what) in (0..).zip(["a", "b", "c"]) {
        heard(&mut tape, index, what);
    }
    let how = tape.end(3).unwrap_err();
    assert!(how.to_string().contains("call 3 was h:1> INCR n3"), "{how}");
    let mut nothing = replaying(Vec::new(), vec![change(0)]);
    assert!(nothing.end(0).is_err());
    // Whoever is asked for it first is told what was in flight.
    let Ok(Turn::Live(live)) = nothing.hear::<u64>(0, 1, || question("x")) else { panic!() };
    assert_eq!(live.cut, [change(0)]);
    assert_eq!(nothing.end(1), Ok(()));
}

#[test]
fn a_change_beyond_the_call_that_follows_the_tape_is_a_hole() {
    let how = left(&mut replaying(Vec::new(), vec![change(5)]), 0, "x");
    assert!(how.to_string().contains("INCR n5"), "{how}");
}

#[test]
fn an_answer_that_cannot_be_read_is_a_divergence() {
    for rubbish in ["", "{", "null", "\"x\"", "-1", "[[[["] {
        let mut entries = recorded();
        let broken = TapeEntry { answer: rubbish.into(), ..(*entries[0]).clone() };
        entries[0] = Arc::new(broken);
        let how = left(&mut replaying(entries, Vec::new()), 0, "a");
        assert!(how.to_string().contains("cannot be read"), "{how}");
    }
}

#[test]
fn a_rehearsal_ends_with_its_tape() {
    let mut tape = Tape::rehearsal(recorded());
    for (index, what) in (0..).zip(["a", "b", "c"]) {
        heard(&mut tape, index, what);
    }
    assert_eq!(tape.end(3), Ok(()));
    let how = left(&mut tape, 3, "d");
    assert_eq!((how.taped.as_deref(), how.asked.as_deref()), (None, Some("clock.sleep (d)")));
    assert_eq!(how.same, 3);
}
