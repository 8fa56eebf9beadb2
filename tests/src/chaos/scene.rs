//! Servers, clients and engine of one round.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use crate::crash::failover::{Begun, home};
use crate::crash::{API_TOKEN, Engine};
use crate::daemon::Home;
use crate::island;
use crate::probe::Probes;
use crate::trader::{Habits, Route, Trader};
use crate::wait::wait_until;
use crate::{Lab, Options, market, query};

use super::moves::{LOGIN, PASSWORD};
use super::plan::{Mode, Plan, Sentinels};
use super::round::Site;
use super::story::{Needs, needs};

/// Baton's and Sentinels' patience, ms, and Sentinels' `failover-timeout`: a round takes
/// seconds. `BondX` has 5 and 10 s. At 1 s a Sentinel, which pings every second, takes a master
/// for down as soon as one answer is late.
const DOWN_AFTER_MS: u32 = 2_000;
const FAILOVER_TIMEOUT_MS: u32 = 4_000;
/// More than there are Sentinels: they say what they see, and never agree to act.
const OUT_OF_REACH: usize = 4;
/// As in the crash laboratory: each book can be read between two writes to it.
const INSTRUMENTS: usize = 60;
const WRITES_PER_S: u32 = 100;
/// Each probe writes so often, to its node, whatever that is.
const PROBED_EVERY: Duration = Duration::from_millis(50);
/// What the trader has written when a round begins.
const WRITES: usize = 50;
const TRADED_WITHIN: Duration = Duration::from_secs(30);

/// All that runs. Clients of servers that hang end when those are gone, so they are dropped
/// after them; the engine before, since it must not see them go.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) engine: Engine,
    pub(super) lab: Lab,
    pub(super) trader: Trader,
    pub(super) probes: Probes,
    pub(super) still_book: String,
    pub(super) begun: Moment,
}

/// A time on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Instant,
    unix: SystemTime,
}

impl Moment {
    fn now() -> Self {
        Self { at: Instant::now(), unix: SystemTime::now() }
    }

    /// Unix ms of an instant.
    pub(super) fn unix_ms(self, at: Instant) -> u64 {
        let later = at.saturating_duration_since(self.at);
        let earlier = self.at.saturating_duration_since(at);
        let time = (self.unix + later).checked_sub(earlier).unwrap_or(self.unix);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Scene {
    /// Starts all of it, and waits until the trader trades and the engine is ready.
    pub(super) fn start(site: &Site, plan: &Plan) -> Result<Self> {
        let needs = needs(&plan.faults());
        let lab = Lab::start(options(plan, needs))?;
        let mut connection = query::connect(&lab.data()[0].address(), None)?;
        let mut market = market::fill(&mut connection, INSTRUMENTS, 1)?;
        let still_book = market.isins.pop().unwrap_or_default();
        let habits = Habits { name: "chaos".to_owned(), rate_per_s: WRITES_PER_S, seed: plan.seed };
        let trader = Trader::start(Route::of(&lab), market, &habits);
        wait_until("something is written", TRADED_WITHIN, || trader.acked() >= WRITES)?;
        let probes = Probes::of_all(&lab, PROBED_EVERY);
        let blows = plan.kills.iter().filter_map(|it| it.blow());
        let engine = Engine::start(home_of(site, &lab, plan.mode, needs)?, blows)?;
        Ok(Self { engine, lab, trader, probes, still_book, begun: Moment::now() })
    }
}

fn options(plan: &Plan, needs: Needs) -> Options {
    // A script that runs on shows as BUSY soon, and not as a hang. A killed process loses
    // nothing of its own: under `everysec` it holds back what it has answered for while the
    // disk is slow, and what a restart then lacks is nobody's failover.
    let mut data_lines = vec!["busy-reply-threshold 100".to_owned(), "appendfsync no".to_owned()];
    if needs.gate {
        data_lines.push("min-replicas-to-write 1".to_owned());
        data_lines.push("min-replicas-max-lag 2".to_owned());
    }
    if needs.login {
        data_lines.push(format!("user {LOGIN} on >{PASSWORD} ~* &* +@all"));
    }
    let bondx = Options::bondx();
    Options {
        quorum: if plan.sentinels == Sentinels::Act { bondx.quorum } else { OUT_OF_REACH },
        down_after_ms: DOWN_AFTER_MS,
        failover_timeout_ms: FAILOVER_TIMEOUT_MS,
        network: needs.network,
        data_lines,
        ..bondx
    }
}

fn home_of(site: &Site, lab: &Lab, mode: Mode, needs: Needs) -> Result<Home> {
    let mut home = home(&site.root, &site.binary, &site.cache, lab, Begun::ByAll)?;
    let mut bind = "127.0.0.1".to_owned();
    if let Some(island) = lab.island() {
        bind = island::address(lab.spare_berth());
        home.binary = home.folder.join("baton-on-its-machine");
        let namespace = island.namespace(lab.spare_berth());
        let (namespace, binary) = (namespace.display(), site.binary.display());
        let script = format!("#!/bin/sh\nexec nsenter --net={namespace} -- {binary} \"$@\"\n");
        fs::write(&home.binary, script)?;
        fs::set_permissions(&home.binary, fs::Permissions::from_mode(0o755))?;
    }
    let login = if needs.login {
        format!("username = {LOGIN:?}\npassword = \"redis-password\"\n")
    } else {
        String::new()
    };
    let plugins = site.root.join("target/plugins");
    ensure!(plugins.join("promote.wasm").is_file(), "no plugins: run `cargo xtask plugins`");
    let configuration = format!(
        "[server]\nbind = \"{bind}:0\"\ntoken = \"api-token\"\n\n[paths]\ndata = \"data\"\nplugins = {:?}\n\
         workflows = \"workflows\"\n\n[secrets]\nhook-token = {{ env = \"HOOK_TOKEN\" }}\n\
         redis-password = {{ env = \"REDIS_PASSWORD\" }}\n\
         api-token = {{ env = \"{API_TOKEN}\" }}\n\n{}max_lost_bytes = {}\n{login}",
        plugins.display().to_string(),
        lab.cluster_toml("bondx", mode.word()),
        needs.loss_ceiling,
    );
    fs::write(home.folder.join("baton.toml"), configuration)?;
    home.environment.push((API_TOKEN.to_owned(), "laboratory".to_owned()));
    home.environment.push(("REDIS_PASSWORD".to_owned(), PASSWORD.to_owned()));
    Ok(home)
}
