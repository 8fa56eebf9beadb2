//! The command line as people and scripts meet it: exit codes, streams, documents.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

const SOUND: &str = "\
name = \"pause\"
[params]
n = { type = \"integer\", default = 3, summary = \"A number\" }
[steps.a]
wait = \"1ms\"
[steps.b]
needs = [\"a\"]
when = \"params.n > 5\"
wait = \"1ms\"
";

/// The binary beside this test's own folder; `cargo xtask test` builds it.
pub(crate) fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a test has a file");
    let folder = own.ancestors().nth(2).expect("a test is in target/<profile>/deps");
    let binary = folder.join("baton");
    assert!(
        binary.is_file(),
        "{} is missing: run `cargo build -p baton`, or the tests by `cargo xtask test`",
        binary.display()
    );
    binary
}

/// A folder with workflows in it, and `baton` run there.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new(workflows: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in workflows {
            fs::write(folder.path().join(name), text).expect("a workflow is written");
        }
        Self(folder)
    }

    fn baton(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .current_dir(&self.0)
            .env_clear()
            .env("HOME", self.0.path())
            .output()
            .expect("baton starts")
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON document")
}

#[test]
fn a_sound_file_gives_a_line_and_exit_0() {
    let output = Desk::new(&[("pause.toml", SOUND)]).baton(&["check", "pause.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "✓ pause.toml: 2 steps, sound\n");
    assert_eq!(stderr(&output), "");
}

#[test]
fn every_flaw_of_every_file_is_told_at_once_with_exit_2() {
    let bad = SOUND.replace("needs = [\"a\"]", "neds = [\"a\"]\nwait = \"x\"");
    let other = "name = \"other\"\n[steps.a]\nplugin = \"nope\"\n";
    let desk = Desk::new(&[("pause.toml", &bad), ("other.toml", other)]);
    let output = desk.baton(&["check", "pause.toml", "other.toml", "gone.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    for expected in [
        "pause.toml",
        "no plugin `nope`",
        "the folder of plugins plugins",
        "gone.toml: there is no such file",
        "3 of 3 files cannot be used",
    ] {
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
    assert_eq!(stdout(&output), "");
}

#[test]
fn check_gives_one_json_document_with_lines() {
    let desk = Desk::new(&[("other.toml", "name = \"other\"\n[steps.a]\nplugin = \"nope\"\n")]);
    let output = desk.baton(&["check", "--output", "json", "other.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let file = &json(&output)["files"][0];
    assert_eq!(file["ok"], false);
    assert_eq!(file["flaws"][0]["code"], "unknown-plugin");
    assert_eq!(file["flaws"][0]["line"], 3);
}

#[test]
fn a_graph_is_drawn_for_people_and_for_programs() {
    let desk = Desk::new(&[("pause.toml", SOUND)]);
    let text = desk.baton(&["graph", "pause.toml"]);
    let drawn = "\
pause  2 steps in 2 layers

1  ● a  waits 1ms
   │
2  ◌ b ← a  waits 1ms
       when params.n > 5

◌ only if its condition holds
";
    assert_eq!(stdout(&text), drawn);
    let mermaid = stdout(&desk.baton(&["graph", "pause.toml", "--format", "mermaid"]));
    assert!(mermaid.starts_with("flowchart TD\n") && mermaid.contains("s0 -.-> s1"), "{mermaid}");
    let dot = stdout(&desk.baton(&["graph", "pause.toml", "--format", "dot"]));
    assert!(dot.starts_with("digraph \"pause\" {\n") && dot.contains("s0 -> s1 ["), "{dot}");
    assert_eq!(desk.baton(&["graph", "gone.toml"]).status.code(), Some(2));
}

#[test]
fn a_run_without_a_server_is_followed_and_kept() {
    let desk = Desk::new(&[("pause.toml", SOUND)]);
    let output = desk.baton(&["run", "pause.toml", "--param", "n=1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("of pause: succeeded in") && said.contains("b: skipped"), "{said}");
    assert!(!said.contains('\u{1b}'), "a pipe gets no escape sequence: {said:?}");
    let runs = json(&desk.baton(&["runs", "--output", "json"]));
    assert_eq!(runs["runs"][0]["state"], "succeeded");
    let shown = json(&desk.baton(&["show", "last", "--output", "json"]));
    assert_eq!(shown["id"], runs["runs"][0]["id"]);
    assert_eq!(shown["params"]["n"], 1);
}

#[test]
fn a_run_that_times_out_exits_4() {
    let slow = "name = \"slow\"\ntimeout = \"50ms\"\n[steps.a]\nwait = \"1h\"\n";
    let output = Desk::new(&[("slow.toml", slow)]).baton(&["run", "slow.toml", "--output", "json"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(json(&output)["state"], "timed-out");
}

#[test]
fn params_that_do_not_fit_are_all_named_with_what_the_workflow_takes() {
    let desk = Desk::new(&[("pause.toml", SOUND)]);
    let output = desk.baton(&["run", "pause.toml", "-p", "n=many", "-p", "m=1"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("`m`") && said.contains("--param n=<integer>  A number"), "{said}");
}

#[test]
fn verbs_that_need_a_server_say_so() {
    let desk = Desk::new(&[]);
    for verb in ["cancel last", "approve last go", "reject last go"] {
        let mut arguments: Vec<&str> = verb.split(' ').collect();
        arguments.extend(["--reason", "a test"]);
        let output = desk.baton(&arguments);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        assert!(stderr(&output).contains("start `baton serve`"), "{}", stderr(&output));
    }
    assert_eq!(stdout(&desk.baton(&["runs"])), "no runs\n");
    assert!(!desk.0.path().join("data").exists(), "looking makes no data folder");
}

#[test]
fn a_folder_with_a_foreign_file_lists_it_and_exits_1() {
    let desk = Desk::new(&[]);
    fs::create_dir(desk.0.path().join("plugins")).expect("a folder");
    fs::write(desk.0.path().join("plugins/odd.wasm"), "no component").expect("a file");
    let output = desk.baton(&["plugins", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let listed = json(&output);
    assert!(listed["broken"][0]["path"].as_str().is_some_and(|path| path.ends_with("odd.wasm")));
    assert!(stderr(&output).contains("odd.wasm"), "{}", stderr(&output));
}

#[test]
fn bad_usage_exits_2() {
    let desk = Desk::new(&[]);
    assert_eq!(desk.baton(&["frobnicate"]).status.code(), Some(2));
    assert_eq!(desk.baton(&["check"]).status.code(), Some(2));
    assert_eq!(desk.baton(&["--config", "gone.toml", "runs"]).status.code(), Some(2));
}
