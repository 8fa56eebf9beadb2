//! What a watch costs: processor time of `baton serve`, by /proc, while it looks at a
//! healthy cluster of one master, two replicas and three Sentinels.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use baton_lab::daemon::{Daemon, Home};
use baton_lab::{Lab, Node, Options, query, wait_until};
use serde_json::{Value, json};

use crate::plugins;
use crate::shell::{cargo, run};

/// How long each watch is measured.
const MEASURED: Duration = Duration::from_secs(30);
/// Looks before that: code and connections are warm.
const WARM_LOOKS: u64 = 20;
/// Clock ticks of /proc: `USER_HZ` is 100 on every Linux that Baton runs on.
const TICKS_PER_S: f64 = 100.0;
/// From one look to the next, ms; none: an engine without a watch, for comparison.
const EVERY_MS: [Option<u32>; 3] = [None, Some(250), Some(100)];

/// Measures and writes `file`.
///
/// # Errors
/// When something does not build or start, or a watch does not look.
pub(super) fn bench(root: &Path, file: &Path, profile: &[&str]) -> Result<()> {
    plugins::build(root)?;
    let mut arguments = vec!["build", "--workspace"];
    arguments.extend(profile.iter().flat_map(|setting| ["--config", setting]));
    run(&mut cargo(root, &arguments))?;
    let lab = Lab::start(Options::bondx())?;
    let mut rows = Vec::new();
    println!("{:>10}  {:>8}  {:>16}  {:>14}", "every ms", "looks/s", "% of a core", "µs a look");
    for every_ms in EVERY_MS {
        let row = measure(root, &lab, every_ms)?;
        let shown =
            |key: &str| row[key].as_f64().map_or_else(|| "-".to_owned(), |it| format!("{it:.2}"));
        println!(
            "{:>10}  {:>8}  {:>16}  {:>14}",
            every_ms.map_or_else(|| "no watch".to_owned(), |it| it.to_string()),
            shown("looks_per_s"),
            shown("core_percent"),
            shown("us_per_look"),
        );
        rows.push(row);
    }
    let result = json!({
        "what": "processor time of `baton serve` (user and system, all threads) while it watches 1 master, 2 replicas, 3 Sentinels on loopback, all healthy",
        "profile": profile,
        "measured_s": MEASURED.as_secs(),
        "rows": rows,
    });
    fs::write(file, serde_json::to_string_pretty(&result)?)?;
    println!("all figures: {}", file.display());
    Ok(())
}

fn measure(root: &Path, lab: &Lab, every_ms: Option<u32>) -> Result<Value> {
    let home = home(root, lab, every_ms)?;
    let daemon = Daemon::start(&home)?;
    let master = &lab.data()[0];
    if every_ms.is_some() {
        let begin = looks(master)?;
        let warm = || looks(master).is_ok_and(|it| it >= begin + WARM_LOOKS);
        wait_until("the watch looks", Duration::from_secs(30), warm)?;
    }
    let (begun, looked, used) = (Instant::now(), looks(master)?, cpu_ticks(daemon.pid())?);
    thread::sleep(MEASURED);
    let (looks, ticks) = (looks(master)? - looked, cpu_ticks(daemon.pid())? - used);
    let elapsed_s = begun.elapsed().as_secs_f64();
    let used_s = f64::from(u32::try_from(ticks)?) / TICKS_PER_S;
    let looks_per_s = f64::from(u32::try_from(looks)?) / elapsed_s;
    let row = json!({
        "every_ms": every_ms,
        "core_percent": 100.0 * used_s / elapsed_s,
        "looks_per_s": every_ms.map(|_| looks_per_s),
        "us_per_look": every_ms.map(|_| 1e6 * used_s / elapsed_s / looks_per_s),
    });
    if let Some(every_ms) = every_ms {
        let wanted = 1000.0 / f64::from(every_ms);
        ensure!(looks_per_s > 0.8 * wanted, "only {looks_per_s:.1} looks a second: {row}");
    }
    Ok(row)
}

/// A folder with one watch in it that never fires.
fn home(root: &Path, lab: &Lab, every_ms: Option<u32>) -> Result<Home> {
    let name = every_ms.map_or_else(|| "none".to_owned(), |it| it.to_string());
    let folder = lab.folder().join(format!("watch-{name}"));
    let workflows = folder.join("workflows");
    fs::create_dir_all(&workflows)?;
    fs::copy(root.join("workflows/detect-redis.toml"), workflows.join("detect-redis.toml"))?;
    if let Some(every_ms) = every_ms {
        fs::write(
            workflows.join("watched.toml"),
            format!(
                "name = \"watched\"\n[[triggers]]\nkind = \"watch\"\nworkflow = \"detect-redis\"\n\
                 with = {{ cluster = \"bondx\" }}\nevery = \"{every_ms}ms\"\n\
                 when = \"output.verdict == 'dead'\"\n\
                 [steps.assess]\nplugin = \"redis-assess\"\nwith = {{ cluster = \"bondx\" }}\n\
                 [[steps.assess.grants.redis]]\ncluster = \"bondx\"\n\
                 nodes = [\"data\", \"sentinels\"]\ncommands = [\"@read\"]\n"
            ),
        )?;
    }
    let configuration = format!(
        "[server]\nbind = \"127.0.0.1:0\"\n\n[paths]\ndata = \"data\"\nplugins = {:?}\n\
         workflows = \"workflows\"\n\n{}",
        root.join("target/plugins").display().to_string(),
        lab.cluster_toml("bondx", "observe"),
    );
    fs::write(folder.join("baton.toml"), configuration)?;
    Ok(Home { binary: root.join("target/debug/baton"), folder, environment: Vec::new() })
}

/// How often a node was looked at: nobody else here asks for its settings.
fn looks(node: &Node) -> Result<u64> {
    let fields = query::info(node, "commandstats");
    let Some(stat) = fields.get("cmdstat_config|get") else { return Ok(0) };
    let calls = stat.split(',').find_map(|it| it.strip_prefix("calls="));
    calls.context("cmdstat has calls")?.parse().context("calls are a number")
}

/// User and system time of a process, in clock ticks (man 5 proc: fields 14 and 15).
fn cpu_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let Some((_, fields)) = stat.rsplit_once(") ") else { bail!("/proc/{pid}/stat is odd") };
    let fields: Vec<&str> = fields.split(' ').collect();
    let field = |at: usize| fields.get(at).context("too short")?.parse::<u64>().context("ticks");
    Ok(field(11)? + field(12)?)
}
