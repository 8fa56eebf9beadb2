use super::State;
use super::host::Line;
use crate::limits;

#[test]
fn a_flood_is_cut_and_said_once() {
    let mut state = State::default();
    for _ in 0..limits::LOG_LINES_MAX {
        assert_eq!(state.admit("x"), Line::Write("x".to_owned()));
    }
    assert_eq!(state.admit("x"), Line::Cut);
    assert_eq!(state.admit("x"), Line::Drop);
}

#[test]
fn long_lines_count_by_their_bytes() {
    let mut state = State::default();
    let long = "y".repeat(10 * limits::LOG_LINE_BYTES_MAX);
    let written = std::iter::repeat_with(|| state.admit(&long))
        .take_while(|line| matches!(line, Line::Write(_)))
        .count();
    assert!((60..=64).contains(&written), "{written}");
}
