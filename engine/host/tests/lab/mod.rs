//! A host with nothing else around it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_core::run::Taping;
use baton_core::run::event::{Call, TapeEntry};
use baton_core::run::fault::Fault;
use baton_core::workflow::plan::Grants;
use baton_host::capability::Outside;
use baton_host::{Attempt, Context, Durable, Host, Options, Plugin, Wall, WallError};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guests::Guest;

pub(crate) struct Lab {
    pub(crate) host: Host,
    pub(crate) cache: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let cache = tempfile::tempdir().unwrap();
        Self { host: host(&cache), cache }
    }

    pub(crate) fn load(&self, guest: &Guest) -> Plugin {
        self.host.load_bytes("guest.wasm", &guest.build()).unwrap()
    }

    pub(crate) fn refusal(&self, bytes: &[u8]) -> String {
        self.host.load_bytes("guest.wasm", bytes).unwrap_err().to_string()
    }

    pub(crate) async fn run(&self, guest: Guest) -> Result<Value, Fault> {
        self.end(attempt(self.load(&guest)), Arc::new(Quiet::default())).await
    }

    pub(crate) async fn end(&self, attempt: Attempt, wall: Arc<dyn Wall>) -> Result<Value, Fault> {
        self.host.run(attempt, wall).await.end.into_result()
    }
}

pub(crate) fn host(cache: &TempDir) -> Host {
    Host::new(Options {
        cache_dir: cache.path().to_owned(),
        lineage_dir: None,
        clusters: Vec::new(),
        outside: Outside::default(),
        memory_bytes_max: 4 << 20,
        fuel_max: 100_000_000,
        attempts_max: 4,
    })
    .unwrap()
}

pub(crate) fn attempt(plugin: Plugin) -> Attempt {
    Attempt {
        plugin,
        context: Context {
            run: "r-1".parse().unwrap(),
            workflow: "test".to_owned(),
            step: "try".to_owned(),
            item: 0,
            attempt: 1,
            done: Vec::new(),
        },
        input: Arc::new(json!({})),
        grants: Grants::default(),
        timeout: Duration::from_secs(20),
        taping: Taping::Off,
    }
}

/// A wall that remembers what was reported.
#[derive(Default)]
pub(crate) struct Quiet(pub(crate) Mutex<Vec<String>>);

impl Wall for Quiet {
    fn intend(
        &self,
        _calls: Vec<Call>,
        _heard: Vec<Arc<TapeEntry>>,
    ) -> BoxFuture<'_, Result<Durable, WallError>> {
        let stored: Durable = Box::pin(std::future::ready(Ok(())));
        Box::pin(std::future::ready(Ok(stored)))
    }
    fn outcome(&self, _calls: Vec<Call>) {}
    fn progress(&self, done: u64, total: Option<u64>, message: String) {
        self.0.lock().unwrap().push(format!("{done}/{total:?} {message}"));
    }
}

pub(crate) const LOOP: &str = "(loop $again br $again) unreachable";
