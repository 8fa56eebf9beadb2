//! All that the node holds, in a file beside its own.
//!
//! The name of the file is a protected setting since Redis 7.0 (`enable-protected-configs`,
//! off by default). Where it cannot be set the node's own dump is written, and the copy
//! from the successor, which would be written over it, is loaded from the socket instead
//! (`repl-diskless-load`), which leaves the file alone.

use crate::TIMEOUT_MS;
use baton_plugin::redis::{Command, Info, Request, Value};
use baton_plugin::{Cluster, Fault, Host, Level};

/// Between two looks at a save under way, ms.
const POLL_MS: u32 = 100;

/// What a name of ours begins with.
const NAMED: &str = "baton-salvage-";

/// Redis's own default, for a node whose name for the file was ours already.
const DUMP: &str = "dump.rdb";

/// Where it is.
pub(crate) struct Saved {
    pub(crate) file: String,
    pub(crate) named: bool,
    pub(crate) diskless_load: Option<String>,
}

/// One node to talk to.
struct Talk<'a, H> {
    cluster: &'a Cluster,
    address: &'a str,
    host: &'a mut H,
}

impl<H: Host> Talk<'_, H> {
    fn ask(&mut self, words: &[&str]) -> Result<Value, Fault> {
        let request = Request::new(self.address, vec![Command::of(words)]);
        let what = format!("cannot send {} to {}", words.join(" "), self.address);
        let mut results = self
            .host
            .call(&self.cluster.name, &[request], TIMEOUT_MS)
            .map_err(|error| Fault::from_redis(&what, &error))?;
        let reply = match results.pop() {
            Some(Ok(replies)) => replies.into_iter().next(),
            Some(Err(error)) => return Err(Fault::from_redis(&what, &error)),
            None => None,
        };
        reply.ok_or_else(|| Fault::retryable("internal", format!("{what}: no result")))
    }

    fn setting(&mut self, name: &str) -> Result<String, Fault> {
        let reply = self.ask(&["CONFIG", "GET", name])?;
        reply.field_text(name).ok_or_else(|| {
            let why = reply.error().unwrap_or("no such setting").to_owned();
            Fault::permanent("unreadable", format!("{}: CONFIG GET {name}: {why}", self.address))
        })
    }

    /// Whether it took the setting; why not is in the error.
    fn set(&mut self, name: &str, value: &str) -> Result<Result<(), String>, Fault> {
        let reply = self.ask(&["CONFIG", "SET", name, value])?;
        Ok(reply.error().map_or(Ok(()), |error| Err(error.to_owned())))
    }

    fn persistence(&mut self) -> Result<Info, Fault> {
        Ok(Info::from_value(&self.ask(&["INFO", "persistence"])?).unwrap_or_default())
    }
}

/// Saves, and waits until it is on disk.
pub(crate) fn save<H: Host>(
    cluster: &Cluster,
    address: &str,
    wait_ms: u32,
    host: &mut H,
) -> Result<Saved, Fault> {
    let until_ms = host.now_ms() + u64::from(wait_ms);
    let name = format!("{NAMED}{}.rdb", host.context().run_id);
    let mut talk = Talk { cluster, address, host };
    let folder = talk.setting("dir")?;
    let own = Some(talk.setting("dbfilename")?).filter(|it| !it.starts_with(NAMED));
    let own = own.unwrap_or_else(|| DUMP.into());
    let named = match talk.set("dbfilename", &name)? {
        Ok(()) => true,
        Err(why) => {
            let line = format!("{address} keeps the name of its dump ({why})");
            talk.host.log(Level::Info, &line);
            false
        }
    };
    let mut diskless_load = None;
    if !named {
        let prior = talk.setting("repl-diskless-load")?;
        if let Err(why) = talk.set("repl-diskless-load", "swapdb")? {
            let why = format!(
                "{address} refuses repl-diskless-load ({why}): its dump would be written over; copy it by hand, then let it follow"
            );
            return Err(Fault::permanent("cannot-keep", why));
        }
        // Cut off after the change, the value before it is Redis's default.
        diskless_load = Some(if prior == "swapdb" { "disabled".into() } else { prior });
    }
    let written = write(&mut talk, until_ms);
    if named && let Err(why) = talk.set("dbfilename", &own)? {
        let line = format!("{address} still calls its dump {name} ({why})");
        talk.host.log(Level::Warn, &line);
    }
    written?;
    let file = if named { name } else { own };
    Ok(Saved { file: format!("{folder}/{file}"), named, diskless_load })
}

/// One whole save that began after now.
fn write<H: Host>(talk: &mut Talk<'_, H>, until_ms: u64) -> Result<(), Fault> {
    let late = |what: &str| {
        let why = format!("{what} was not over in time: raise `wait_ms` of the step");
        Fault::retryable("not-saved", why)
    };
    loop {
        let reply = talk.ask(&["BGSAVE"])?;
        let Some(error) = reply.error() else { break };
        // One that began before is not what is wanted: its end is waited for.
        if !error.contains("in progress") && !error.contains("rewrit") {
            let why = format!("{} refuses BGSAVE: {error}", talk.address);
            return Err(Fault::permanent("not-saved", why));
        }
        if talk.host.now_ms() >= until_ms {
            return Err(late("an earlier save"));
        }
        talk.host.sleep(POLL_MS);
    }
    loop {
        let told = talk.persistence()?;
        if told.get("rdb_bgsave_in_progress") == Some("0") {
            if told.get("rdb_last_bgsave_status") == Some("ok") {
                return Ok(());
            }
            let why = format!("BGSAVE on {} failed: see its log (a full disk?)", talk.address);
            return Err(Fault::retryable("not-saved", why));
        }
        if talk.host.now_ms() >= until_ms {
            return Err(late("BGSAVE"));
        }
        talk.host.report(0, None, "BGSAVE is under way");
        talk.host.sleep(POLL_MS);
    }
}
