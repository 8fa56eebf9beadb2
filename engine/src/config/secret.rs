//! Secrets by name. The file says where each one's text is; the text is fetched
//! when it is needed and lives only in [`Secret`], which never shows itself.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use baton_host::capability::redis::Secret;

use super::flaw::{Flaws, did_you_mean};
use super::reader::Section;

/// A longer secret is another file picked by mistake.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Where each secret's text is.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    sources: BTreeMap<String, Source>,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Env(String),
    File(PathBuf),
}

/// A secret cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nobody declared it.
    #[error(
        "no secret named `{name}`: add `{name} = {{ env = \"…\" }}` to [secrets] of baton.toml{hint}"
    )]
    Undeclared {
        /// Its name.
        name: String,
        /// A name that may have been meant.
        hint: String,
    },
    /// It is declared, but not where it should be.
    #[error("secret `{name}`: {problem}")]
    Missing {
        /// Its name.
        name: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Secrets {
    /// No secrets at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The text of the secret called `name`.
    ///
    /// # Errors
    /// If it is not declared, not set, not readable, empty or not text.
    pub fn get(&self, name: &str) -> Result<Secret, SecretError> {
        let source = self.declared(name)?;
        let missing = |problem: String| SecretError::Missing { name: name.to_owned(), problem };
        let text = match source {
            Source::Env(variable) => std::env::var(variable).map_err(|error| match error {
                std::env::VarError::NotPresent => missing(format!(
                    "the environment variable {variable} is not set; set it where `baton` is started"
                )),
                std::env::VarError::NotUnicode(_) => {
                    missing(format!("the environment variable {variable} is not UTF-8"))
                }
            })?,
            Source::File(path) => read_file(path).map_err(missing)?,
        };
        if text.is_empty() {
            return Err(missing(format!("{source} is empty")));
        }
        Ok(Secret::new(text))
    }

    pub(super) fn declared(&self, name: &str) -> Result<&Source, SecretError> {
        self.sources.get(name).ok_or_else(|| SecretError::Undeclared {
            name: name.to_owned(),
            hint: did_you_mean(name, self.sources.keys().map(String::as_str)),
        })
    }

    pub(super) fn read(mut section: Section<'_>, folder: &Path, flaws: &mut Flaws) -> Self {
        let mut sources = BTreeMap::new();
        let names: Vec<_> = section.keys().collect();
        for (name, span) in names {
            if section.is_string(name) {
                // The value is not repeated: it may be the secret itself.
                flaws.add(span, format!(
                    "secret `{name}` must say where its text is, not hold it; write `{name} = {{ env = \"VARIABLE\" }}` or `{name} = {{ file = \"/run/secrets/{name}\" }}`"
                ));
                continue;
            }
            let mut entry = section.section(name, flaws);
            if !entry.is_present() {
                continue;
            }
            let env = entry.string("env", flaws).map(toml::Spanned::into_inner);
            let file = entry.string("file", flaws).map(toml::Spanned::into_inner);
            entry.finish(flaws);
            let source = match (env, file) {
                (Some(variable), None) if is_variable(&variable) => Source::Env(variable),
                (None, Some(path)) if !path.is_empty() => Source::File(folder.join(path)),
                (Some(_), None) => {
                    flaws.add(
                        span,
                        format!(
                            "secret `{name}`: `env` must be the name of an environment variable"
                        ),
                    );
                    continue;
                }
                _ => {
                    flaws.add(
                        span,
                        format!("secret `{name}` needs exactly one of `env` and `file`"),
                    );
                    continue;
                }
            };
            sources.insert(name.to_owned(), source);
        }
        Self { sources }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Env(variable) => write!(f, "the environment variable {variable}"),
            Source::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Without the newline that editors and `echo` leave at the end.
fn read_file(path: &Path) -> Result<String, String> {
    let at = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        format!(
            "cannot read the file {at}: {error}; create it, readable by the user that runs `baton`"
        )
    })?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(format!("the file {at} is larger than {SECRET_BYTES_MAX} bytes"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| format!("the file {at} is not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
