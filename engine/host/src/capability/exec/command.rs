//! What the operator said of a command, secrets resolved.

use std::path::PathBuf;

use regex::Regex;

pub use crate::capability::secret::Secret;
pub use baton_core::run::event::CallClass as Class;

use crate::limits;

/// A command that plugins may be let run.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its name in baton.toml.
    pub name: String,
    /// The program, absolute or a bare name to be found in [`SEARCHED`].
    pub program: String,
    /// Arguments that always stand.
    pub fixed: Vec<String>,
    /// What each further argument must look like; a guest gives exactly so many.
    pub args: Vec<Pattern>,
    /// What doing it again would mean.
    pub class: Class,
    /// Where it runs.
    pub cwd: PathBuf,
    /// Variables of the engine's environment that it sees.
    pub env: Vec<String>,
    /// Variables whose values are secrets.
    pub secrets: Vec<(String, Secret)>,
    /// Longest time, in milliseconds.
    pub timeout_ms: u32,
    /// Longest output, in bytes, of stdout and of stderr.
    pub output_bytes_max: usize,
}

/// Where a bare name is looked for, and the PATH that a command sees: the same whoever
/// started the engine.
pub const SEARCHED: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an argument must look like: a regular expression over all of it.
#[derive(Clone, Debug)]
pub struct Pattern {
    whole: Regex,
    text: String,
}

impl Pattern {
    /// # Errors
    /// Why `text` is no regular expression, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let whole = regex::RegexBuilder::new(&format!(r"\A(?:{text})\z"))
            .size_limit(limits::PATTERN_BYTES_MAX)
            .build();
        // By itself it must be one, too: `a)|(b` would undo the anchors.
        let alone = Regex::new(text).map(drop);
        match (whole, alone) {
            (Ok(whole), Ok(())) => Ok(Self { whole, text: text.to_owned() }),
            (Err(error), _) | (_, Err(error)) => {
                let text = error.to_string();
                Err(text.lines().last().unwrap_or_default().trim().to_owned())
            }
        }
    }

    /// Whether all of `argument` fits. What begins with `-` would be read as an option,
    /// so only a pattern that begins with `-` itself lets it through.
    pub(super) fn fits(&self, argument: &str) -> bool {
        (!argument.starts_with('-') || self.text.starts_with('-')) && self.whole.is_match(argument)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g7_a_pattern_holds_all_of_an_argument() {
        let fits = |pattern: &str, text: &str| Pattern::new(pattern).expect("a pattern").fits(text);
        assert!(fits("api-[12]", "api-1"));
        for bad in ["api-3", "xapi-1", "api-1x", "api-1\n", "api-1\napi-2", "", "-api-1"] {
            assert!(!fits("api-[12]", bad), "{bad:?}");
        }
        // Anchors cannot be undone, and alternatives stay inside them.
        assert!(!fits("a|b", "ax"));
        assert!(!fits("(?m)^a$", "a\nb"));
        for option in ["--now", "-h", "-"] {
            assert!(!fits(".*", option), "{option}");
        }
        assert!(fits("--(now|later)", "--now"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["(", "a)|(b", "[", "*", &"(a{1000}){1000}".repeat(3)] {
            assert!(Pattern::new(bad).is_err(), "{bad:.20}");
        }
    }
}
