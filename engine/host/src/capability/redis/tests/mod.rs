//! The rule on its own, and the wire against real servers and false ones.
#![allow(clippy::unwrap_used, reason = "a test may stop at once")]

mod ahead;
mod divergence;
mod grants;
mod hint;
mod kept;
mod keys;
mod replay;
mod resp;
mod servers;
mod table;
mod wire;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use baton_core::run::Taping;
use baton_core::run::event::{Call, CallClass, TapeEntry};
use baton_core::workflow::plan::{Grants, RedisGrant};
use futures::future::BoxFuture;

use super::table::names;
use super::{Auth, Cluster, Clusters, Keeper, Kept, Mode, State, View, class};
use crate::guest::Caller;
use crate::guest::wit::redis::{Error, Host as _, Reply, Request};
use crate::host::{Context, Durable, Wall, WallError};
use crate::tape::Tape;

/// Text to a command; no quoting.
pub(super) fn command(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn cluster(nodes: &[&str], sentinels: &[&str]) -> Cluster {
    let list = |addresses: &[&str]| addresses.iter().map(|text| (*text).to_owned()).collect();
    Cluster {
        name: "bondx".to_owned(),
        master_name: "bondx-master".to_owned(),
        mode: Mode::Lead,
        nodes: list(nodes),
        sentinels: list(sentinels),
        zones: BTreeMap::new(),
        auth: Auth::default(),
        sentinel_auth: Auth::default(),
        tls: None,
        resp: 3,
        down_after_ms: 5000,
        restart_grace_ms: 0,
        max_lost_bytes: 0,
    }
}

fn grant(nodes: &[&str], commands: &[&str], keys: &[&str]) -> RedisGrant {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    RedisGrant {
        cluster: "bondx".to_owned(),
        nodes: list(nodes),
        commands: list(commands),
        keys: list(keys),
    }
}

/// What the engine was told, in order.
#[derive(Default)]
struct Journal {
    told: Mutex<Vec<String>>,
    /// What a replay would be given, outcomes included.
    kept: Mutex<(Vec<Arc<TapeEntry>>, Vec<Call>)>,
    /// Intents from this number on cannot be stored.
    full_from: Option<u32>,
}

impl Journal {
    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

impl Wall for Journal {
    fn intend(
        &self,
        calls: Vec<Call>,
        heard: Vec<Arc<TapeEntry>>,
    ) -> BoxFuture<'_, Result<Durable, WallError>> {
        let full = calls.iter().any(|call| self.full_from.is_some_and(|from| call.index >= from));
        if !full {
            let (entries, kept) = &mut *self.kept.lock().unwrap();
            entries.extend(heard.iter().cloned());
            kept.extend(calls.iter().cloned());
            let mut told = self.told.lock().unwrap();
            told.extend(
                heard.iter().map(|entry| format!("heard {} {}", entry.index, entry.function)),
            );
            told.extend(calls.into_iter().map(|call| {
                assert_eq!(call.outcome, None);
                let Call { index, class, request, .. } = call;
                let command = request.split_once("> ").unwrap().1;
                format!("intend {index} {class:?} {command}")
            }));
        }
        let durable: Durable = Box::pin(async move {
            // On its way to the disk others run.
            tokio::task::yield_now().await;
            if full { Err(WallError("the disk is full".to_owned())) } else { Ok(()) }
        });
        Box::pin(async { Ok(durable) })
    }
    fn outcome(&self, calls: Vec<Call>) {
        for call in &calls {
            let kept = &mut self.kept.lock().unwrap().1;
            let known = kept.iter_mut().find(|known| known.index == call.index);
            known.unwrap().outcome.clone_from(&call.outcome);
        }
        self.told.lock().unwrap().extend(calls.into_iter().map(|call| {
            let Call { index, outcome, .. } = call;
            format!("outcome {index} {}", outcome.unwrap())
        }));
    }
    fn progress(&self, _done: u64, _total: Option<u64>, _message: String) {}
}

/// An attempt without a guest.
struct Attempt {
    state: State,
    caller: Caller,
    journal: Arc<Journal>,
}

impl Attempt {
    fn new(cluster: Cluster, grants: Vec<RedisGrant>) -> Self {
        Self::with(cluster, grants, Journal::default(), Taping::Off)
    }

    fn with(cluster: Cluster, grants: Vec<RedisGrant>, journal: Journal, taping: Taping) -> Self {
        let context = Context {
            run: "r-1".parse().unwrap(),
            workflow: "test".to_owned(),
            step: "promote".to_owned(),
            item: 0,
            attempt: 1,
            done: Vec::new(),
        };
        let journal = Arc::new(journal);
        let wall: Arc<dyn Wall> = Arc::clone(&journal) as Arc<dyn Wall>;
        Self {
            state: State::new(
                Arc::new(Clusters::new(vec![cluster], &Keeper::new(None)).unwrap()),
                None,
            ),
            caller: Caller::new(
                Arc::new(context),
                Grants { redis: grants, ..Grants::default() },
                wall,
                Tape::new(taping),
            ),
            journal,
        }
    }

    /// On connections that outlive it.
    fn keeping(cluster: Cluster, grants: Vec<RedisGrant>, kept: &Arc<Kept>) -> Self {
        let mut attempt = Self::new(cluster, grants);
        attempt.state.kept = Some(Arc::clone(kept));
        attempt
    }

    fn view(&mut self) -> View<'_> {
        View { state: &mut self.state, caller: &mut self.caller }
    }

    /// A call as a guest makes it.
    async fn call(
        &mut self,
        requests: &[(&str, &[&str])],
        timeout_ms: u32,
    ) -> Result<Vec<Result<Vec<Reply>, Error>>, Error> {
        let requests = requests
            .iter()
            .map(|(address, commands)| Request {
                address: (*address).to_owned(),
                commands: commands.iter().map(|text| command(text)).collect(),
            })
            .collect();
        self.view().call("bondx".to_owned(), requests, timeout_ms).await.unwrap()
    }

    /// One pipeline to one member.
    async fn ask(&mut self, address: &str, commands: &[&str]) -> Result<Vec<Reply>, Error> {
        self.call(&[(address, commands)], 5_000).await?.remove(0)
    }
}

#[test]
fn every_command_of_the_table_has_its_class() {
    let mut text = String::new();
    for name in names() {
        let bare = command(&name.replace('|', " "));
        let class = class::class(&bare);
        let note = match (class::is_read(name), class::covered_by_read(name, &bare)) {
            (true, true) => " @read",
            (true, false) => " reads, not in @read",
            (false, true) => " @read as it stands, by its arguments",
            (false, false) => "",
        };
        writeln!(text, "{name}: {class:?}{note}").unwrap();
    }
    expect_test::expect_file!["classes.txt"].assert_eq(&text);
}

#[test]
fn g4_arguments_decide_the_class() {
    use CallClass::{Guarded, Idempotent, Once, Read};
    let expected = [
        ("SET k v", Idempotent),
        ("SET k NX", Idempotent), // a value, no option
        ("SET k v EX 5", Idempotent),
        ("SET k v nx", Once),
        ("SET k v XX GET", Once),
        ("ZADD z 1 a", Idempotent),
        ("ZADD z INCR 1 a", Once),
        ("EXPIREAT k 99", Idempotent),
        ("EXPIREAT k 99 GT", Once),
        ("EXPIRE k 99", Once),
        ("INCR k", Once),
        ("CONFIG SET min-replicas-to-write 1", Idempotent),
        ("REPLICAOF NO ONE", Guarded),
        ("CLIENT PAUSE 100", Guarded),
        ("SHUTDOWN NOSAVE", Guarded),
        ("PUBLISH __sentinel__:hello x", Guarded),
        ("PUBLISH orders x", Once),
        ("SENTINEL IS-MASTER-DOWN-BY-ADDR h 1 0 *", Read),
        ("SENTINEL IS-MASTER-DOWN-BY-ADDR h 1 0 abcdef", Once),
        ("SENTINEL CONFIG GET *", Read),
        ("SENTINEL CONFIG SET announce-ip h", Guarded),
        ("SENTINEL DEBUG", Read),
        ("SENTINEL DEBUG PING-PERIOD 1", Once),
        ("ACL LOG", Read),
        ("ACL LOG RESET", Once),
        ("SORT k STORE d", Once),
        ("EVAL_RO s 0", Once),
        ("PFCOUNT k", Idempotent),
        ("VADD k v", Once),
        ("config frobnicate", Once),
        ("", Once),
    ];
    for (text, expected) in expected {
        assert_eq!(class::class(&command(text)), expected, "{text}");
    }
}

#[test]
fn reads_are_known_by_name_in_any_case() {
    for name in ["GET", "get", "Config|Get", "@read", "SENTINEL|masters", "KEYS"] {
        assert!(super::is_read(name), "{name}");
    }
    for name in ["SET", "EVAL_RO", "SENTINEL|CONFIG", "ACL|LOG", "CONFIG", "@all", "VSIM", ""] {
        assert!(!super::is_read(name), "{name}");
    }
}
