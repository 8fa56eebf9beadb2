//! The shape of a plugin, and the two conversions every call goes through.

use crate::{Fault, Host};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};

/// What a plugin says of itself.
pub struct About {
    /// As the workflow spells it: `redis-ping`.
    pub name: &'static str,
    /// Its own version.
    pub version: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Each Redis command it may send: `GET`, `CONFIG|GET`.
    pub redis_commands: &'static [&'static str],
    /// What should happen to an attempt that made changes and was cut off:
    /// `rerun` (it converges by post-conditions), `replay` (it goes on where it was, on
    /// the answers that it had heard) or `ask`.
    pub when_interrupted: &'static str,
}

/// What a plugin asks for besides Redis. That it uses a door at all is seen by its
/// imports; here it says what can be said beforehand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asks {
    /// HTTP methods: `GET`.
    pub http_methods: &'static [&'static str],
}

/// A step's code.
pub trait Plugin {
    /// What `with` gives.
    type Input: DeserializeOwned + JsonSchema;
    /// What later steps read as `steps.<name>`.
    type Output: Serialize + JsonSchema;

    /// What it is and asks for. Calls nothing.
    fn about() -> About;

    /// What it asks for besides Redis.
    fn asks() -> Asks {
        Asks::default()
    }

    /// Does the step.
    ///
    /// # Errors
    /// A [`Fault`]: why the step failed.
    fn run<H: Host>(input: Self::Input, host: &mut H) -> Result<Self::Output, Fault>;
}

/// Runs a plugin on JSON text, as the engine does.
///
/// # Errors
/// The plugin's own [`Fault`], or `bad-input` where the input does not fit.
pub fn run_json<P: Plugin, H: Host>(input: &str, host: &mut H) -> Result<String, Fault> {
    let input = serde_json::from_str(input).map_err(|error| {
        Fault::permanent(
            "bad-input",
            format!("the step's `with` does not fit {}: {error}", P::about().name),
        )
    })?;
    let output = P::run(input, host)?;
    serde_json::to_string(&output).map_err(|error| {
        Fault::permanent("bad-output", format!("the output cannot be written as JSON: {error}"))
    })
}

fn schema<T: JsonSchema>() -> String {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
        .to_string()
}

/// JSON Schema (2020-12) of a plugin's input.
pub fn input_schema<P: Plugin>() -> String {
    schema::<P::Input>()
}

/// JSON Schema (2020-12) of a plugin's output.
pub fn output_schema<P: Plugin>() -> String {
    schema::<P::Output>()
}
