//! Out of one journal and into another.

use baton_core::id::Digest;

use super::sample::{begun, closed, events, output, run, store};
use crate::journal::{ImportError, Journal, MemoryJournal, SledJournal, export, import};

fn filled() -> MemoryJournal {
    let journal = MemoryJournal::new(99);
    journal.put_plugin(Digest::of(b"promote"), b"promote").expect("kept");
    store(&journal, vec![begun("b", 2), output("b", 1, 30)]).expect("stored");
    store(&journal, vec![begun("a", 1), output("a", 1, 100_000), closed("a", 2, 9)])
        .expect("stored");
    journal
}

fn exported(journal: &dyn Journal) -> String {
    let mut bytes = Vec::new();
    export(journal, &[], &mut bytes).expect("exports");
    String::from_utf8(bytes).expect("JSON is text")
}

fn refusal(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open(folder.path()).expect("opens");
    let mut bytes = text.as_bytes();
    import(&journal, &mut bytes).expect_err("it is refused").to_string()
}

#[test]
fn there_and_back_is_the_same_and_there_again_gives_the_same_bytes() {
    let text = exported(&filled());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "{\"baton-journal-export\":1}");
    assert!(lines[1].starts_with("{\"plugin\":\""), "{}", lines[1]);
    assert!(
        lines[2].starts_with("{\"run\":\"a\",\"seq\":0,\"record\":{\"begun\":"),
        "{}",
        lines[2]
    );
    assert!(lines[5].starts_with("{\"run\":\"a\",\"closed\":{\"run\":\"a\""), "{}", lines[5]);
    assert_eq!(lines[8], "{\"end\":{\"plugins\":1,\"runs\":2,\"records\":5}}");
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SledJournal::open(folder.path()).expect("opens");
    let done = import(&journal, &mut text.as_bytes()).expect("imports");
    assert_eq!((done.plugins, done.runs, done.records), (1, 2, 5));
    drop(journal);
    let journal = SledJournal::open(folder.path()).expect("opens");
    let whole = events(&[begun("b", 2), output("b", 1, 30)]);
    assert_eq!(journal.open_runs(), Ok(vec![(run("b"), Ok(whole))]));
    assert_eq!(journal.plugin(Digest::of(b"promote")), Ok(Some(b"promote".to_vec())));
    assert_eq!(exported(&journal), text);
}

#[test]
fn only_the_wanted_runs_go_out() {
    let mut bytes = Vec::new();
    let done = export(&filled(), &[run("b")], &mut bytes).expect("exports");
    assert_eq!((done.runs, done.records), (1, 2));
    assert!(!String::from_utf8_lossy(&bytes).contains("\"run\":\"a\""));
    let error = export(&filled(), &[run("c")], &mut Vec::new()).expect_err("unknown");
    assert_eq!(error.to_string(), "the journal has no run c");
}

#[test]
fn a_journal_with_runs_is_not_imported_into() {
    let text = exported(&filled());
    let error = import(&filled(), &mut text.as_bytes()).expect_err("it is refused");
    assert!(matches!(error, ImportError::NotEmpty), "{error}");
}

#[test]
fn an_export_that_was_cut_short_is_noticed_wherever_it_was() {
    let text = exported(&filled());
    for end in (0..text.len()).step_by(997).chain([text.len() - 1]) {
        let why = refusal(&text[..end]);
        assert!(why.contains("cut short"), "{end}: {why}");
    }
    let lines: Vec<&str> = text.lines().collect();
    for missing in 1..lines.len() {
        let mut less = lines.clone();
        less.remove(missing);
        let why = refusal(&(less.join("\n") + "\n"));
        assert!(!why.is_empty(), "{missing}");
    }
}

#[test]
fn rubbish_is_refused_with_its_line() {
    let text = exported(&filled());
    let check = |text: &str, expected: &str| {
        let why = refusal(text);
        assert!(why.contains(expected), "{why}");
    };
    check("", "cut short");
    check("{}\n", "line 1: it does not begin as an export does");
    check("\0\0\n", "line 1: it is no line of an export");
    check(&text.replace("export\":1", "export\":2"), "line 1: it was exported in format 2");
    check(&text.replace("\"begun\":", "\"teleported\":"), "line 3: record 0 of run a: unknown");
    check(&text.replace("\"records\":5", "\"records\":6"), "line 9: it promises");
    check(&(text.clone() + "{}\n"), "something follows the last line");
    let twice: Vec<&str> = text.lines().collect();
    let again = [&twice[..8], &twice[2..]].concat().join("\n") + "\n";
    check(&again, "record 0 of run a is refused: the run is closed");
    let base64 = text.replace("base64\":\"", "base64\":\"AAAA");
    check(&base64, "the bytes do not have that digest");
    check(&"[".repeat(100_000), "cut short");
}
