//! `[exec.<name>]`: commands that plugins may be let run.

use std::path::PathBuf;

use baton_host::capability::exec::{Class, Command, Pattern};

use super::super::flaw::{Flaws, shown};
use super::super::reader::Section;
use super::super::secret::Secrets;
use super::{bytes, fetch, plain, secret_names, timeout};

/// A service's restart takes seconds.
const TIMEOUT_MS_DEFAULT: u32 = 30_000;
const OUTPUT_BYTES_DEFAULT: usize = 64 * 1024;
const OUTPUT_BYTES_MAX: u64 = 1024 * 1024;
const CLASSES: [(&str, Class); 3] =
    [("read", Class::Read), ("idempotent", Class::Idempotent), ("once", Class::Once)];

/// A command as written.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// Everything that needs no secret.
    plain: Command,
    secrets: Vec<(String, String)>,
}

impl Declared {
    pub(super) fn read(
        name: &str,
        section: &mut Section<'_>,
        secrets: &Secrets,
        flaws: &mut Flaws,
    ) -> Self {
        let words = words(section, flaws);
        let mut words = words.into_iter();
        let program = words.next().unwrap_or_default();
        let mut args = Vec::new();
        for pattern in section.list("args", flaws) {
            match Pattern::new(pattern.get_ref()) {
                Ok(fits) => args.push(fits),
                Err(why) => flaws.add(pattern.span(), format!(
                    "{} in `args` is no regular expression ({why}); write one pattern for each argument, as `args = [\"api-[12]\"]`",
                    shown(pattern.get_ref())
                )),
            }
        }
        let env = section.list("env", flaws);
        for variable in &env {
            variable_name(variable.get_ref(), variable.span(), flaws);
        }
        let mut secret = Vec::new();
        for (variable, named) in secret_names(section, "secrets", secrets, flaws) {
            variable_name(variable.get_ref(), variable.span(), flaws);
            secret.push((variable.into_inner(), named));
        }
        let sizes = 1..=OUTPUT_BYTES_MAX;
        let command = Command {
            name: name.to_owned(),
            program,
            fixed: words.collect(),
            args,
            class: class(section, flaws),
            cwd: cwd(section, flaws),
            env: plain(env),
            secrets: Vec::new(),
            timeout_ms: timeout(section, TIMEOUT_MS_DEFAULT, flaws),
            output_bytes_max: bytes(
                section,
                "output_bytes_max",
                sizes,
                OUTPUT_BYTES_DEFAULT,
                flaws,
            ),
        };
        Self { plain: command, secrets: secret }
    }

    pub(super) fn resolve(&self, secrets: &Secrets, flaws: &mut Flaws) -> Command {
        let place = format!("exec.{}", self.plain.name);
        let fetched = self.secrets.iter().filter_map(|(variable, name)| {
            Some((variable.clone(), fetch(&place, name, secrets, flaws)?))
        });
        Command { secrets: fetched.collect(), ..self.plain.clone() }
    }
}

/// `command`: a program and its fixed arguments; never a line for a shell.
fn words(section: &mut Section<'_>, flaws: &mut Flaws) -> Vec<String> {
    let example = "`command = [\"systemctl\", \"restart\", \"bondx-api\"]`";
    let Some(list) = section.required_list("command", example, flaws) else {
        return Vec::new();
    };
    let span = list.span();
    let words = plain(list.into_inner());
    let program = words.first().map(String::as_str).unwrap_or_default();
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        flaws.add(span, format!(
            "`command` begins with no program; write {example}, with a bare name or an absolute path"
        ));
    } else if words.iter().any(|word| word.contains('\0')) {
        flaws.add(span, "`command` holds a zero byte".to_owned());
    }
    words
}

/// What nobody says happens at most once.
fn class(section: &mut Section<'_>, flaws: &mut Flaws) -> Class {
    let Some(written) = section.string("class", flaws) else { return Class::Once };
    let known = CLASSES.iter().find(|(name, _)| name == written.get_ref());
    known.map_or_else(
        || {
            let text = shown(written.get_ref());
            flaws
                .add(written.span(), format!("{text} is no class; write read, idempotent or once"));
            Class::Once
        },
        |(_, class)| *class,
    )
}

fn cwd(section: &mut Section<'_>, flaws: &mut Flaws) -> PathBuf {
    let Some(written) = section.string("cwd", flaws) else { return PathBuf::from("/") };
    if !written.get_ref().starts_with('/') {
        flaws.add(written.span(), "`cwd` must be an absolute path".to_owned());
    }
    PathBuf::from(written.into_inner())
}

fn variable_name(name: &str, span: std::ops::Range<usize>, flaws: &mut Flaws) {
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !fits || name == "PATH" {
        let message = format!(
            "{} is no variable that can be let through; PATH is always the same",
            shown(name)
        );
        flaws.add(span, message);
    }
}
