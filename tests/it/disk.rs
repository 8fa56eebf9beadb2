//! `baton serve` on a disk that fills up and is emptied under it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use baton_lab::daemon::{Daemon, Home};
use baton_lab::wait::{wait_for, wait_until};
use baton_lab::web;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use serde_json::{Value, json};

use crate::cli::binary;

/// Tells the child where its folder is; its disk is `data` there.
const DISK: &str = "BATON_TEST_SERVE_DISK";
/// Mounts a disk of 48 MiB there, for nobody else to see.
const SCRIPT: &str =
    "mount -t tmpfs -o size=48m none \"$BATON_TEST_SERVE_DISK/data\" && exec \"$0\" \"$@\"";
/// Runs that are under way while the disk is full.
const RUNS: usize = 20;
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits, so that timers come due while the disk is full.
const PAUSE: &str =
    "name = \"pause\"\n[steps.a]\nwait = \"1s\"\n[steps.b]\nneeds = [\"a\"]\nwait = \"1ms\"\n";

fn begin(serve: &Daemon) -> web::Answer {
    let wish = json!({ "workflow": "pause" }).to_string();
    let json = [("content-type", "application/json")];
    web::post(serve.address(), "/runs", &json, wish.as_bytes()).unwrap()
}

fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let free = statvfs(disk).unwrap();
    let free = free.f_bavail * free.f_frsize;
    // Less than the journal wants, and then to the last byte.
    fallocate(File::create(&path).unwrap(), FallocateFlags::empty(), 0, free).unwrap();
    path
}

/// Not a test by itself: the child's main, when the parent says so.
#[test]
fn the_child_that_serves_on_a_small_disk() {
    let Ok(disk) = std::env::var(DISK) else { return };
    let home = Home { binary: binary(), folder: PathBuf::from(disk), environment: Vec::new() };
    fs::create_dir(home.folder.join("workflows")).unwrap();
    fs::create_dir(home.folder.join("plugins")).unwrap();
    fs::write(home.folder.join("workflows/pause.toml"), PAUSE).unwrap();
    fs::write(home.folder.join("baton.toml"), "[server]\nbind = \"127.0.0.1:0\"\n").unwrap();
    let mut serve = Daemon::start(&home).unwrap();
    let begun: Vec<String> = (0..RUNS)
        .map(|_| {
            let answer = begin(&serve);
            assert_eq!(answer.status, 202, "{}", answer.body);
            answer.json().unwrap()["run"].as_str().unwrap().to_owned()
        })
        .collect();

    let filler = fill(&home.folder.join("data"));
    let refused = begin(&serve);
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    assert!(refused.body.contains("make room"), "{}", refused.body);
    let ready = web::get(serve.address(), "/readyz").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("MiB are free"), "{}", ready.body);
    // Their timers come due, and nothing can be stored of it.
    wait_until("the runs are due", PATIENCE, || {
        let shown = serve.run(&begun[RUNS - 1]).unwrap();
        let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        age.as_millis() > u128::from(shown["begun_at"].as_u64().unwrap()) + 1_500
    })
    .unwrap();
    assert!(serve.runs("pause").unwrap().iter().all(|run| run["state"] == "running"));
    assert!(serve.running());

    fs::remove_file(filler).unwrap();
    wait_until("it takes triggers again", PATIENCE, || {
        web::get(serve.address(), "/readyz").unwrap().status == 200
    })
    .unwrap();
    let one_more = begin(&serve);
    assert_eq!(one_more.status, 202, "{}", one_more.body);
    for run in &begun {
        let ended = wait_for("the run ends by itself", PATIENCE, || {
            let shown = serve.run(run).unwrap();
            (shown["state"] != "running").then_some(shown)
        });
        assert_eq!(ended.unwrap()["state"], "succeeded");
    }
    let log = fs::read_to_string(home.log()).unwrap();
    assert_eq!(log.matches("nothing can be stored for the time being").count(), 1, "{log}");
    assert_eq!(log.matches("the journal takes writes again").count(), 1, "{log}");
    serve.kill();
    let serve = Daemon::start(&home).unwrap();
    let runs = serve.runs("pause").unwrap();
    let known = |id: &String| runs.iter().any(|run: &Value| run["id"] == **id);
    assert!(begun.iter().all(known) && runs.len() == RUNS + 1, "{runs:?}");
}

#[test]
fn a_full_disk_is_answered_503_and_when_there_is_room_all_goes_on_by_itself() {
    let disk = tempfile::tempdir().unwrap();
    fs::create_dir(disk.path().join("data")).unwrap();
    let me = std::env::current_exe().unwrap();
    let test = concat!(module_path!(), "::the_child_that_serves_on_a_small_disk");
    let test = test.split_once("::").unwrap().1;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", SCRIPT]).arg(me);
    unshare.args([test, "--exact", "--nocapture", "--test-threads", "1"]).env(DISK, disk.path());
    let out = unshare.output().expect("unshare (Debian package `util-linux`) starts");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("1 passed"), "the child has run: {said}");
}
