//! `restore-check`: a snapshot is loaded elsewhere, and holds what it should.
//!
//! A command that the operator listed loads the file into a scratch server and says in one
//! line of JSON what is in it. That is held against what the node said when it saved: the
//! same history, an offset and a number of keys between before and after. A snapshot that
//! does not hold it fails the step, so that whoever hears of failed runs hears of it.

use baton_plugin::{About, Fault, Host, JsonSchema, Plugin, Table, json};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest time of the command, ms, within its own.
const TIMEOUT_MS: u32 = 600_000;
/// Of its errors, for people.
const EXCERPT_CHARS_MAX: usize = 400;

/// What was saved (the output of `redis-snapshot`), and what loads it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A command of baton.toml; it is given `node` and `file`.
    pub command: String,
    /// Who saved, `host:port`.
    pub node: String,
    /// Where, on its machine.
    pub file: String,
    /// The history that it must hold.
    pub replid: String,
    /// Bytes of it before the save.
    pub offset_before: i64,
    /// Bytes of it after the save.
    pub offset_after: i64,
    /// Keys before the save.
    pub keys_before: i64,
    /// Keys after the save.
    pub keys_after: i64,
    /// Keys that may be more or less, for those that come and go meanwhile; 0 if absent.
    #[serde(default)]
    pub keys_slack: i64,
}

/// What the command says, in one line.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
pub struct Loaded {
    /// Keys over all databases.
    pub keys: i64,
    /// Keys that had run out and were not loaded.
    #[serde(default)]
    pub expired: i64,
    /// Keys by type.
    #[serde(default)]
    pub types: BTreeMap<String, i64>,
    /// `repl-id` of the file; empty if it has none.
    #[serde(default)]
    pub replid: String,
    /// `repl-offset` of the file; -1 if it has none.
    #[serde(default = "none")]
    pub offset: i64,
    /// Bytes of the file.
    #[serde(default)]
    pub bytes: i64,
    /// Until it was loaded, ms: what a restore would take at least.
    #[serde(default)]
    pub load_ms: i64,
}

fn none() -> i64 {
    -1
}

/// One thing that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// Short, stable, kebab-case.
    pub name: String,
    /// It holds.
    pub ok: bool,
    /// What was seen.
    pub message: String,
}

/// It holds what it should.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `pass`; anything else is a fault.
    pub verdict: String,
    /// In one sentence.
    pub reason: String,
    /// What was in it.
    pub loaded: Loaded,
    /// What was compared.
    pub checks: Vec<Check>,
    /// The same for people.
    pub table: Table,
}

/// The plugin.
pub struct RestoreCheck;

impl Plugin for RestoreCheck {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "restore-check",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Loads a snapshot elsewhere and compares what is in it",
            redis_commands: &[],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let Input { command, node, file, .. } = &input;
        let left = host.exec(command, &[node, file], TIMEOUT_MS).map_err(|error| {
            Fault::from_call(&format!("cannot load {file} of {node} by {command}"), &error)
        })?;
        if !left.is_success() {
            let said = String::from_utf8_lossy(&left.stderr);
            let last: String = said
                .trim()
                .lines()
                .last()
                .unwrap_or_default()
                .chars()
                .take(EXCERPT_CHARS_MAX)
                .collect();
            let what =
                format!("{command} could not load {file} of {node} ({:?}): {last}", left.exit);
            return Err(Fault::permanent("not-loaded", what));
        }
        let said = String::from_utf8_lossy(&left.stdout);
        let line = said.trim().lines().last().unwrap_or_default();
        let loaded: Loaded = serde_json::from_str(line).map_err(|error| {
            Fault::permanent("not-told", format!("{command} does not say what it loaded: {error}"))
        })?;
        judge(&input, loaded)
    }
}

fn judge(input: &Input, loaded: Loaded) -> Result<Output, Fault> {
    let checks = vec![keys(input, &loaded), history(input, &loaded), offset(input, &loaded)];
    let against: Vec<&str> =
        checks.iter().filter(|it| !it.ok).map(|it| it.message.as_str()).collect();
    if !against.is_empty() {
        let what = format!(
            "{} of {} does not hold what it should: {}",
            input.file,
            input.node,
            against.join("; ")
        );
        let details = json!({ "loaded": loaded, "checks": checks });
        return Err(Fault::permanent("not-whole", what).with(details));
    }
    let mut table = Table::new(["what", "is"]);
    table.rows = checks.iter().map(|it| vec![it.name.clone(), it.message.clone()]).collect();
    let types = loaded
        .types
        .iter()
        .map(|(name, keys)| vec![format!("keys of type {name}"), keys.to_string()]);
    table.rows.extend(types);
    let size = format!("{} bytes, loaded in {} ms", loaded.bytes, loaded.load_ms);
    table.rows.push(vec!["file".into(), size]);
    let reason = format!(
        "{} of {} was loaded elsewhere and holds {} keys",
        input.file, input.node, loaded.keys
    );
    Ok(Output { verdict: "pass".into(), reason, loaded, checks, table })
}

fn check(name: &str, ok: bool, message: String) -> Check {
    Check { name: name.to_owned(), ok, message }
}

/// Those that had run out are in the file and are not loaded.
fn keys(input: &Input, loaded: &Loaded) -> Check {
    let low = input.keys_before.min(input.keys_after) - input.keys_slack;
    let high = input.keys_before.max(input.keys_after) + input.keys_slack;
    let all = loaded.keys + loaded.expired;
    let ok = (low..=high).contains(&all);
    let expired = match loaded.expired {
        0 => String::new(),
        some => format!(" and {some} that had run out"),
    };
    check("keys", ok, format!("{}{expired}, {low} to {high} expected", loaded.keys))
}

fn history(input: &Input, loaded: &Loaded) -> Check {
    let ok = loaded.replid == input.replid;
    let message = if ok {
        loaded.replid.clone()
    } else {
        format!("it is of history {:?}, not {}: another file", loaded.replid, input.replid)
    };
    check("history", ok, message)
}

fn offset(input: &Input, loaded: &Loaded) -> Check {
    let (low, high) = (input.offset_before, input.offset_after);
    let ok = (low..=high).contains(&loaded.offset);
    let why = if ok || loaded.offset > high { "" } else { ": an older file" };
    check("offset", ok, format!("{}, {low} to {high} expected{why}", loaded.offset))
}

baton_plugin::export!(RestoreCheck);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::exec::Output as Left;
    use baton_plugin::testing::FakeCluster;

    fn input() -> Input {
        let text = r#"{"command":"check","node":"n:1","file":"/d","replid":"a","offset_before":9000000,
            "offset_after":9000500,"keys_before":10,"keys_after":12}"#;
        serde_json::from_str(text).unwrap()
    }

    fn check(left: Left) -> Result<Output, Fault> {
        let mut fake = FakeCluster::doors_only().on_exec("check", "n:1 /d", vec![Ok(left)]);
        RestoreCheck::run(input(), &mut fake)
    }

    fn says(line: &str) -> Result<Output, Fault> {
        check(Left { exit: Some(0), stdout: line.into(), ..Left::default() })
    }

    #[test]
    fn a_snapshot_that_holds_what_it_should_passes() {
        let line = r#"{"keys":11,"types":{"hash":4,"string":7},"replid":"a","offset":9000100,"bytes":99,"load_ms":3}"#;
        let output = says(&format!("loading\n{line}\n")).unwrap();
        assert_eq!((output.verdict.as_str(), output.checks.len()), ("pass", 3));
        assert_eq!(output.table.rows[3], ["keys of type hash", "4"]);
        // Two had run out by the time that it was loaded.
        assert!(says(r#"{"keys":9,"expired":2,"replid":"a","offset":9000000}"#).is_ok());
    }

    #[test]
    fn one_that_does_not_fails_and_says_what_is_wrong() {
        for (line, why) in [
            (r#"{"keys":9,"replid":"a","offset":9000100}"#, "9, 10 to 12 expected"),
            (r#"{"keys":13,"replid":"a","offset":9000100}"#, "13, 10 to 12 expected"),
            (r#"{"keys":11,"replid":"b","offset":9000100}"#, "another file"),
            (r#"{"keys":11,"replid":"a","offset":100}"#, "an older file"),
            (r#"{"keys":11,"replid":"a","offset":9000501}"#, "9000501, 9000000 to 9000500"),
            (r#"{"keys":11}"#, "another file"),
        ] {
            let fault = says(line).unwrap_err();
            assert_eq!(fault.code, "not-whole");
            assert!(fault.message.contains(why), "{}", fault.message);
        }
    }

    #[test]
    fn what_cannot_be_loaded_or_read_is_a_fault_of_its_own() {
        let left =
            Left { exit: Some(1), stderr: b"a\nWrong signature\n".to_vec(), ..Left::default() };
        let fault = check(left).unwrap_err();
        assert_eq!(fault.code, "not-loaded");
        assert!(fault.message.ends_with("Wrong signature"), "{}", fault.message);
        assert_eq!(says("no json").unwrap_err().code, "not-told");
        assert_eq!(says("").unwrap_err().code, "not-told");
    }
}
