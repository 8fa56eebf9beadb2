//! The functions of the interface `redis`, each through the tape.

use std::time::Duration;

use baton_core::run::event::Call;
use futures::future::join_all;

use super::compare::{self, Depth};
use super::grant::{self, Asker, Pipeline};
use super::send::{Sending, changing, send};
use super::table::name_of;
use super::{Known, Mode, View, divergence, each, secret};
use crate::guest::wit::redis::{
    self, Command, Compared, Error, ErrorKind, Holdings, Host, Member, MemberKind, Page, Reply,
    Request, Sample, StreamPlace, StreamReading,
};
use crate::limits;
use crate::tape::{Asked, Bytes, Divergence, Turn};
use crate::text::tame;
use crate::trap::Stop;

type Outcome<T> = Result<T, Error>;

impl Host for View<'_> {
    async fn describe_cluster(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Outcome<redis::Cluster>> {
        let asked = || Asked::of("redis.describe-cluster").text(&name).word(&name);
        let live = match self.caller.ask(asked)? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        let cluster = self.describe(&name);
        Ok(self.caller.tell(live, cluster))
    }

    async fn lineage(&mut self, cluster: String) -> wasmtime::Result<Outcome<Vec<Sample>>> {
        let asked = || Asked::of("redis.lineage").text(&cluster).word(&cluster);
        let live = match self.caller.ask(asked)? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        let samples = self.samples(&cluster);
        Ok(self.caller.tell(live, samples))
    }

    async fn divergence(
        &mut self,
        cluster: String,
        address: String,
        replid: String,
        place: StreamPlace,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<StreamReading>> {
        let asked = || divergence::asked(&cluster, &address, &replid, place, timeout_ms);
        let live = match self.caller.ask(asked)? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        let told = self.diverged(&cluster, &address, &replid, place, timeout_ms).await;
        Ok(self.caller.tell(live, told))
    }

    async fn call(
        &mut self,
        cluster: String,
        requests: Vec<Request>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Vec<Outcome<Vec<Reply>>>>> {
        let commands = requests.iter().map(|request| request.commands.len()).sum::<usize>();
        let numbers = commands.max(1);
        let first = self.caller.take(numbers)?;
        let numbers = u32::try_from(numbers).unwrap_or(u32::MAX);
        let asked = || asked(&cluster, &requests, timeout_ms);
        let live = match self.caller.tape.hear(first, numbers, asked)? {
            Turn::Heard(then) => {
                self.heed(&cluster, &requests);
                return Ok(then);
            }
            Turn::Live(live) => live,
        };
        let answer = self.send(&cluster, requests, timeout_ms, first, &live.cut).await?;
        Ok(self.caller.tell(live, answer))
    }

    async fn read_each(
        &mut self,
        cluster: String,
        address: String,
        command: Command,
        keys: Vec<Vec<u8>>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Vec<u8>>> {
        let asked = || each::asked(&cluster, &address, &command, &keys, timeout_ms);
        let live = match self.caller.ask::<Outcome<Bytes>>(asked)? {
            Turn::Heard(then) => return Ok(then.map(|Bytes(bytes)| bytes)),
            Turn::Live(live) => live,
        };
        let replies = self.each(&cluster, &address, &command, &keys, timeout_ms).await.map(Bytes);
        Ok(self.caller.tell(live, replies).map(|Bytes(bytes)| bytes))
    }

    async fn compare(
        &mut self,
        cluster: String,
        left: String,
        right: String,
        page: Page,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Compared>> {
        self.walked(Depth::Content, &cluster, &left, &right, &page, timeout_ms).await
    }

    async fn compare_keys(
        &mut self,
        cluster: String,
        left: String,
        right: String,
        database: u32,
        keys: Vec<Vec<u8>>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Compared>> {
        let nodes = [cluster.as_str(), &left, &right];
        let asked = || compare::asked_of_keys(&nodes, database, &keys, timeout_ms);
        let live = match self.caller.ask(asked)? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        let nodes = (left.as_str(), right.as_str());
        let found = self.compare_named(&cluster, nodes, database, &keys, timeout_ms).await;
        Ok(self.caller.tell(live, found))
    }

    async fn absent(
        &mut self,
        cluster: String,
        left: String,
        right: String,
        page: Page,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Compared>> {
        self.walked(Depth::Presence, &cluster, &left, &right, &page, timeout_ms).await
    }

    async fn inventory(
        &mut self,
        cluster: String,
        address: String,
        page: Page,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Holdings>> {
        let nodes = [cluster.as_str(), &address];
        let asked = || compare::asked("redis.inventory", &nodes, &page, timeout_ms);
        let live = match self.caller.ask(asked)? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        let held = self.inventory_page(&cluster, &address, &page, timeout_ms).await;
        Ok(self.caller.tell(live, held))
    }
}

impl View<'_> {
    /// `compare` and `absent`: one walk, to one depth or the other.
    async fn walked(
        &mut self,
        depth: Depth,
        cluster: &str,
        left: &str,
        right: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Compared>> {
        let asked = || compare::asked(depth.name(), &[cluster, left, right], page, timeout_ms);
        let live = match self.caller.ask(asked)? {
            Turn::Heard(then) => return Ok(then),
            Turn::Live(live) => live,
        };
        let found = self.compare_page(cluster, (left, right), page, timeout_ms, depth).await;
        Ok(self.caller.tell(live, found))
    }

    /// Only the members that the step may reach: what a guest sees, it may ask.
    fn describe(&self, name: &str) -> Outcome<redis::Cluster> {
        let known = self.known(name)?;
        let grants = self.grants(name);
        let asker =
            Asker { step: &self.caller.context.step, cluster: &known.cluster, grants: &grants };
        let cluster = &known.cluster;
        let list = |addresses: &[String], kind: MemberKind| {
            addresses
                .iter()
                .filter(|address| asker.reaches(address, kind))
                .map(|address| Member {
                    address: address.clone(),
                    kind,
                    zone: cluster.zones.get(address).cloned(),
                })
                .collect::<Vec<_>>()
        };
        let mut members = list(&cluster.nodes, MemberKind::Data);
        members.extend(list(&cluster.sentinels, MemberKind::Sentinel));
        Ok(redis::Cluster {
            name: cluster.name.clone(),
            master_name: cluster.master_name.clone(),
            mode: match cluster.mode {
                Mode::Observe => redis::Mode::Observe,
                Mode::Assist => redis::Mode::Assist,
                Mode::Lead => redis::Mode::Lead,
            },
            members,
            down_after_ms: cluster.down_after_ms,
            restart_grace_ms: cluster.restart_grace_ms,
            max_lost_bytes: cluster.max_lost_bytes,
        })
    }

    /// Of the nodes that the step may reach: what it may hear now, it may know of then.
    fn samples(&self, name: &str) -> Outcome<Vec<Sample>> {
        let known = self.known(name)?;
        let grants = self.grants(name);
        let asker =
            Asker { step: &self.caller.context.step, cluster: &known.cluster, grants: &grants };
        let mut samples = known.lineage.samples();
        samples.retain(|sample| asker.reaches(&sample.address, MemberKind::Data));
        Ok(samples)
    }

    async fn diverged(
        &mut self,
        cluster: &str,
        address: &str,
        replid: &str,
        place: StreamPlace,
        timeout_ms: u32,
    ) -> Outcome<StreamReading> {
        let known = self.known(cluster)?;
        let asker = Asker {
            step: &self.caller.context.step,
            cluster: &known.cluster,
            grants: &self.grants(cluster),
        };
        asker.stream(address)?;
        divergence::read(&known, address, replid, place, within(timeout_ms)).await
    }

    async fn send(
        &mut self,
        cluster: &str,
        requests: Vec<Request>,
        timeout_ms: u32,
        first: u32,
        cut: &[Call],
    ) -> wasmtime::Result<Outcome<Vec<Outcome<Vec<Reply>>>>> {
        let granted = self.granted(cluster, requests);
        let (known, pipelines) = match (granted, cut) {
            (Ok(granted), _) => granted,
            (Err(refusal), []) => return Ok(Err(refusal)),
            // It was let through before the crash; "nothing was sent" would be a lie.
            (Err(refusal), [call, ..]) => {
                let now = format!("it is refused: {}", refusal.message);
                return Err(
                    Stop::from(Divergence::in_flight(call.index, &call.request, &now)).into()
                );
            }
        };
        let time = within(timeout_ms);
        let sendings = numbered(pipelines, first);
        same_as_cut(&sendings, cut)?;
        if sendings.iter().any(|sending| !sending.calls.is_empty()) {
            self.caller.tape.may_change()?;
        }
        let (wall, tape) = (&*self.caller.wall, &self.caller.tape);
        let mut sends = Vec::with_capacity(sendings.len());
        for sending in sendings {
            let slot = self.state.slot(cluster, &sending.pipeline.address);
            let known = &known;
            sends.push(async move { send(known, sending, cut, &slot, wall, tape, time).await });
        }
        Ok(Ok(join_all(sends).await))
    }

    /// What was said to connections that are gone with the crash.
    fn heed(&mut self, cluster: &str, requests: &[Request]) {
        for request in requests {
            let slot = self.state.slot(cluster, &request.address);
            // Between calls nobody holds it.
            if let Ok(mut slot) = slot.try_lock() {
                request.commands.iter().for_each(|words| slot.session.heed(&name_of(words)));
            }
        }
    }

    /// The requests as what may be sent, or why nothing is.
    fn granted(
        &self,
        cluster: &str,
        requests: Vec<Request>,
    ) -> Outcome<(std::sync::Arc<Known>, Vec<Pipeline>)> {
        let known = self.known(cluster)?;
        bounded(&requests)?;
        let asker = Asker {
            step: &self.caller.context.step,
            cluster: &known.cluster,
            grants: &self.grants(cluster),
        };
        let pipelines = asker.check(requests)?;
        Ok((known, pipelines))
    }

    pub(super) fn grants(&self, cluster: &str) -> Vec<super::RedisGrant> {
        self.caller.grants.redis.iter().filter(|grant| grant.cluster == cluster).cloned().collect()
    }

    /// The cluster, if the step was granted anything on it: whether there is one
    /// that it was not granted is not the guest's business.
    pub(super) fn known(&self, name: &str) -> Outcome<std::sync::Arc<Known>> {
        if !self.caller.grants.redis.iter().any(|grant| grant.cluster == name) {
            return Err(grant::ungranted(&self.caller.context.step, name));
        }
        self.state.clusters.find(name).ok_or_else(|| {
            let name = tame(name, limits::REQUEST_TEXT_BYTES_MAX);
            Error {
                kind: ErrorKind::NotFound,
                message: format!("baton.toml has no cluster {name}: add [clusters.{name}]"),
            }
        })
    }
}

/// How long a call may take that a guest gives so many ms.
fn within(timeout_ms: u32) -> Duration {
    Duration::from_millis(u64::from(timeout_ms.clamp(1, limits::CALL_TIMEOUT_MS_MAX)))
}

/// All of a call, for the tape.
fn asked(cluster: &str, requests: &[Request], timeout_ms: u32) -> Asked {
    let mut asking = Asked::of("redis.call").text(cluster).number(timeout_ms.into());
    asking = asking.number(requests.len() as u64);
    for request in requests {
        asking = asking.text(&request.address).number(request.commands.len() as u64);
        for command in &request.commands {
            asking = asking.number(command.len() as u64);
            asking = command.iter().fold(asking, |asking, word| asking.bytes(word));
        }
    }
    asking.shown(requests.iter().flat_map(|request| {
        request.commands.iter().map(|command| secret::show(&request.address, command))
    }))
}

/// Numbers the commands and finds the changes among them.
fn numbered(pipelines: Vec<Pipeline>, first: u32) -> Vec<Sending> {
    let mut next = first;
    let mut sendings = Vec::with_capacity(pipelines.len());
    for pipeline in pipelines {
        let calls = changing(&pipeline, next);
        let first = next;
        // `call` took so many numbers, so they fit.
        next += u32::try_from(pipeline.commands.len()).unwrap_or(u32::MAX - next);
        sendings.push(Sending { pipeline, first, calls });
    }
    sendings
}

/// What was in flight must be what is asked now: nothing else may take its place.
fn same_as_cut(sendings: &[Sending], cut: &[Call]) -> Result<(), Stop> {
    for call in cut {
        let now = sendings.iter().flat_map(|sending| &sending.calls);
        let same = now.clone().any(|now| {
            now.index == call.index && now.class == call.class && now.request == call.request
        });
        if !same {
            let now = now.clone().find(|now| now.index == call.index);
            let now = now.map_or("the plugin does not ask for it".to_owned(), |now| {
                format!("the plugin asked for {}", now.request)
            });
            return Err(Divergence::in_flight(call.index, &call.request, &now).into());
        }
    }
    Ok(())
}

fn bounded(requests: &[Request]) -> Outcome<()> {
    let over = |what: String| Err(Error { kind: ErrorKind::Limit, message: what });
    if requests.len() > limits::MEMBERS_MAX {
        return over(format!(
            "{} requests in one call, more than {}",
            requests.len(),
            limits::MEMBERS_MAX
        ));
    }
    for request in requests {
        let count = request.commands.len();
        if count > limits::COMMANDS_MAX {
            return over(format!(
                "{count} commands in one pipeline, more than {}: send them in parts",
                limits::COMMANDS_MAX
            ));
        }
        let bytes: usize = request.commands.iter().flatten().map(Vec::len).sum();
        if bytes > limits::REQUEST_BYTES_MAX {
            return over(format!(
                "{bytes} bytes in one pipeline, more than {}: send them in parts",
                limits::REQUEST_BYTES_MAX
            ));
        }
    }
    Ok(())
}
