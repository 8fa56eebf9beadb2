//! `probe-endpoints`: is everything up that should be?

use baton_plugin::{About, Fault, Host, JsonSchema, Plugin};
use serde::{Deserialize, Serialize};

/// Longest look at one target, ms, unless the input says otherwise.
const TIMEOUT_MS_DEFAULT: u32 = 2000;

/// What to look at.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Targets of baton.toml.
    pub targets: Vec<String>,
    /// How many of them must be up.
    #[serde(default)]
    pub need: Need,
    /// Longest look at one target, ms, within the target's own time.
    pub timeout_ms: Option<u32>,
}

/// How many must be up.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Every one.
    #[default]
    All,
    /// At least one.
    Any,
}

/// What was seen.
#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Output {
    /// As many are up as are needed.
    pub up: bool,
    /// Names of those that are not up.
    pub down: Vec<String>,
    /// In the order of the input.
    pub targets: Vec<Seen>,
}

/// One target.
#[derive(Debug, Serialize, JsonSchema, PartialEq)]
pub struct Seen {
    /// Its name in baton.toml.
    pub name: String,
    /// It answers as it should.
    pub up: bool,
    /// Until that was known, ms.
    pub latency_ms: u32,
    /// In words: what was seen.
    pub reason: String,
}

/// The plugin.
pub struct ProbeEndpoints;

impl Plugin for ProbeEndpoints {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "probe-endpoints",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Looks whether endpoints are up",
            redis_commands: &[],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let Input { targets, need, timeout_ms } = input;
        if targets.is_empty() {
            // All of none is up, and says nothing.
            let message = "`targets` is empty: name what must be up, or leave the step out";
            return Err(Fault::permanent("bad-input", message));
        }
        let names: Vec<&str> = targets.iter().map(String::as_str).collect();
        let findings = host
            .probe(&names, timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT))
            .map_err(|error| Fault::from_call("cannot look", &error))?;
        let seen: Vec<Seen> = targets
            .into_iter()
            .zip(findings)
            .map(|(name, it)| Seen {
                name,
                up: it.up,
                latency_ms: it.latency_ms,
                reason: it.reason,
            })
            .collect();
        let down: Vec<String> = seen.iter().filter(|it| !it.up).map(|it| it.name.clone()).collect();
        let up = match need {
            Need::All => down.is_empty(),
            Need::Any => down.len() < seen.len(),
        };
        Ok(Output { up, down, targets: seen })
    }
}

baton_plugin::export!(ProbeEndpoints);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::probe::Finding;
    use baton_plugin::testing::FakeCluster;

    fn look(targets: &[(&str, bool)], need: Need) -> Output {
        let mut fake = FakeCluster::doors_only();
        for (name, up) in targets {
            let finding = Finding { up: *up, latency_ms: 3, reason: "as scripted".into() };
            fake.doors.on_probe(name, finding);
        }
        let targets = targets.iter().map(|(name, _)| (*name).to_owned()).collect();
        let input = Input { targets, need, timeout_ms: None };
        ProbeEndpoints::run(input, &mut fake).unwrap()
    }

    #[test]
    fn all_or_any_must_be_up() {
        let mixed = [("api", true), ("feed", false)];
        let all = look(&mixed, Need::All);
        assert_eq!((all.up, all.down), (false, vec!["feed".to_owned()]));
        assert_eq!(all.targets[0].latency_ms, 3);
        assert!(look(&mixed, Need::Any).up);
        assert!(look(&mixed[..1], Need::All).up);
        assert!(!look(&mixed[1..], Need::Any).up);
    }

    #[test]
    fn all_of_none_is_a_fault_and_so_is_what_nobody_knows() {
        let run = |targets: Vec<String>| {
            let input = Input { targets, need: Need::All, timeout_ms: Some(5) };
            ProbeEndpoints::run(input, &mut FakeCluster::doors_only()).unwrap_err().code
        };
        assert_eq!(run(Vec::new()), "bad-input");
        assert_eq!(run(vec!["nobody".into()]), "not-found");
    }
}
