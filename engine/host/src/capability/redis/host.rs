//! `redis.describe-cluster`, `redis.call`.

use std::time::Duration;

use futures::future::join_all;

use super::grant::{self, Asker};
use super::send::send;
use super::{Known, Mode, View};
use crate::guest::wit::redis::{self, Error, ErrorKind, Host, Member, MemberKind, Reply, Request};
use crate::limits;
use crate::text::tame;

type Outcome<T> = Result<T, Error>;

impl Host for View<'_> {
    async fn describe_cluster(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Outcome<redis::Cluster>> {
        self.caller.take(1)?;
        Ok(self.describe(&name))
    }

    async fn call(
        &mut self,
        cluster: String,
        requests: Vec<Request>,
        timeout_ms: u32,
    ) -> wasmtime::Result<Outcome<Vec<Outcome<Vec<Reply>>>>> {
        let commands = requests.iter().map(|request| request.commands.len()).sum::<usize>();
        let first = self.caller.take(commands.max(1))?;
        Ok(self.send(&cluster, requests, timeout_ms, first).await)
    }
}

impl View<'_> {
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
                .map(|address| Member { address: address.clone(), kind })
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

    async fn send(
        &mut self,
        cluster: &str,
        requests: Vec<Request>,
        timeout_ms: u32,
        first: u32,
    ) -> Outcome<Vec<Outcome<Vec<Reply>>>> {
        let known = self.known(cluster)?;
        bounded(&requests)?;
        let pipelines = Asker {
            step: &self.caller.context.step,
            cluster: &known.cluster,
            grants: &self.grants(cluster),
        }
        .check(requests)?;
        let time =
            Duration::from_millis(u64::from(timeout_ms.clamp(1, limits::CALL_TIMEOUT_MS_MAX)));
        let wall = &*self.caller.wall;
        let mut next = first;
        let mut sends = Vec::with_capacity(pipelines.len());
        for pipeline in pipelines {
            let index = next;
            // `call` took so many numbers, so they fit.
            next += u32::try_from(pipeline.commands.len()).unwrap_or(u32::MAX - next);
            let slot = self.state.slot(cluster, &pipeline.address);
            let known = &known;
            sends.push(async move { send(known, pipeline, &slot, wall, index, time).await });
        }
        Ok(join_all(sends).await)
    }

    fn grants(&self, cluster: &str) -> Vec<super::RedisGrant> {
        self.caller.grants.iter().filter(|grant| grant.cluster == cluster).cloned().collect()
    }

    /// The cluster, if the step was granted anything on it: whether there is one
    /// that it was not granted is not the guest's business.
    fn known(&self, name: &str) -> Outcome<std::sync::Arc<Known>> {
        if !self.caller.grants.iter().any(|grant| grant.cluster == name) {
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
