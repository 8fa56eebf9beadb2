//! `redis-drift`: settings that differ between nodes, or from what was declared.
//!
//! Read-only. Every setting of every node is compared with the others', and with a policy
//! where there is one; each that differs is listed with the command that mends it. What is
//! wrong though it is the same everywhere is the business of `redis-doctor`.

mod compare;
mod settings;

use baton_plugin::redis::{Command, Request, Value};
use baton_plugin::{About, Cluster, Fault, Host, JsonSchema, MemberKind, Plugin, Table};
use compare::{Kind, Member, compare};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest wait for a member, ms, connecting included.
const TIMEOUT_MS: u32 = 1500;

/// What to compare.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// What data nodes are to be set to, as CONFIG SET takes it: `maxmemory = "4gb"`.
    #[serde(default)]
    pub policy: BTreeMap<String, String>,
    /// The same of Sentinels, as SENTINEL SET takes it: `down-after-milliseconds = "5000"`.
    #[serde(default)]
    pub sentinel_policy: BTreeMap<String, String>,
    /// Settings that may differ, beside those that always do (addresses, folders).
    #[serde(default)]
    pub may_differ: Vec<String>,
}

/// One setting of one member that is another than it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// `policy`: not as declared. `differs`: not as most of the others.
    pub code: String,
    /// `host:port`.
    pub subject: String,
    /// The setting.
    pub setting: String,
    /// What it is.
    pub value: String,
    /// What it should be.
    pub wanted: String,
    /// What to type.
    pub mend: String,
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The cluster.
    pub cluster: String,
    /// `alike` or `drift`.
    pub verdict: String,
    /// In one sentence.
    pub reason: String,
    /// By setting.
    pub findings: Vec<Finding>,
    /// Settings that were compared.
    pub compared: usize,
    /// Members that did not answer or may not be asked, with the reason.
    pub silent: Vec<String>,
    /// The same for people.
    pub table: Table,
}

/// The plugin.
pub struct RedisDrift;

impl Plugin for RedisDrift {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "redis-drift",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Settings of a cluster against each other and a policy",
            redis_commands: &["CONFIG|GET", "SENTINEL|MASTER"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let mut silent = Vec::new();
        // By a pattern: the host shows whether there is a password, and not which.
        let config = Command::of(["CONFIG", "GET", "*"]);
        let master = Command::of(["SENTINEL", "MASTER", &cluster.master_name]);
        let nodes = ask(&cluster, MemberKind::Data, &config, &mut silent, host)?;
        let sentinels = ask(&cluster, MemberKind::Sentinel, &master, &mut silent, host)?;
        let may_differ: Vec<&str> = input.may_differ.iter().map(String::as_str).collect();
        let (mut findings, of_nodes) = compare(&Kind::Data, &nodes, &input.policy, &may_differ);
        let kind = Kind::Sentinel { master: &cluster.master_name };
        let (more, of_sentinels) = compare(&kind, &sentinels, &input.sentinel_policy, &may_differ);
        findings.extend(more);
        Ok(told(cluster.name, findings, of_nodes + of_sentinels, silent))
    }
}

fn told(cluster: String, findings: Vec<Finding>, compared: usize, silent: Vec<String>) -> Output {
    let verdict = if findings.is_empty() { "alike" } else { "drift" };
    let reason = match findings.first() {
        Some(first) => format!(
            "{} settings are not as they should be; {} of {} is {} and not {}",
            findings.len(),
            first.setting,
            first.subject,
            first.value,
            first.wanted
        ),
        None => format!("{compared} settings are alike"),
    };
    let mut table = Table::new(["setting", "where", "is", "should be", "to mend it"]);
    let row = |it: &Finding| {
        let cells = [&it.setting, &it.subject, &it.value, &it.wanted, &it.mend];
        cells.map(String::clone).into()
    };
    table.rows = findings.iter().map(row).collect();
    Output { cluster, verdict: verdict.into(), reason, findings, compared, silent, table }
}

fn ask<H: Host>(
    cluster: &Cluster,
    kind: MemberKind,
    question: &Command,
    silent: &mut Vec<String>,
    host: &mut H,
) -> Result<Vec<Member>, Fault> {
    let addresses = cluster.addresses(kind);
    let requests: Vec<Request> =
        addresses.iter().map(|it| Request::new(it.clone(), vec![question.clone()])).collect();
    let answers = host
        .call(&cluster.name, &requests, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask the cluster", &error))?;
    let mut members = Vec::new();
    for (address, answer) in addresses.into_iter().zip(answers) {
        let said = match &answer {
            Ok(values) => values.first().ok_or_else(|| "no reply".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match said.and_then(settings) {
            Ok(settings) => members.push(Member { address, settings }),
            Err(why) => silent.push(format!("{address}: {why}")),
        }
    }
    Ok(members)
}

fn settings(value: &Value) -> Result<BTreeMap<String, String>, String> {
    if let Some(error) = value.error() {
        return Err(error.to_owned());
    }
    let text = |it: &Value| it.text().map(std::borrow::Cow::into_owned);
    Ok(value.pairs().into_iter().filter_map(|(key, it)| Some((text(key)?, text(it)?))).collect())
}

baton_plugin::export!(RedisDrift);

#[cfg(test)]
mod tests;
