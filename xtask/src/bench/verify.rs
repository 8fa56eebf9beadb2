//! What it costs to verify everything: two nodes of a million keys compared, and a
//! million orders, beside what the two servers could deliver to a client that only reads;
//! and what a client that writes feels of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use baton_lab::daemon::{Daemon, Home};
use baton_lab::{Lab, Options, keys, market, query, wait_until};
use serde_json::{Value, json};

use crate::plugins;
use crate::shell::{cargo, run};

const KEYS: usize = 1_000_000;
const INSTRUMENTS: usize = 5_000;
const ORDERS: usize = 200;
/// Writes of the client, a second.
const WRITES: u32 = 1_000;
/// How long the client is measured with nobody else.
const ALONE: Duration = Duration::from_secs(8);
/// Times each is measured.
const ROUNDS: usize = 3;
/// For what takes long on a busy machine.
const PATIENCE: Duration = Duration::from_mins(10);
/// Keys that the bare client reads in one pipeline.
const TOGETHER: &str = "1000";

/// Measures and writes `file`.
///
/// # Errors
/// When something does not build, start or end well, or a verdict is not `pass`.
pub(super) fn bench(root: &Path, file: &Path, profile: &[&str]) -> Result<()> {
    plugins::build(root)?;
    let mut arguments = vec!["build", "--workspace"];
    arguments.extend(profile.iter().flat_map(|setting| ["--config", setting]));
    run(&mut cargo(root, &arguments))?;
    let result = json!({
        "profile": profile,
        "keyspace": keyspace(root)?,
        "orderbook": orderbook(root)?,
    });
    fs::write(file, serde_json::to_string_pretty(&result)?)?;
    println!("all figures: {}", file.display());
    Ok(())
}

fn keyspace(root: &Path) -> Result<Value> {
    let lab = lab(1)?;
    let begun = Instant::now();
    keys::fill(&mut query::connect(&lab.data()[0].address(), None)?, KEYS, 1)?;
    in_sync(&lab)?;
    println!("{KEYS} keys written in {:.1} s", begun.elapsed().as_secs_f64());
    let (left, right) = (lab.data()[0].address(), lab.data()[1].address());
    let home = home(root, &lab, "verify-keyspace")?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let floor = floor(&[&left, &right])?;
        let full = compare(&home, Some(0))?;
        println!(
            "floor {floor:.2} s, compared in {:.2} s ({:.2} x), {:.0} keys/s, peak {} MB",
            full.seconds,
            full.seconds / floor,
            f64::from(u32::try_from(KEYS)?) / full.seconds,
            full.peak_mb,
        );
        rounds.push(json!({
            "floor_s": floor, "compare_s": full.seconds, "ratio": full.seconds / floor,
            "peak_mb": full.peak_mb,
        }));
    }
    let alone = Client::start(&left);
    thread::sleep(ALONE);
    let alone = alone.stop()?;
    let mut beside = Vec::new();
    println!("{:>24}  {:>8}  {:>8}  {:>8}", "a client beside it, ms", "p50", "p99", "max");
    let mut told = |name: &str, spread: &Spread, seconds: Option<f64>| {
        println!("{name:>24}  {:>8.3}  {:>8.3}  {:>8.3}", spread.p50, spread.p99, spread.max);
        beside.push(json!({
            "what": name, "p50_ms": spread.p50, "p99_ms": spread.p99, "max_ms": spread.max,
            "compare_s": seconds,
        }));
    };
    told("alone", &alone, None);
    for (name, rate) in
        [("default rate", None), ("5000 keys/s", Some(5_000)), ("no limit", Some(0))]
    {
        let client = Client::start(&left);
        let ended = compare(&home, rate)?;
        told(name, &client.stop()?, Some(ended.seconds));
    }
    Ok(json!({ "keys": KEYS, "rounds": rounds, "client_writes_per_s": WRITES, "client": beside }))
}

fn orderbook(root: &Path) -> Result<Value> {
    let lab = lab(0)?;
    let address = lab.data()[0].address();
    let begun = Instant::now();
    market::fill_large(&mut query::connect(&address, None)?, INSTRUMENTS, ORDERS, 1)?;
    println!("{INSTRUMENTS} books written in {:.1} s", begun.elapsed().as_secs_f64());
    let home = home(root, &lab, "verify-orderbook")?;
    let workflow = home.folder.join("workflows/verify-orderbook.toml");
    fs::write(&workflow, ORDERBOOK)?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let daemon = Daemon::start(&home)?;
        let (seconds, output) = timed(&home, &daemon, "verify-orderbook", &[])?;
        ensure!(output["verdict"] == "pass", "{output}");
        let peak_mb = peak_mb(&daemon)?;
        println!(
            "{} orders of {} instruments in {seconds:.2} s, peak {peak_mb} MB",
            output["orders"], output["instruments"]
        );
        rounds.push(json!({
            "seconds": seconds, "orders": output["orders"], "instruments": output["instruments"],
            "peak_mb": peak_mb,
        }));
    }
    Ok(json!({ "instruments": INSTRUMENTS, "orders_each": ORDERS, "rounds": rounds }))
}

const ORDERBOOK: &str = r#"
name = "verify-orderbook"
timeout = "10m"
output = "${steps.books}"
[steps.books]
plugin = "verify-orderbook"
with = { cluster = "bondx" }
timeout = "10m"
[[steps.books.grants.redis]]
cluster = "bondx"
nodes = ["data"]
commands = ["@read"]
keys = ["book:*", "order:*", "trades:*"]
"#;

/// A master with so many replicas; nobody fails over.
fn lab(replicas: usize) -> Result<Lab> {
    Lab::start(Options { replicas, down_after_ms: 600_000, ..Options::bondx() })
}

fn in_sync(lab: &Lab) -> Result<()> {
    let offset =
        |node: usize| query::info(&lab.data()[node], "replication").remove("master_repl_offset");
    wait_until("the replica has all", PATIENCE, || offset(0).is_some() && offset(0) == offset(1))
}

/// A folder to serve from, with the plugin that is measured and what its workflow asks of
/// it.
fn home(root: &Path, lab: &Lab, plugin: &str) -> Result<Home> {
    let folder = lab.folder().join(format!("baton-{plugin}"));
    for name in ["plugins", "workflows"] {
        fs::create_dir_all(folder.join(name))?;
    }
    for plugin in [plugin, "require"] {
        let file = format!("{plugin}.wasm");
        fs::copy(root.join("target/plugins").join(&file), folder.join("plugins").join(&file))?;
    }
    let workflow = root.join("workflows/verify-keyspace.toml");
    if plugin == "verify-keyspace" {
        fs::copy(workflow, folder.join("workflows/verify-keyspace.toml"))?;
    }
    let configuration = format!(
        "[paths]\ndata = \"data\"\nplugins = \"plugins\"\nworkflows = \"workflows\"\n\n[server]\nbind = \"127.0.0.1:0\"\n\n{}",
        lab.cluster_toml("bondx", "lead")
    );
    fs::write(folder.join("baton.toml"), configuration)?;
    Ok(Home { binary: root.join("target/debug/baton"), folder, environment: Vec::new() })
}

/// A comparison that has ended well.
struct Compared {
    seconds: f64,
    peak_mb: u64,
}

/// At `rate` keys per second; none: as the workflow does it unless told otherwise.
fn compare(home: &Home, rate: Option<u32>) -> Result<Compared> {
    let params: Vec<String> = rate.iter().map(|rate| format!("keys_per_second={rate}")).collect();
    let daemon = Daemon::start(home)?;
    let (seconds, output) = timed(home, &daemon, "verify-keyspace", &params)?;
    ensure!(output["verdict"] == "pass", "{output}");
    let keys = output["keys"].as_u64().unwrap_or_default();
    ensure!(keys >= KEYS as u64, "only {keys} keys were compared");
    Ok(Compared { seconds, peak_mb: peak_mb(&daemon)? })
}

/// Wall time of a run from its begin to its end as a client sees them, and its output.
fn timed(home: &Home, daemon: &Daemon, workflow: &str, params: &[String]) -> Result<(f64, Value)> {
    let file = home.folder.join(format!("workflows/{workflow}.toml"));
    let mut command = std::process::Command::new(&home.binary);
    command.arg("run").arg(&file).arg("--detach").args(["--config", "baton.toml"]);
    command.args(params.iter().flat_map(|it| ["--param", it])).current_dir(&home.folder);
    let begun = Instant::now();
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let id = String::from_utf8(output.stdout)?.trim().to_owned();
    let mut ended = Value::Null;
    wait_until("the run is over", PATIENCE, || {
        ended = daemon.run(&id).unwrap_or_default();
        ended["state"].as_str().is_some_and(baton_lab::daemon::closed)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    if ended["state"] != "succeeded" {
        bail!("{ended:#}");
    }
    Ok((seconds, ended["output"].clone()))
}

/// `VmHWM` of the engine.
fn peak_mb(daemon: &Daemon) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|it| it.trim().strip_suffix("kB")).context("no VmHWM")?;
    Ok(kilobytes.trim().parse::<u64>()? / 1024)
}

/// How long the servers take to give all their values to a client that does nothing with
/// them: SCAN, and one read a key, pipelined, all nodes at the same time. The names of the
/// keys tell their types, so that nothing else is asked; replies are not even parsed.
fn floor(addresses: &[&str]) -> Result<f64> {
    let begun = Instant::now();
    let read = |address: &&str| {
        let address = (*address).to_owned();
        thread::spawn(move || read_all(&address))
    };
    let threads: Vec<_> = addresses.iter().map(read).collect();
    for thread in threads {
        let keys = thread.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
        ensure!(keys >= KEYS, "the bare client read only {keys} keys");
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn read_all(address: &str) -> Result<usize> {
    const MARK: &[u8] = b"$12\r\nend-of-reads\r\n";
    let mut scanner = query::connect(address, None)?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut cursor, mut count) = (0_u64, 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let (next, keys): (u64, Vec<String>) =
            redis::cmd("SCAN").arg(cursor).arg("COUNT").arg(TOGETHER).query(&mut scanner)?;
        let mut commands = Vec::new();
        for key in &keys {
            let kind = key.split(':').next().unwrap_or_default();
            let words: &[&str] = match kind {
                "hash" => &["HGETALL", key],
                "list" => &["LRANGE", key, "0", "-1"],
                "set" => &["SMEMBERS", key],
                "zset" => &["ZRANGE", key, "0", "-1", "WITHSCORES"],
                "stream" => &["XRANGE", key, "-", "+"],
                _ => &["GET", key],
            };
            put(&mut commands, words)?;
        }
        put(&mut commands, &["ECHO", "end-of-reads"])?;
        count += keys.len();
        let mut writer = stream.try_clone()?;
        let sent = thread::scope(|scope| {
            let sent = scope.spawn(move || writer.write_all(&commands));
            let mut tail = Vec::new();
            while !tail.ends_with(MARK) {
                let read = stream.read(&mut buffer)?;
                ensure!(read > 0, "{address} hung up");
                let keep = buffer[..read].len().saturating_sub(MARK.len());
                tail.extend_from_slice(&buffer[keep..read]);
                let old = tail.len().saturating_sub(MARK.len());
                tail.drain(..old);
            }
            sent.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?.map_err(Into::into)
        });
        sent?;
        cursor = next;
        if cursor == 0 {
            return Ok(count);
        }
    }
}

fn put(bytes: &mut Vec<u8>, words: &[&str]) -> Result<()> {
    write!(bytes, "*{}\r\n", words.len())?;
    for word in words {
        write!(bytes, "${}\r\n{word}\r\n", word.len())?;
    }
    Ok(())
}

/// A client that writes a thousand times a second, whatever the answers take.
struct Client {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<Vec<Duration>>>,
}

/// What it felt, ms.
struct Spread {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Client {
    fn start(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (Arc::clone(&stop), address.to_owned());
        let thread = thread::spawn(move || {
            let mut connection = query::connect(&address, None)?;
            let mut took = Vec::new();
            let begun = Instant::now();
            for number in 0_u32.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let due = begun + Duration::from_secs(1) * number / WRITES;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let key = format!("client:{}", number % 1000);
                redis::cmd("SET").arg(key).arg(number).query::<()>(&mut connection)?;
                // From when it was due: a wait is felt by the writes behind it as well.
                took.push(due.elapsed());
            }
            Ok(took)
        });
        Self { stop, thread }
    }

    fn stop(self) -> Result<Spread> {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.thread.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
        took.sort_unstable();
        let at = |hundredths: usize| {
            let place = (took.len() * hundredths / 100).min(took.len().saturating_sub(1));
            took.get(place).map_or(0.0, |it| it.as_secs_f64() * 1000.0)
        };
        Ok(Spread { p50: at(50), p99: at(99), max: at(100) })
    }
}
