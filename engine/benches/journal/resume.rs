//! Engines that come back to a journal full of unfinished runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use baton::journal::{Batch, Entry, Journal, SledJournal};
use baton_core::Json;
use baton_core::id::{AttemptId, Place, RunId, Side, StepId};
use baton_core::run::RULES_VERSION;
use baton_core::run::event::{Begun, Event, Pin, Trigger, TriggerKind};
use baton_host::Plugin;
use serde_json::json;

use crate::guest::{self, Does};
use crate::{house, machine};

/// Tells the child where its journal is.
pub(crate) const FOLDER: &str = "BATON_BENCH_RESUME";
/// How long the child may take.
const UP_WITHIN: Duration = Duration::from_mins(1);
/// So long after the engine is up its memory is read.
const SETTLE: Duration = Duration::from_millis(500);

/// What the last engine left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// No run.
    Nothing,
    /// Runs whose only step was at work.
    CutOff,
    /// Runs that wait for an hour to pass.
    Waiting,
}

/// How soon it was back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Back {
    /// From the start of the process until the first step is at work again.
    pub(crate) first_step: Option<Duration>,
    /// Until every run has been taken up.
    pub(crate) all: Duration,
    /// Its memory then, in KiB.
    pub(crate) rss_kib: u64,
}

/// Leaves `count` runs behind, starts an engine, and measures.
pub(crate) fn measure(left: Left, count: u32) -> Result<Back> {
    let folder = tempfile::tempdir_in(machine::PLACE)?;
    let host = house::host(folder.path())?;
    // Compiles it into the cache, as the last engine did.
    let plugin = host.load_bytes(guest::NAME, &guest::component(Does::Sleep)?)?;
    if left != Left::Nothing {
        leave(folder.path(), left, count, &plugin)?;
    }
    let begun = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .env(FOLDER, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
    let (mut first_step, mut all, mut rss_kib) = (None, None, None);
    while rss_kib.is_none() {
        ensure!(begun.elapsed() < UP_WITHIN, "the engine does not come back");
        let line = lines.next().context("the engine ended")??;
        match line.split_once(' ') {
            Some(("rss", kib)) => rss_kib = Some(kib.parse()?),
            _ if line == "first" => first_step = Some(begun.elapsed()),
            _ if line == "all" => all = Some(begun.elapsed()),
            _ => {}
        }
    }
    child.kill()?;
    child.wait()?;
    ensure!(left != Left::CutOff || first_step.is_some(), "no step came back");
    let (all, rss_kib) = (all.context("it never was up")?, rss_kib.unwrap_or_default());
    Ok(Back { first_step, all, rss_kib })
}

/// Writes the journal of an engine that was killed.
fn leave(folder: &Path, left: Left, count: u32, plugin: &Plugin) -> Result<()> {
    let journal = folder.join("journal");
    fs::create_dir_all(&journal)?;
    let journal = SledJournal::open(&journal)?;
    journal.put_plugin(plugin.info().digest, &guest::component(Does::Sleep)?)?;
    let source: Arc<str> = source(left).into();
    let runs: Vec<u32> = (0..count).collect();
    for some in runs.chunks(500) {
        let mut entries = Vec::new();
        for number in some {
            let run: RunId = format!("run-{number}").parse()?;
            let begun = Arc::new(begun(&run, &source, plugin));
            let entry = |seq, event| Entry { run: run.clone(), seq, event, closed: None };
            entries.push(entry(0, Event::Begun { at: 1, begun }));
            if left == Left::CutOff {
                let place = Place { step: StepId(0), item: 0 };
                let attempt = AttemptId { place, side: Side::Do, number: 1 };
                entries.push(entry(1, Event::Started { at: 1, attempt }));
            }
        }
        let (done, stored) = std::sync::mpsc::channel();
        let told = Box::new(move |end| drop(done.send(end)));
        journal.append(Batch { entries }, told);
        stored.recv()??;
    }
    Ok(())
}

fn source(left: Left) -> String {
    let step = match left {
        Left::Waiting => "wait = \"1h\"".to_owned(),
        Left::Nothing | Left::CutOff => {
            format!("plugin = \"{}\"\ntimeout = \"2h\"", guest::NAME)
        }
    };
    format!("name = \"one\"\nsummary = \"One step.\"\n[steps.only]\n{step}\n")
}

fn begun(run: &RunId, source: &Arc<str>, plugin: &Plugin) -> Begun {
    let info = plugin.info();
    let pin = Pin { digest: info.digest, when_interrupted: info.when_interrupted };
    Begun {
        id: run.clone(),
        workflow: "one".to_owned(),
        source: Arc::clone(source),
        children: BTreeMap::new(),
        plugins: BTreeMap::from([(guest::NAME.to_owned(), pin)]),
        params: Arc::new(json!({})),
        trigger: Trigger {
            kind: TriggerKind::Manual,
            source: "bench".to_owned(),
            dedup: None,
            evidence: Arc::new(Json::Null),
        },
        key: None,
        queued: None,
        parent: None,
        rules: RULES_VERSION,
    }
}

/// The engine that comes back: opens, goes on, and tells how far it is.
#[tokio::main]
pub(crate) async fn child(folder: &Path) -> Result<()> {
    let log = tracing_subscriber::fmt().with_writer(|| Listening);
    log.init();
    let host = house::host(folder)?;
    let plugin = host.load_bytes(guest::NAME, &guest::component(Does::Sleep)?)?;
    let _handle = house::engine(folder, &host, &plugin).await?;
    println!("all");
    tokio::time::sleep(SETTLE).await;
    println!("rss {}", rss_kib()?);
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
    Ok(())
}

/// The child's log: says on standard output when the first step is heard of.
struct Listening;

static HEARD: AtomicBool = AtomicBool::new(false);

impl Write for Listening {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let up = guest::UP.as_bytes();
        if line.windows(up.len()).any(|words| words == up) && !HEARD.swap(true, Ordering::SeqCst) {
            println!("first");
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn rss_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no figure")?.parse()?)
}
