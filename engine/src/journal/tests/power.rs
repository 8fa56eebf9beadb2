//! What a power loss leaves is what was synced. `strace` shows the order of the calls of
//! a process that writes: at each acknowledgement everything that it rests on is on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use super::crash::{COUNT, FOLDER, PREFIX, child};

/// Calls that change files or names, or put them on disk.
const CALLS: &str = "trace=openat,creat,mkdir,mkdirat,rename,renameat,renameat2,write,pwrite64,\
                     fsync,fdatasync,sync_file_range,fallocate,ftruncate";

/// A line of the trace: a call that has returned, or was told of in two lines.
struct Call<'t> {
    name: &'t str,
    arguments: &'t str,
    result: &'t str,
}

/// What is not on disk yet.
#[derive(Default)]
struct Unsynced {
    files: BTreeSet<String>,
    /// Names that were made, by the folder they are in.
    names: BTreeMap<String, BTreeSet<String>>,
}

impl Unsynced {
    fn made(&mut self, path: &str) {
        if let Some((folder, name)) = path.rsplit_once('/') {
            self.names.entry(folder.to_owned()).or_default().insert(name.to_owned());
        }
    }

    fn take(&mut self, call: &Call<'_>) {
        let first = descriptor(call.arguments);
        match call.name {
            "openat" | "creat" if call.arguments.contains("O_CREAT") => {
                if let Some(path) = descriptor(call.result) {
                    self.made(path);
                }
            }
            "mkdir" | "mkdirat" if call.result.starts_with('0') => {
                self.made(quoted(call.arguments)[0]);
            }
            "rename" | "renameat" | "renameat2" if call.result.starts_with('0') => {
                let names = quoted(call.arguments);
                assert!(!self.files.contains(names[0]), "{} is renamed unsynced", names[0]);
                self.made(names[1]);
            }
            "write" | "pwrite64" | "ftruncate" => {
                self.files.extend(first.map(str::to_owned));
            }
            // What sled calls a flush puts nothing on disk.
            "fsync" | "fdatasync" if call.result.starts_with('0') => {
                let path = first.expect("of a file");
                self.files.remove(path);
                self.names.remove(path);
            }
            _ => {}
        }
    }

    /// What the acknowledged rests on and is not on disk: the log, large records, and the
    /// names that lead to them. The store and the mark are not trusted after a power loss.
    fn missing(&self, journal: &str) -> Vec<String> {
        let trusted = |path: &str| {
            let Some(inner) = path.strip_prefix(journal) else { return false };
            let inner = inner.trim_start_matches('/');
            let spare = ["store", "stored", "lock", "blobs/drafts/", "format.draft"];
            !spare.iter().any(|name| inner.starts_with(name))
        };
        let files = self.files.iter().filter(|path| trusted(path)).cloned();
        let names = self.names.iter().flat_map(|(folder, names)| {
            names.iter().map(move |name| format!("{folder}/{name}")).filter(|path| trusted(path))
        });
        files.chain(names).collect()
    }
}

/// The path of the first descriptor, as `7</some/path>`.
fn descriptor(text: &str) -> Option<&str> {
    let (number, rest) = text.split_once('<')?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| rest.split_once('>').map(|(path, _)| path)).flatten()
}

fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// The calls of a trace in the order in which they ended; writes where they began.
fn calls(trace: &str) -> Vec<Call<'_>> {
    let mut begun: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix("<... ") {
            let Some((name, arguments)) = begun.remove(process) else { continue };
            let Some((_, result)) = rest.rsplit_once(" = ") else { continue };
            calls.push(Call { name, arguments, result });
        } else if let Some((name, rest)) = rest.split_once('(') {
            if let Some(arguments) = rest.strip_suffix("<unfinished ...>") {
                begun.insert(process, (name, arguments));
                if matches!(name, "write" | "pwrite64") {
                    calls.push(Call { name, arguments, result: "" });
                }
            } else if let Some((arguments, result)) = rest.rsplit_once(" = ") {
                calls.push(Call { name, arguments, result });
            }
        }
    }
    calls
}

fn trace_of(folder: &Path, journal: &Path, runs: &str) -> String {
    let trace = folder.join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "32", "-e", CALLS, "-o"]).arg(&trace);
    let mut order = child(strace);
    order.env(FOLDER, journal).env(PREFIX, runs).env(COUNT, "40");
    let out = order.output().expect("strace (Debian package `strace`) starts");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    fs::read_to_string(trace).expect("a trace")
}

#[test]
fn g2_what_is_acknowledged_was_synced_before_with_all_that_leads_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().canonicalize().expect("a path");
    // With parents that are made on the way, and in a second start.
    let journal = folder.join("deep/journal");
    for start in 0..2 {
        let trace = trace_of(&folder, &journal, &format!("start-{start}"));
        let (mut unsynced, mut acknowledged, mut synced) = (Unsynced::default(), 0, 0);
        for call in calls(&trace) {
            if call.name == "write" && call.arguments.contains("STORED") {
                acknowledged += 1;
                let missing = unsynced.missing(journal.to_str().expect("a path"));
                assert!(missing.is_empty(), "start {start}: acknowledged before {missing:?}");
            }
            synced += usize::from(call.name == "fdatasync" && call.arguments.contains("/log/"));
            unsynced.take(&call);
        }
        assert!(acknowledged >= 40, "{acknowledged}\n{trace}");
        // One sync a group; a group may have several batches.
        assert!((1..=acknowledged).contains(&synced), "{synced} of {acknowledged}");
        assert!(trace.contains("/blobs/"), "some of it is large");
    }
}
