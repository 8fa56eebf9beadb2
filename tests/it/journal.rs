//! `baton journal` as an operator uses it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::cli::binary;

const PAUSE: &str = "name = \"pause\"\n[steps.a]\nwait = \"1ms\"\n";

struct Desk(tempfile::TempDir);

impl Desk {
    /// A folder in which two runs have ended.
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        fs::write(desk.path().join("pause.toml"), PAUSE).unwrap();
        for _ in 0..2 {
            assert_eq!(desk.baton(&["run", "pause.toml"]).status.code(), Some(0));
        }
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn baton(&self, arguments: &[&str]) -> Output {
        self.baton_with(arguments, "data")
    }

    fn baton_with(&self, arguments: &[&str], data: &str) -> Output {
        Command::new(binary())
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("BATON_PATHS_DATA", data)
            .output()
            .unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_sound_journal_is_said_to_be_and_one_that_is_not_gives_exit_1() {
    let desk = Desk::new();
    let sound = desk.baton(&["journal", "check"]);
    assert_eq!(sound.status.code(), Some(0), "{}", stderr(&sound));
    assert!(stdout(&sound).starts_with("✓ sound: 2 runs, 0 open; "), "{}", stdout(&sound));
    // A log without its middle: what it lacks, the store has.
    let log = desk.path().join("data/journal/log");
    let segment = fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let damaged = desk.baton(&["journal", "check", "--output", "json"]);
    assert_eq!(damaged.status.code(), Some(1), "{}", stderr(&damaged));
    let found: Value = serde_json::from_slice(&damaged.stdout).unwrap();
    assert!(found["damage"][0].as_str().unwrap().contains("lacks batches"), "{found}");
    assert_eq!(desk.baton(&["journal", "compact"]).status.code(), Some(0));
    assert_eq!(desk.baton(&["journal", "check"]).status.code(), Some(0), "as it said");
}

#[test]
fn an_export_goes_into_another_folder_and_out_of_it_again_the_same() {
    let desk = Desk::new();
    let out = desk.baton(&["journal", "export", "--to", "runs.jsonl"]);
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    assert!(stderr(&out).starts_with("note: exported 2 runs, "), "{}", stderr(&out));
    let into = desk.baton_with(&["journal", "import", "runs.jsonl"], "other");
    assert_eq!(into.status.code(), Some(0), "{}", stderr(&into));
    let again = desk.baton_with(&["journal", "export"], "other");
    assert_eq!(stdout(&again), fs::read_to_string(desk.path().join("runs.jsonl")).unwrap());
    // As JSON: the text says how long ago.
    let list = ["runs", "--output", "json"];
    let runs = stdout(&desk.baton(&list));
    assert!(runs.contains("pause"), "{runs}");
    assert_eq!(runs, stdout(&desk.baton_with(&list, "other")));
}

#[test]
fn an_import_is_all_or_nothing() {
    let desk = Desk::new();
    assert_eq!(desk.baton(&["journal", "export", "--to", "runs.jsonl"]).status.code(), Some(0));
    let full = desk.baton(&["journal", "import", "runs.jsonl"]);
    assert_eq!(full.status.code(), Some(1));
    assert!(stderr(&full).contains("the journal is not empty"), "{}", stderr(&full));
    let text = fs::read_to_string(desk.path().join("runs.jsonl")).unwrap();
    fs::write(desk.path().join("half.jsonl"), &text[..text.len() - 30]).unwrap();
    let half = desk.baton_with(&["journal", "import", "half.jsonl"], "other");
    assert_eq!(half.status.code(), Some(2));
    assert!(stderr(&half).contains("half.jsonl: it ends at line"), "{}", stderr(&half));
    assert!(!desk.path().join("other/journal").exists());
    assert!(!desk.path().join("other/journal.import").exists());
    let none = desk.baton_with(&["journal", "import", "none.jsonl"], "other");
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn compacting_applies_what_the_configuration_keeps() {
    let desk = Desk::new();
    fs::write(desk.path().join("baton.toml"), "[retention]\nclosed_runs = 1\n").unwrap();
    let done = desk.baton(&["journal", "compact"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stdout(&done).contains("removed 1 closed run and 0 files"), "{}", stdout(&done));
    assert_eq!(stdout(&desk.baton(&["runs"])).matches("pause").count(), 1);
}

#[test]
fn where_there_is_no_journal_it_says_so() {
    let desk = Desk(tempfile::tempdir().unwrap());
    for verb in ["check", "export", "compact"] {
        let output = desk.baton(&["journal", verb]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("there is no journal in data/journal"), "{verb}");
    }
    let unknown = Desk::new().baton(&["journal", "export", "0193-none"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", stderr(&unknown));
}
