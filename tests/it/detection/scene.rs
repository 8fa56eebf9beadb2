//! A real cluster, and Baton looking at it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use baton_lab::wait::wait_for;
use baton_lab::{Lab, Node, Options, market, query};
use serde_json::Value;

use crate::cli::binary;

/// Long enough for a link to break and for a Sentinel to notice.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// Looks, and chooses where that is called for; changes nothing.
const LOOK: &str = r#"
name = "look"
[steps.assess]
plugin = "redis-assess"
with = { cluster = "bondx" }
[[steps.assess.grants.redis]]
cluster = "bondx"
nodes = ["data", "sentinels"]
commands = ["@read"]
[steps.choose]
needs = ["assess"]
when = "steps.assess.verdict == 'dead'"
plugin = "choose-replica"
with = { cluster = "bondx", assessment = "${steps.assess}" }
[[steps.choose.grants.redis]]
cluster = "bondx"
nodes = ["data"]
commands = ["@read"]
[output]
assess = "${steps.assess}"
choose = "${steps.choose if status.choose == 'succeeded' else none}"
"#;

/// A cluster in mode `observe`.
pub(super) struct Scene {
    pub(super) lab: Lab,
    /// Lines of `[clusters.bondx]` beside those of the laboratory.
    lines: String,
    password: String,
}

/// A run that looked.
pub(super) struct Seen(Value);

impl Scene {
    /// The usual one, in which no Sentinel ever acts: their quorum is out of reach, so
    /// that they only say what they see.
    pub(super) fn quiet() -> Self {
        Self::of(Options { quorum: 4, down_after_ms: 1_000, ..Options::bondx() })
    }

    pub(super) fn of(options: Options) -> Self {
        let lab = Lab::start(options).unwrap();
        let password = lab.options().password.clone().unwrap_or_default();
        let mut master =
            query::connect(&lab.data()[0].address(), lab.data()[0].password()).unwrap();
        market::fill(&mut master, 3, 1).unwrap();
        let scene = Self { lab, lines: String::new(), password };
        scene.prepare();
        scene
    }

    /// Adds lines behind those of the cluster in baton.toml.
    pub(super) fn with(mut self, lines: &str) -> Self {
        self.lines.push_str(lines);
        self.prepare();
        self
    }

    /// Puts other lines there.
    pub(super) fn instead(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.lines);
        self.prepare();
        self
    }

    /// Takes this for the password of the data nodes.
    pub(super) fn believe(&mut self, password: &str) {
        password.clone_into(&mut self.password);
    }

    fn prepare(&self) {
        let folder = self.lab.folder();
        fs::create_dir_all(folder.join("data")).unwrap();
        // Compiled once for all scenes.
        let compiled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        fs::create_dir_all(&compiled).unwrap();
        if !folder.join("data/cache").exists() {
            symlink(compiled, folder.join("data/cache")).unwrap();
        }
        // Only what is used here is loaded.
        let plugins = folder.join("plugins");
        fs::create_dir_all(&plugins).unwrap();
        let built = root().join("target/plugins");
        for name in ["redis-assess.wasm", "choose-replica.wasm"] {
            assert!(built.join(name).exists(), "no plugins: run `cargo xtask plugins`");
            if !plugins.join(name).exists() {
                symlink(built.join(name), plugins.join(name)).unwrap();
            }
        }
        fs::write(folder.join("look.toml"), LOOK).unwrap();
        let configuration = format!(
            "[paths]\ndata = \"data\"\nplugins = \"plugins\"\nworkflows = \"workflows\"\n\n\
             [secrets]\nredis-password = {{ env = \"REDIS_PASSWORD\" }}\n\n{}{}",
            self.lab.cluster_toml("bondx", "observe"),
            self.lines,
        );
        fs::write(folder.join("baton.toml"), configuration).unwrap();
    }

    /// One run that looks.
    pub(super) fn look(&self) -> Seen {
        let output = self.baton(&["run", "look.toml", "--output", "json"]);
        Seen(
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
                panic!("{error}: {}", String::from_utf8_lossy(&output.stderr))
            }),
        )
    }

    /// Looks until the evidence is `name`.
    pub(super) fn until(&self, name: &str) -> Seen {
        let mut last = String::new();
        let found = wait_for(&format!("the evidence is {name}"), SOON, || {
            let seen = self.look();
            last = format!("{}: {}", seen.evidence(), seen.reason());
            (seen.evidence() == name).then_some(seen)
        });
        found.unwrap_or_else(|error| panic!("{error}; last was {last}"))
    }

    /// Looks once; the evidence and the verdict must be these.
    #[track_caller]
    pub(super) fn expect(&self, evidence: &str, verdict: &str) -> Seen {
        let seen = self.look();
        assert_eq!((seen.evidence(), seen.verdict()), (evidence, verdict), "{}", seen.reason());
        seen
    }

    pub(super) fn baton(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(binary())
            .args(arguments)
            .args(["--config", "baton.toml"])
            .current_dir(self.lab.folder())
            .env("REDIS_PASSWORD", &self.password)
            .output()
            .unwrap()
    }

    pub(super) fn master(&self) -> &Node {
        &self.lab.data()[0]
    }

    pub(super) fn replica(&self, number: usize) -> &Node {
        &self.lab.data()[number]
    }

    /// Writes to the master until it is `keys` further.
    pub(super) fn write(&self, keys: usize) {
        for key in 0..keys {
            tell(self.master(), &format!("SET scene:{key} {}", "x".repeat(50)));
        }
    }

    /// Waits until a replica is as far as the master.
    pub(super) fn wait_synced(&self, replica: &Node) {
        let offset = |node: &Node| {
            let fields = query::info(node, "replication");
            fields.get("master_repl_offset").and_then(|it| it.parse::<i64>().ok())
        };
        let same = || offset(replica).is_some() && offset(replica) >= offset(self.master());
        baton_lab::wait_until("the replica is as far as its master", SOON, same).unwrap();
    }
}

impl Seen {
    fn assess(&self) -> &Value {
        &self.0["output"]["assess"]
    }

    pub(super) fn evidence(&self) -> &str {
        self.assess()["evidence"].as_str().unwrap_or_else(|| panic!("{:#}", self.0))
    }

    pub(super) fn verdict(&self) -> &str {
        self.assess()["verdict"].as_str().unwrap_or_default()
    }

    pub(super) fn reason(&self) -> &str {
        self.assess()["reason"].as_str().unwrap_or_default()
    }

    pub(super) fn master(&self) -> &str {
        self.assess()["master"].as_str().unwrap_or_default()
    }

    /// A field of the assessment.
    pub(super) fn of(&self, field: &str) -> &Value {
        &self.assess()[field]
    }

    /// The run's id.
    pub(super) fn id(&self) -> &str {
        self.0["id"].as_str().unwrap()
    }

    /// The choice; only after a death.
    pub(super) fn choice(&self) -> &Value {
        let choice = &self.0["output"]["choose"];
        assert!(choice.is_object(), "nothing was chosen: {:#}", self.0);
        choice
    }

    /// What was said of a candidate.
    pub(super) fn candidate(&self, node: &Node) -> &Value {
        let all = self.choice()["candidates"].as_array().unwrap();
        all.iter().find(|it| it["address"] == node.address()).unwrap()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Sends a command that must be answered well.
#[track_caller]
pub(super) fn tell(node: &Node, command: &str) {
    let words: Vec<&str> = command.split(' ').collect();
    let answer: redis::Value = query::ask(node, &words).unwrap();
    drop(answer);
}
