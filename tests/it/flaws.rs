//! Every bad file of `tests/ui` gets the message beside it: `bad_x.toml`, `bad_x.err`.
//! `UPDATE_EXPECT=1` writes the messages anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use baton_core::workflow::plan::WhenInterrupted;
use baton_core::workflow::{Asks, Library, PluginFacts, check};
use expect_test::expect_file;

fn ui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ui")
}

fn bad_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(ui()).expect("tests/ui is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|it| it == "toml"))
        .filter(|path| stem(path).starts_with("bad_"))
        .collect();
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a file").to_string_lossy().into_owned()
}

/// `bad_unknown_key.toml` is checked as `bad-unknown-key`, since a workflow's name
/// has no `_`.
fn name_of(path: &Path) -> String {
    stem(path).replace('_', "-")
}

/// What the bad files may refer to: some plugins, and the workflows of `tests/ui/lib`.
fn library() -> Library {
    let lib = fs::read_dir(ui().join("lib")).expect("tests/ui/lib is there");
    let workflows = lib
        .map(|entry| {
            let path = entry.expect("readable").path();
            (name_of(&path), fs::read_to_string(&path).expect("readable").into())
        })
        .collect();
    let facts = |commands: &[&str]| PluginFacts {
        redis_commands: commands.iter().map(ToString::to_string).collect(),
        asks: Asks::default(),
        when_interrupted: WhenInterrupted::Rerun,
    };
    let asking = |http: Option<&[&str]>, exec, probe| {
        let http = http.map(|methods| methods.iter().map(ToString::to_string).collect());
        PluginFacts { asks: Asks { http, exec, probe }, ..facts(&[]) }
    };
    let plugins = BTreeMap::from([
        ("redis-ping".to_owned(), facts(&["PING"])),
        ("promote".to_owned(), facts(&["@read", "REPLICAOF", "CONFIG|SET"])),
        ("notify".to_owned(), asking(Some(&["POST"]), false, false)),
        ("silence".to_owned(), asking(Some(&["GET", "DELETE"]), false, false)),
        ("fetch".to_owned(), asking(Some(&[]), false, false)),
        ("restart".to_owned(), asking(None, true, false)),
        ("look".to_owned(), asking(None, false, true)),
    ]);
    Library { workflows, plugins, is_read: |command| ["PING", "GET"].contains(&command) }
}

#[test]
fn every_bad_file_gets_its_message() {
    let library = library();
    let files = bad_files();
    assert!(files.len() >= 25, "only {} bad files", files.len());
    for path in files {
        let source = fs::read_to_string(&path).expect("readable");
        let shown = format!("{}.toml", name_of(&path));
        let text = match check(&name_of(&path), &source, &library) {
            Ok(_) => panic!("{} has no flaw", path.display()),
            Err(flaws) => flaws.render(&shown, &source),
        };
        expect_file![path.with_extension("err")].assert_eq(&text);
    }
}

#[test]
fn every_code_of_a_flaw_has_a_bad_file() {
    let library = library();
    let shown: BTreeSet<&str> = bad_files()
        .iter()
        .flat_map(|path| {
            let source = fs::read_to_string(path).expect("readable");
            let flaws = check(&name_of(path), &source, &library).expect_err("a bad file");
            flaws.flaws.into_iter().map(|flaw| flaw.code)
        })
        .collect();
    let missing: Vec<_> =
        codes_in_source().into_iter().filter(|it| !shown.contains(it.as_str())).collect();
    // Their files would be larger than is reasonable to keep; `toml` and those of the
    // way down to a child are made by other calls.
    let unshown = ["too-large", "too-many-steps"];
    assert_eq!(missing, unshown, "flaws that no file in tests/ui shows");
}

/// Every code that `Flaw::at` and `Flaw::whole` are called with.
fn codes_in_source() -> BTreeSet<String> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/core/src/workflow");
    let mut codes = BTreeSet::new();
    let mut folders = vec![room];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(&path).expect("readable");
            let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for call in source.split("Flaw::at(").chain(source.split("Flaw::whole(")).skip(1) {
                let call = call.trim_start();
                if let Some(code) = call.strip_prefix('"').and_then(|it| it.split('"').next()) {
                    codes.insert(code.to_owned());
                }
            }
        }
    }
    codes
}
