//! Rules of the house that no compiler checks. Each finding names its file.
//! Also a test, so that nobody has to remember to run it.

mod runbook;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Longest Rust file, in lines: what a person can hold in the head, and a little.
const RUST_LINES_MAX: usize = 450;

/// Folders that hold nothing of ours.
const NOT_OURS: [&str; 3] = ["target", ".git", "node_modules"];

/// Words that say that something is unfinished. Split, so as not to find themselves.
const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("dbg", "!(")];

/// A crate, and the only files that may name it.
struct Wall {
    named_as: &'static [&'static str],
    allowed: &'static [&'static str],
}

const WALLS: [Wall; 4] = [
    Wall { named_as: &["sled::", "use sled"], allowed: &["engine/src/journal/sled"] },
    Wall { named_as: &["wasmtime::", "use wasmtime"], allowed: &["engine/host/"] },
    Wall { named_as: &["axum::", "use axum"], allowed: &["engine/src/http"] },
    Wall { named_as: &["clap::", "use clap"], allowed: &["engine/src/cli", "xtask/"] },
];

/// What the core must not depend on: it is pure.
const NOT_IN_CORE: [&str; 6] = ["tokio", "sled", "wasmtime", "axum", "redis", "rustix"];

/// Paths of somebody's own machine. Split, so as not to find themselves.
const STRAY_PATHS: [&str; 3] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// Checks all rules.
///
/// # Errors
/// With every finding, one a line.
pub(crate) fn tidy(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    let mut findings = Vec::new();
    for path in &files {
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        // Binary files have nothing to say here.
        let Ok(text) = fs::read_to_string(path) else { continue };
        check_file(&name, &text, &mut findings);
    }
    check_core(root, &mut findings)?;
    check_plugins(root, &mut findings)?;
    check_workflows(root, &files, &mut findings)?;
    runbook::check(root, &files, &mut findings)?;
    if findings.is_empty() {
        return Ok(());
    }
    findings.sort();
    bail!("{} findings:\n{}", findings.len(), findings.join("\n"))
}

fn check_file(name: &str, text: &str, findings: &mut Vec<String>) {
    let rust = has_extension(name, "rs");
    if !(rust || ["toml", "md", "wit"].iter().any(|it| has_extension(name, it))) {
        return;
    }
    let lines = text.lines().count();
    if rust && lines > RUST_LINES_MAX {
        findings.push(format!("{name}: {lines} lines; split it (at most {RUST_LINES_MAX})"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let words = UNFINISHED.iter().chain(&STRAY_PATHS);
        for word in words.filter(|word| line.contains(**word)) {
            findings.push(format!("{name}:{number}: `{word}` does not belong here"));
        }
    }
    if !rust || name.starts_with("xtask/src/tidy") {
        return;
    }
    for wall in WALLS {
        // A room of ours may be called like the crate that it hides.
        let room = wall.named_as.iter().any(|word| text.contains(&format!("mod {};", last(word))));
        let allowed = room || wall.allowed.iter().any(|place| name.starts_with(place));
        let named = |line: &&str| wall.named_as.iter().any(|word| names(line, word));
        if let Some(line) = text.lines().find(named).filter(|_| !allowed) {
            let place = wall.allowed.join(" and ");
            findings.push(format!("{name}: `{}` belongs in {place} only", line.trim()));
        }
    }
}

/// The crate's name of `sled::` or `use sled`.
fn last(word: &str) -> &str {
    let word = word.trim_end_matches(':');
    word.rsplit(' ').next().unwrap_or(word)
}

/// Whether `line` has `word` as code: not in a comment, not as the end of a
/// longer path (`crate::journal::sled::` is a room of ours).
fn names(line: &str, word: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == ':')
    })
}

fn check_core(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let text = read(&root.join("engine/core/Cargo.toml"))?;
    let manifest: toml::Table = text.parse().context("engine/core/Cargo.toml")?;
    for section in ["dependencies", "build-dependencies"] {
        let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { continue };
        for name in NOT_IN_CORE.iter().filter(|name| table.contains_key(**name)) {
            findings
                .push(format!("engine/core/Cargo.toml: the core is pure; {name} is not for it"));
        }
    }
    Ok(())
}

/// Every folder of `plugins/` that builds a guest tells its users how to use it.
fn check_plugins(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    for folder in folders(&root.join("plugins"))? {
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        if manifest.contains("cdylib") && !folder.join("README.md").exists() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            findings.push(format!("plugins/{name}: a plugin without a README.md"));
        }
    }
    Ok(())
}

/// A workflow that is shown to users is also run: some test names its file or its
/// stem, or walks over the whole folder.
fn check_workflows(root: &Path, files: &[PathBuf], findings: &mut Vec<String>) -> Result<()> {
    let folder = root.join("workflows");
    if !folder.is_dir() {
        return Ok(());
    }
    let tests: Vec<_> = files
        .iter()
        .filter(|path| path.starts_with(root.join("tests/it")))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let walked =
        tests.iter().any(|text| text.contains("\"workflows\"") && text.contains("read_dir"));
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !walked && !tests.iter().any(|text| text.contains(&stem)) {
            findings.push(format!("workflows/{stem}.toml: no test names it"));
        }
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            collect(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let paths = entries.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.is_dir()).collect())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let root = crate::shell::root().expect("xtask is in the workspace");
        if let Err(findings) = tidy(&root) {
            panic!("{findings:#}");
        }
    }

    fn findings(name: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check_file(name, text, &mut findings);
        findings
    }

    #[test]
    fn a_crate_behind_its_wall_is_found_outside() {
        assert_eq!(findings("engine/src/runner.rs", "let db = sled::open(path);").len(), 1);
        assert_eq!(findings("engine/src/runner.rs", "use wasmtime::Engine;").len(), 1);
        assert!(findings("engine/src/journal/sled.rs", "use sled::Db;").is_empty());
    }

    #[test]
    fn our_own_room_of_the_same_name_is_no_finding() {
        assert!(findings("engine/src/runner.rs", "use crate::journal::sled::Store;").is_empty());
        assert!(findings("engine/src/runner.rs", "//! Unlike sled::Db, this ...").is_empty());
    }

    #[test]
    fn long_files_and_unfinished_work_are_found() {
        assert_eq!(findings("a.rs", &"\n".repeat(RUST_LINES_MAX + 1)).len(), 1);
        assert!(findings("a.rs", &"\n".repeat(RUST_LINES_MAX)).is_empty());
        assert_eq!(
            findings("a.md", concat!("text\nTO", "DO: more")),
            [concat!("a.md:2: `TO", "DO` does not belong here")]
        );
    }
}
