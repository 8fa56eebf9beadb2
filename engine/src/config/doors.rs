//! `[http.<name>]`, `[exec.<name>]`, `[probe.<name>]`: what plugins may be let reach
//! besides Redis.

mod exec;
mod http;
mod probe;

use std::path::Path;

use baton_core::limits::NAME_CHARS_MAX;
use baton_host::capability::Outside;
use baton_host::capability::redis::Secret;
use toml::Spanned;

use super::flaw::{Flaws, shown};
use super::reader::Section;
use super::secret::Secrets;

/// Longest time of one call: ten minutes.
const TIMEOUT_MS_MAX: u64 = 600_000;

/// The doors as written: secrets by name, certificates by path.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    http: Vec<http::Declared>,
    exec: Vec<exec::Declared>,
    probe: Vec<probe::Declared>,
}

impl Declared {
    pub(super) fn read(
        root: &mut Section<'_>,
        folder: &Path,
        secrets: &Secrets,
        flaws: &mut Flaws,
    ) -> Self {
        Self {
            http: entries(root.section("http", flaws), flaws, |name, section, flaws| {
                http::Declared::read(name, section, folder, secrets, flaws)
            }),
            exec: entries(root.section("exec", flaws), flaws, |name, section, flaws| {
                exec::Declared::read(name, section, secrets, flaws)
            }),
            probe: entries(root.section("probe", flaws), flaws, |name, section, flaws| {
                probe::Declared::read(name, section, folder, flaws)
            }),
        }
    }

    /// Fetches secrets and reads certificates; what is missing goes to `flaws`.
    pub(super) fn resolve(&self, secrets: &Secrets, flaws: &mut Flaws) -> Outside {
        Outside {
            http: self.http.iter().map(|it| it.resolve(secrets, flaws)).collect(),
            exec: self.exec.iter().map(|it| it.resolve(secrets, flaws)).collect(),
            probe: self.probe.iter().map(|it| it.resolve(flaws)).collect(),
        }
    }
}

/// Each table below `section`, named as workflows can spell it.
fn entries<T>(
    mut section: Section<'_>,
    flaws: &mut Flaws,
    read: impl Fn(&str, &mut Section<'_>, &mut Flaws) -> T,
) -> Vec<T> {
    let mut all = Vec::new();
    for (name, span) in section.keys().collect::<Vec<_>>() {
        if !is_name(name) {
            flaws.add(span, format!(
                "{} is not a name that a grant can spell: use a letter of a-z, then a-z, 0-9 and `-`, at most {NAME_CHARS_MAX} in all",
                shown(name)
            ));
        }
        let mut entry = section.section(name, flaws);
        if entry.is_present() {
            all.push(read(name, &mut entry, flaws));
            entry.finish(flaws);
        }
    }
    all
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= NAME_CHARS_MAX
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// `timeout_ms`.
fn timeout(section: &mut Section<'_>, default: u32, flaws: &mut Flaws) -> u32 {
    let written = section.integer("timeout_ms", 1..=TIMEOUT_MS_MAX, flaws);
    written.map_or(default, |it| u32::try_from(it.into_inner()).unwrap_or(default))
}

/// A size under `key`, in bytes.
fn bytes(
    section: &mut Section<'_>,
    key: &str,
    range: std::ops::RangeInclusive<u64>,
    default: usize,
    flaws: &mut Flaws,
) -> usize {
    let written = section.integer(key, range, flaws);
    written.map_or(default, |it| usize::try_from(it.into_inner()).unwrap_or(default))
}

/// The name of a secret under `key`. The value is not repeated: it may be the secret.
fn secret_name(
    section: &mut Section<'_>,
    key: &str,
    secrets: &Secrets,
    flaws: &mut Flaws,
) -> Option<String> {
    let name = section.string(key, flaws)?;
    if secrets.declared(name.get_ref()).is_err() {
        flaws.add(name.span(), format!(
            "`{key}` must be the name of a secret in [secrets]; write `{key} = \"api-token\"` here and `api-token = {{ env = \"API_TOKEN\" }}` there"
        ));
    }
    Some(name.into_inner())
}

/// The secrets named by the keys of the table under `key`.
fn secret_names(
    section: &mut Section<'_>,
    key: &str,
    secrets: &Secrets,
    flaws: &mut Flaws,
) -> Vec<(Spanned<String>, String)> {
    let mut table = section.section(key, flaws);
    let keys: Vec<_> = table.keys().collect();
    let pairs = keys.into_iter().filter_map(|(name, span)| {
        let secret = secret_name(&mut table, name, secrets, flaws)?;
        Some((Spanned::new(span, name.to_owned()), secret))
    });
    pairs.collect()
}

/// The text of a secret; what is missing goes to `flaws`.
fn fetch(place: &str, name: &str, secrets: &Secrets, flaws: &mut Flaws) -> Option<Secret> {
    let fetched = secrets.get(name);
    fetched.map_err(|error| flaws.add_unplaced(format!("[{place}] {error}"))).ok()
}

fn plain(texts: Vec<Spanned<String>>) -> Vec<String> {
    texts.into_iter().map(Spanned::into_inner).collect()
}

#[cfg(test)]
mod tests;
