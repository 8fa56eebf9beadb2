//! `require`: fails where something does not hold, and says what.
//!
//! For a run whose checks end well with a verdict: their outputs stay in the run and in its
//! report, other steps act on them, and this one makes the run what it is. It touches
//! nothing.

use baton_plugin::{About, Fault, Host, JsonSchema, Plugin};
use serde::{Deserialize, Serialize};

/// What must hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// All of these.
    pub all: Vec<Condition>,
}

/// One thing that must hold.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Whether it does.
    pub holds: bool,
    /// What is said where it does not: what happened, and what to do next.
    pub otherwise: String,
}

/// All holds.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// How many conditions there were.
    pub held: usize,
}

/// The plugin.
pub struct Require;

impl Plugin for Require {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "require",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Fails where something does not hold",
            redis_commands: &[],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, _host: &mut H) -> Result<Output, Fault> {
        let broken = input.all.iter().filter(|it| !it.holds).map(|it| it.otherwise.as_str());
        let broken: Vec<&str> = broken.collect();
        if broken.is_empty() {
            return Ok(Output { held: input.all.len() });
        }
        Err(Fault::permanent("not-so", broken.join("; ")))
    }
}

baton_plugin::export!(Require);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::testing::FakeCluster;

    fn run(text: &str) -> Result<Output, Fault> {
        Require::run(serde_json::from_str(text).unwrap(), &mut FakeCluster::doors_only())
    }

    #[test]
    fn it_ends_well_only_where_everything_holds() {
        let (good, bad) =
            (r#"{"holds": true, "otherwise": "a"}"#, r#"{"holds": false, "otherwise": "b"}"#);
        let worse = bad.replace('b', "c");
        assert_eq!(run(&format!(r#"{{"all": [{good}, {good}]}}"#)).unwrap().held, 2);
        let fault = run(&format!(r#"{{"all": [{good}, {bad}, {worse}]}}"#)).unwrap_err();
        assert_eq!((fault.code, fault.message.as_str()), ("not-so", "b; c"));
    }
}
