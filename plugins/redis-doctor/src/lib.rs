//! `redis-doctor`: what will go wrong at the next failover, found before it.
//!
//! Read-only. It asks every member for its settings and state and holds them against what
//! a failover needs; each finding says why it matters and the command that mends it. The
//! figures are measurements on Redis 7.0 with one master, two replicas, three Sentinels.

mod ask;
mod nodes;
mod sentinels;

use ask::Seen;
use baton_plugin::{About, Fault, Host, JsonSchema, Plugin, Table};
use serde::{Deserialize, Serialize};

/// Whom to examine.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A failover would fail, lose data, or go to the wrong place.
    Error,
    /// It would work, and cost more than it must.
    Warning,
    /// Worth knowing.
    Notice,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Short, stable, kebab-case.
    pub code: String,
    /// Whom it is about: `host:port`, or the cluster's name.
    pub subject: String,
    /// What was seen.
    pub what: String,
    /// What it will do.
    pub why: String,
    /// What to type, or to do.
    pub mend: String,
}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The cluster.
    pub cluster: String,
    /// `well`, `warnings` or `errors`.
    pub verdict: String,
    /// The worst first.
    pub findings: Vec<Finding>,
    /// How many things were looked at, over all members.
    pub looked_at: u32,
    /// The same for people.
    pub table: Table,
}

/// The plugin.
pub struct RedisDoctor;

impl Plugin for RedisDoctor {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "redis-doctor",
            version: env!("CARGO_PKG_VERSION"),
            summary: "What will go wrong at the next failover of a Redis cluster",
            redis_commands: &[
                "PING",
                "INFO",
                "TIME",
                "CONFIG|GET",
                "SENTINEL|MASTER",
                "SENTINEL|GET-MASTER-ADDR-BY-NAME",
                "SENTINEL|SENTINELS",
                "SENTINEL|REPLICAS",
                "SENTINEL|CKQUORUM",
                "SENTINEL|MYID",
            ],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let cluster = host
            .describe_cluster(&input.cluster)
            .map_err(|error| Fault::from_redis("cannot look up the cluster", &error))?;
        let seen = Seen::ask(cluster, host)?;
        let mut report = Report::default();
        nodes::examine(&seen, &mut report);
        sentinels::examine(&seen, &mut report);
        Ok(report.output(seen.cluster.name))
    }
}

/// Findings in the making.
#[derive(Debug, Default)]
pub(crate) struct Report {
    looked_at: u32,
    findings: Vec<Finding>,
}

/// What is said of a finding beside whom it is about.
pub(crate) struct Words {
    pub(crate) severity: Severity,
    pub(crate) code: &'static str,
    pub(crate) what: String,
    pub(crate) why: &'static str,
    pub(crate) mend: String,
}

impl Report {
    /// Looks at one thing: a finding unless it is as it should be.
    pub(crate) fn look(&mut self, subject: &str, found: Option<Words>) {
        self.looked_at += 1;
        let Some(Words { severity, code, what, why, mend }) = found else { return };
        self.findings.push(Finding {
            severity,
            code: code.to_owned(),
            subject: subject.to_owned(),
            what,
            why: why.to_owned(),
            mend,
        });
    }

    fn output(mut self, cluster: String) -> Output {
        self.findings.sort_by_key(|it| it.severity);
        let verdict = match self.findings.first().map(|it| it.severity) {
            Some(Severity::Error) => "errors",
            Some(Severity::Warning) => "warnings",
            Some(Severity::Notice) | None => "well",
        };
        let mut table = Table::new(["", "where", "what", "why it matters", "to mend it"]);
        table.rows = self
            .findings
            .iter()
            .map(|it| {
                let texts = [it.severity.word(), &it.subject, &it.what, &it.why, &it.mend];
                texts.map(str::to_owned).into()
            })
            .collect();
        Output {
            cluster,
            verdict: verdict.into(),
            findings: self.findings,
            looked_at: self.looked_at,
            table,
        }
    }
}

baton_plugin::export!(RedisDoctor);

#[cfg(test)]
mod tests;
