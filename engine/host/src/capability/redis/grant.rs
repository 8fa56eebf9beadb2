//! The rule: what a step asked for against what it was granted. Pure; deny by
//! default; a refusal names the line that would allow it.

use baton_core::run::event::CallClass;
use baton_core::workflow::plan::RedisGrant;

use super::class::{class, covered_by_read};
use super::cluster::{Cluster, Mode};
use super::keys::{Keys, keys as names_of};
use super::table::name_of;
use super::{glob, secret};
use crate::guest::wit::redis::{Error, ErrorKind, MemberKind, Request};
use crate::limits;
use crate::text::{tame, tame_bytes};

/// Commands for one member that may be sent.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) address: String,
    pub(super) kind: MemberKind,
    pub(super) commands: Vec<Command>,
}

/// A command that may be sent.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) arguments: Vec<Vec<u8>>,
    pub(super) class: CallClass,
}

/// Commands that turn the connection into something else than question and
/// answer, or that are the host's own business, and why nobody may send them.
const OURS: &[(&str, &str)] = &[
    ("AUTH", "the host logs in, with the secrets of baton.toml"),
    ("HELLO", "the host logs in, with the secrets of baton.toml"),
    ("QUIT", "a connection ends with the attempt"),
    ("RESET", "the host logs in, with the secrets of baton.toml"),
    ("MONITOR", "it turns the connection into a stream"),
    ("PSYNC", "it turns the connection into a stream; `divergence` reads it, with this grant"),
    ("REPLCONF", "it turns the connection into a stream"),
    ("SYNC", "it turns the connection into a stream"),
    ("PSUBSCRIBE", "it turns the connection into a stream"),
    ("PUNSUBSCRIBE", "it turns the connection into a stream"),
    ("SSUBSCRIBE", "it turns the connection into a stream"),
    ("SUBSCRIBE", "it turns the connection into a stream"),
    ("SUNSUBSCRIBE", "it turns the connection into a stream"),
    ("UNSUBSCRIBE", "it turns the connection into a stream"),
    ("CLIENT|CACHING", "it changes what the server sends unasked"),
    ("CLIENT|REPLY", "without replies no call could be told from another"),
    ("CLIENT|TRACKING", "it changes what the server sends unasked"),
    ("SCRIPT|DEBUG", "it turns the connection into a debugger"),
];

/// Who asks: the step's name, the cluster it means, and what it was granted there.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) step: &'a str,
    pub(super) cluster: &'a Cluster,
    pub(super) grants: &'a [RedisGrant],
}

/// How near a grant came, for the refusal that helps most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Nothing,
    Node,
    Command,
}

impl Asker<'_> {
    /// All requests of a call, or the first refusal. Nothing is sent unless all
    /// may be.
    pub(super) fn check(&self, requests: Vec<Request>) -> Result<Vec<Pipeline>, Error> {
        requests.into_iter().map(|request| self.pipeline(request)).collect()
    }

    /// What `address` is, if the cluster has it.
    pub(super) fn member(&self, address: &str) -> Result<MemberKind, Error> {
        let has = |list: &[String]| list.iter().any(|known| known == address);
        match (has(&self.cluster.nodes), has(&self.cluster.sentinels)) {
            (true, _) => Ok(MemberKind::Data),
            (false, true) => Ok(MemberKind::Sentinel),
            (false, false) => Err(Error {
                kind: ErrorKind::NotFound,
                message: format!(
                    "{} is neither node nor Sentinel of cluster {}: add it to `nodes` or `sentinels` under [clusters.{}] in baton.toml",
                    tame(address, limits::REQUEST_TEXT_BYTES_MAX),
                    self.cluster.name,
                    self.cluster.name
                ),
            }),
        }
    }

    /// Whether any grant reaches this member at all.
    pub(super) fn reaches(&self, address: &str, kind: MemberKind) -> bool {
        self.grants.iter().any(|grant| has_node(grant, address, kind))
    }

    /// Whether a node's replication stream may be read: every key passes there.
    pub(super) fn stream(&self, address: &str) -> Result<(), Error> {
        let (step, kind) = (self.step, self.member(address)?);
        if kind == MemberKind::Sentinel {
            let why = format!("step \"{step}\": {address} is a Sentinel, which has no replicas");
            return Err(denied(why));
        }
        self.granted(address, kind, "PSYNC", &[b"PSYNC".to_vec()])?;
        let has_all = |grant: &RedisGrant| {
            has_node(grant, address, kind)
                && has_command(grant, "PSYNC", &[])
                && grant.keys.iter().any(|pattern| pattern == "*")
        };
        if !self.grants.iter().any(has_all) {
            return Err(denied(format!(
                "step \"{step}\" may not read the replication stream of {address}: every key passes there: add \"*\" to grants.redis.keys of the step"
            )));
        }
        if self.cluster.mode == Mode::Observe {
            return Err(denied(format!(
                "step \"{step}\" may not read the replication stream of {address}: while it is read the node counts one replica more, and cluster {} is in mode observe",
                self.cluster.name
            )));
        }
        Ok(())
    }

    /// One command for each of many keys, the key second. Gives the command with the
    /// first key.
    ///
    /// # Errors
    /// The first refusal; nothing is sent.
    pub(super) fn each(
        &self,
        address: &str,
        command: &[Vec<u8>],
        keys: &[Vec<u8>],
    ) -> Result<(MemberKind, Option<Command>), Error> {
        let kind = self.member(address)?;
        let Some(first) = keys.first() else { return Ok((kind, None)) };
        let with = |key: &Vec<u8>| {
            let mut words = command.to_vec();
            words.insert(words.len().min(1), key.clone());
            words
        };
        let checked = self.command(address, kind, with(first))?;
        let name = &checked.name;
        let refused = |why: &str| {
            denied(format!(
                "step \"{}\" may not send {} for each of many keys: {why}",
                self.step,
                spelt(name)
            ))
        };
        if checked.class != CallClass::Read {
            return Err(refused("it is no plain read"));
        }
        if !matches!(names_of(name, &checked.arguments), Keys::These(named) if named == [first]) {
            return Err(refused("its only key must be its second word"));
        }
        for key in &keys[1..] {
            let granted = self.grants.iter().any(|grant| {
                has_node(grant, address, kind)
                    && has_command(grant, name, &checked.arguments)
                    && grant.keys.iter().any(|pattern| glob::matches(pattern.as_bytes(), key))
            });
            if !granted {
                // Refused in the same words as alone.
                self.command(address, kind, with(key))?;
            }
        }
        Ok((kind, Some(checked)))
    }

    /// Every one of `commands` on keys that match `pattern`, by one grant.
    ///
    /// # Errors
    /// What the nearest grant lacks.
    pub(super) fn all_of(
        &self,
        address: &str,
        commands: &[&str],
        pattern: &[u8],
    ) -> Result<MemberKind, Error> {
        let kind = self.member(address)?;
        let scan = ["SCAN", "0", "MATCH"].map(|word| word.as_bytes().to_vec());
        let scan: Vec<Vec<u8>> = scan.into_iter().chain([pattern.to_vec()]).collect();
        self.granted(address, kind, "SCAN", &scan)?;
        let lacks = |grant: &RedisGrant| {
            let word = |name: &&&str| !has_command(grant, name, &[name.as_bytes().to_vec()]);
            commands.iter().find(word).copied()
        };
        let mut able =
            self.grants.iter().filter(|grant| self.by(grant, address, kind, "SCAN", &scan).is_ok());
        let Some(first) = able.next() else { return Err(ungranted(self.step, &self.cluster.name)) };
        let Some(lacking) = lacks(first) else { return Ok(kind) };
        if able.any(|grant| lacks(grant).is_none()) {
            return Ok(kind);
        }
        Err(denied(format!(
            "step \"{}\" may not read what the keys of {address} hold: add \"{lacking}\" (or \"@read\") to grants.redis.commands of the step",
            self.step
        )))
    }

    fn pipeline(&self, request: Request) -> Result<Pipeline, Error> {
        let Request { address, commands } = request;
        let kind = self.member(&address)?;
        let commands = commands
            .into_iter()
            .map(|arguments| self.command(&address, kind, arguments))
            .collect::<Result<Vec<_>, _>>()?;
        whole_transactions(&commands)
            .map_err(|flaw| denied(format!("step \"{}\": {flaw}", self.step)))?;
        Ok(Pipeline { address, kind, commands })
    }

    fn command(
        &self,
        address: &str,
        kind: MemberKind,
        arguments: Vec<Vec<u8>>,
    ) -> Result<Command, Error> {
        let name = name_of(&arguments);
        let step = self.step;
        let shown = spelt(&name);
        let never = |why: &str| denied(format!("step \"{step}\" may not send {shown}: {why}"));
        if name.is_empty() {
            return Err(never("a command needs a name"));
        }
        if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == name) {
            return Err(never(why));
        }
        if let Some(why) = secret::asks_for(&name, &arguments) {
            return Err(never(&why));
        }
        let class = class(&arguments);
        self.granted(address, kind, &name, &arguments)?;
        if self.cluster.mode == Mode::Observe && class != CallClass::Read {
            return Err(never(&format!(
                "cluster {} is in mode observe: set mode = \"lead\" (or \"assist\") under [clusters.{}] in baton.toml to let Baton act",
                self.cluster.name, self.cluster.name
            )));
        }
        Ok(Command { name, arguments, class })
    }

    /// One grant must allow node, command and keys together.
    fn granted(
        &self,
        address: &str,
        kind: MemberKind,
        name: &str,
        arguments: &[Vec<u8>],
    ) -> Result<(), Error> {
        let mut nearest: Option<(Reached, String)> = None;
        for grant in self.grants {
            match self.by(grant, address, kind, name, arguments) {
                Ok(()) => return Ok(()),
                Err(refusal) => {
                    if nearest.as_ref().is_none_or(|(reached, _)| refusal.0 > *reached) {
                        nearest = Some(refusal);
                    }
                }
            }
        }
        Err(nearest.map_or_else(
            || ungranted(self.step, &self.cluster.name),
            |(_, message)| denied(message),
        ))
    }

    fn by(
        &self,
        grant: &RedisGrant,
        address: &str,
        kind: MemberKind,
        name: &str,
        arguments: &[Vec<u8>],
    ) -> Result<(), (Reached, String)> {
        let (step, shown) = (self.step, spelt(name));
        if !has_node(grant, address, kind) {
            let group = group_of(kind);
            return Err((
                Reached::Nothing,
                format!(
                    "step \"{step}\" may not reach {address}: add \"{group}\" or \"{address}\" to grants.redis.nodes of the step"
                ),
            ));
        }
        if !has_command(grant, name, arguments) {
            return Err((
                Reached::Node,
                format!(
                    "step \"{step}\" may not send {shown} to {address}: add \"{}\" to grants.redis.commands of the step",
                    tame(name, limits::REQUEST_TEXT_BYTES_MAX)
                ),
            ));
        }
        lacking(grant, name, arguments).map_or(Ok(()), |(what, why)| {
            Err((
                Reached::Command,
                format!(
                    "step \"{step}\" may not send {shown} to {address}: {why}: add \"{what}\" to grants.redis.keys of the step"
                ),
            ))
        })
    }
}

/// The refusal of a cluster that no grant names.
pub(super) fn ungranted(step: &str, cluster: &str) -> Error {
    let cluster = tame(cluster, limits::REQUEST_TEXT_BYTES_MAX);
    denied(format!(
        "step \"{step}\" was granted nothing on cluster {cluster}: add [[steps.{step}.grants.redis]] with cluster = \"{cluster}\", nodes and commands"
    ))
}

fn denied(message: String) -> Error {
    Error { kind: ErrorKind::Denied, message }
}

/// `CONFIG|GET` as a person types it.
fn spelt(name: &str) -> String {
    tame(&name.replace('|', " "), limits::REQUEST_TEXT_BYTES_MAX)
}

fn group_of(kind: MemberKind) -> &'static str {
    match kind {
        MemberKind::Data => "data",
        MemberKind::Sentinel => "sentinels",
    }
}

fn has_node(grant: &RedisGrant, address: &str, kind: MemberKind) -> bool {
    grant.nodes.iter().any(|node| node == address || node == group_of(kind))
}

fn has_command(grant: &RedisGrant, name: &str, arguments: &[Vec<u8>]) -> bool {
    grant.commands.iter().any(|granted| {
        if granted.eq_ignore_ascii_case("@read") {
            covered_by_read(name, arguments)
        } else {
            granted.eq_ignore_ascii_case(name)
        }
    })
}

/// The key or pattern that the grant lacks, and what to say of it.
fn lacking(grant: &RedisGrant, name: &str, arguments: &[Vec<u8>]) -> Option<(String, String)> {
    let any = |rule: &dyn Fn(&[u8]) -> bool| grant.keys.iter().any(|k| rule(k.as_bytes()));
    let text = |bytes: &[u8]| tame_bytes(bytes, limits::REQUEST_TEXT_BYTES_MAX);
    match names_of(name, arguments) {
        Keys::These(keys) => keys
            .into_iter()
            .find(|key| !any(&|pattern| glob::matches(pattern, key)))
            .map(|key| (text(key), format!("key {} is not granted", text(key)))),
        Keys::Matching(asked) => (!any(&|pattern| glob::includes(pattern, asked)))
            .then(|| (text(asked), format!("keys {} are not granted", text(asked)))),
        Keys::All(why) => {
            (!any(&|pattern| pattern == b"*")).then(|| ("*".to_owned(), why.to_owned()))
        }
    }
}

/// A transaction begins and ends in one pipeline: what is queued by one call and
/// run by a later one would happen long after its intent.
fn whole_transactions(commands: &[Command]) -> Result<(), &'static str> {
    let mut is_open = false;
    for command in commands {
        match command.name.as_str() {
            "MULTI" if is_open => return Err("MULTI inside MULTI"),
            "MULTI" => is_open = true,
            "EXEC" | "DISCARD" if !is_open => {
                return Err("EXEC or DISCARD without MULTI before it in the same pipeline");
            }
            "EXEC" | "DISCARD" => is_open = false,
            _ => {}
        }
    }
    if is_open {
        return Err("MULTI without EXEC or DISCARD after it in the same pipeline");
    }
    Ok(())
}
