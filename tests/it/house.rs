//! A Baton of a test's own: a folder with configuration, workflows and plugins, the
//! command line in it, and `baton serve` as a process that can be killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use baton_lab::daemon::{Daemon, Home, Start, closed};
use baton_lab::wait::wait_for;
use baton_lab::web::{self, Answer};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::binary;

/// For what a healthy engine does by itself.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) struct House {
    home: Home,
    _folder: TempDir,
}

impl House {
    /// With these workflows, and `more` in baton.toml.
    pub(crate) fn new(workflows: &[(&str, &str)], more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let house = Self {
            home: Home {
                binary: binary(),
                folder: folder.path().to_owned(),
                environment: Vec::new(),
            },
            _folder: folder,
        };
        for name in ["workflows", "plugins"] {
            fs::create_dir(house.path(name)).unwrap();
        }
        for (name, text) in workflows {
            house.write(name, text);
        }
        let configuration = format!("[server]\nbind = \"127.0.0.1:0\"\n\n{more}");
        fs::write(house.path("baton.toml"), configuration).unwrap();
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.folder.join(name)
    }

    /// The workflow `name`, in place of what it was.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.workflow(name), text).unwrap();
    }

    pub(crate) fn workflow(&self, name: &str) -> PathBuf {
        self.path("workflows").join(format!("{name}.toml"))
    }

    /// A plugin of the house that was built, in this one's folder.
    pub(crate) fn bring(&self, plugin: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let built = root.join("target/plugins").join(format!("{plugin}.wasm"));
        assert!(built.is_file(), "no {}: run `cargo xtask plugins`", built.display());
        let own = self.path("plugins").join(format!("{plugin}.wasm"));
        fs::copy(built, &own).unwrap();
        own
    }

    /// A workflow of the house as it is shown to users.
    pub(crate) fn bring_workflow(&self, name: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let shown = root.join("workflows").join(format!("{name}.toml"));
        fs::copy(shown, self.workflow(name)).unwrap();
    }

    /// Everything that is started in it from now on sees this variable.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.home.environment.push((variable.to_owned(), value.to_owned()));
    }

    pub(crate) fn serve(&self) -> Daemon {
        Daemon::start(&self.home).unwrap()
    }

    /// A server that dies as it passes a crash point (`change:1:after`) for the nth time.
    pub(crate) fn serve_until(&self, passing: &str) -> Daemon {
        match Daemon::launch(&self.home, &[("BATON_CRASH_AT", passing.to_owned())]).unwrap() {
            Start::Ready(daemon) => daemon,
            Start::Ended(status) => panic!("it ended at its start: {status}"),
        }
    }

    /// All that `baton serve` said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.log()).unwrap_or_default()
    }

    pub(crate) fn baton(&self, arguments: &[&str]) -> Output {
        Command::new(&self.home.binary)
            .args(arguments)
            .args(["--config", "baton.toml"])
            .current_dir(&self.home.folder)
            .env("USER", "anna")
            .envs(self.home.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }

    /// What it printed; it must have worked.
    pub(crate) fn said(&self, arguments: &[&str]) -> String {
        let output = self.baton(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Begins a run on the server and gives its id.
    pub(crate) fn begin(&self, workflow: &str) -> String {
        let file = self.workflow(workflow).display().to_string();
        self.said(&["run", &file, "--detach"]).trim().to_owned()
    }
}

/// Waits until the run is as `wanted` says.
pub(crate) fn until(
    daemon: &Daemon,
    run: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    wait_for(what, SOON, || daemon.run(run).ok().filter(&wanted)).unwrap_or_else(|error| {
        panic!("{error:#}: {:#}", daemon.run(run).unwrap_or_default());
    })
}

pub(crate) fn until_state(daemon: &Daemon, run: &str, state: &str) -> Value {
    until(daemon, run, &format!("the run is {state}"), |run| run["state"] == state)
}

pub(crate) fn until_closed(daemon: &Daemon, run: &str) -> Value {
    until(daemon, run, "the run is over", |run| run["state"].as_str().is_some_and(closed))
}

/// Answers by HTTP.
pub(crate) fn answer(daemon: &Daemon, run: &str, body: &Value) -> Answer {
    let bytes = body.to_string();
    web::post(daemon.address(), &format!("/runs/{run}/answer"), &[], bytes.as_bytes()).unwrap()
}
