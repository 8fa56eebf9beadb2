//! A watch that would not look for a minute looks when a Sentinel says a word.

use std::fs;
use std::path::Path;

use baton_lab::daemon::{Daemon, Home};
use baton_lab::wait_until;

use super::scene::{SOON, Scene};
use crate::cli::binary;

const DETECT: &str = r#"
name = "detect"
[steps.assess]
plugin = "redis-assess"
with = { cluster = "bondx" }
[[steps.assess.grants.redis]]
cluster = "bondx"
nodes = ["data", "sentinels"]
commands = ["@read"]
[output]
verdict = "${steps.assess.verdict}"
"#;

const WATCHED: &str = r#"
name = "watched"
[[triggers]]
kind = "watch"
workflow = "detect"
every = "10m"
when = "output.verdict == 'dead'"
hint = { cluster = "bondx" }
[steps.pause]
wait = "1s"
"#;

fn home(folder: &Path) -> Home {
    fs::create_dir_all(folder.join("workflows")).unwrap();
    fs::write(folder.join("workflows/detect.toml"), DETECT).unwrap();
    fs::write(folder.join("workflows/watched.toml"), WATCHED).unwrap();
    let environment = vec![
        ("REDIS_PASSWORD".to_owned(), String::new()),
        ("BATON_SERVER_BIND".to_owned(), "127.0.0.1:0".to_owned()),
    ];
    Home { binary: binary(), folder: folder.to_owned(), environment }
}

#[test]
fn a_word_of_a_sentinel_makes_a_watch_look_at_once() {
    let scene = Scene::quiet();
    let home = home(scene.lab.folder());
    let daemon = Daemon::start(&home).unwrap();
    assert!(daemon.runs("watched").unwrap().is_empty());
    scene.master().kill().unwrap();
    // By the clock it would look in ten minutes.
    let begun = || daemon.runs("watched").is_ok_and(|runs| !runs.is_empty());
    let seen = wait_until("the watch has begun a run", SOON, begun);
    seen.unwrap_or_else(|error| panic!("{error}:\n{}", home.last_lines()));
}
