//! What a step lets its plugin reach: the form of it, and whether it is enough.

use std::collections::{BTreeMap, BTreeSet};

use super::sight::unknown_param;
use super::{Library, PluginFacts, bad_dashed_name, doors};
use crate::workflow::document::{GrantDoc, GrantsDoc, Span, Text};
use crate::workflow::flaw::Flaw;
use crate::workflow::plan::{Grants, HttpGrant, Param, ParamKind, RedisGrant};

/// What a granted `@read` does not stand for: itself asked for by name is found by
/// name, and KEYS reads, but walks the whole key space in one go.
const BEYOND_READ: [&str; 2] = ["@read", "KEYS"];

/// Turns grants as written into grants; upper case, and a cluster that is a name
/// or exactly `${params.NAME}`.
pub(super) fn grants(
    documents: &GrantsDoc,
    params: &BTreeMap<String, Param>,
    flaws: &mut Vec<Flaw>,
) -> Grants {
    let mut grant = |document: &GrantDoc| {
        let nodes = document.nodes.as_deref().unwrap_or_default();
        let commands = document.commands.as_deref().unwrap_or_default();
        let values = |texts: &[Text]| texts.iter().map(|text| text.value.clone()).collect();
        flaws.extend(nodes.iter().filter_map(check_node));
        flaws.extend(commands.iter().filter_map(check_command));
        flaws.extend(document.keys.iter().filter_map(check_key));
        RedisGrant {
            cluster: document
                .cluster
                .as_ref()
                .map_or_else(String::new, |text| cluster(text, params, flaws)),
            nodes: values(nodes),
            commands: values(commands),
            keys: values(&document.keys),
        }
    };
    Grants {
        redis: documents.redis.iter().map(&mut grant).collect(),
        http: documents.http.iter().map(|it| doors::http(it, flaws)).collect(),
        exec: documents.exec.iter().map(|it| doors::exec(it, flaws)).collect(),
        probe: documents.probe.iter().map(|it| doors::probe(it, flaws)).collect(),
    }
}

fn cluster(text: &Text, params: &BTreeMap<String, Param>, flaws: &mut Vec<Flaw>) -> String {
    if !text.value.contains("${") {
        flaws.extend(bad_cluster(text));
        return text.value.clone();
    }
    let name = text
        .value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .and_then(|inside| inside.trim().strip_prefix("params."))
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
    let Some(name) = name else {
        let message = "a grant's cluster is a name or one param, nothing computed: what a step may \
                       reach must be plain to see";
        let help = "write cluster = \"${params.cluster}\"";
        flaws.push(Flaw::at("bad-grant", text.span.clone(), message).help(help));
        return text.value.clone();
    };
    match params.get(name) {
        None => flaws.push(unknown_param(text.span.clone(), name, params)),
        Some(param) if param.kind != ParamKind::String => {
            let message = format!("param `{name}` names a cluster, so it must be a string");
            flaws.push(Flaw::at("bad-grant", text.span.clone(), message));
        }
        Some(_) => {}
    }
    format!("${{params.{name}}}")
}

fn bad_cluster(text: &Text) -> Option<Flaw> {
    bad_dashed_name("a cluster's name", text)
}

fn check_node(text: &Text) -> Option<Flaw> {
    let node = text.value.as_str();
    let address = || {
        let (host, port) = node.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(())
    };
    if ["data", "sentinels"].contains(&node) || address().is_some() {
        return None;
    }
    let message = format!("`{node}` is no node");
    let help = "write \"data\" for every data node, \"sentinels\", or an address \"host:port\"";
    Some(Flaw::at("bad-grant", text.span.clone(), message).help(help))
}

fn check_command(text: &Text) -> Option<Flaw> {
    let command = text.value.as_str();
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_.".contains(&b))
    };
    let known = match command.split_once('|') {
        Some((container, sub)) => word(container) && word(sub),
        None => command == "@read" || word(command),
    };
    if known {
        return None;
    }
    let message = format!("`{command}` is no command");
    let better = command.trim().to_uppercase().replace(' ', "|");
    let help = if command.starts_with('@') {
        "the only category is \"@read\"; name every other command".to_owned()
    } else {
        format!("write \"{better}\": a command in upper case, a subcommand after `|`")
    };
    Some(Flaw::at("bad-grant", text.span.clone(), message).help(help))
}

fn check_key(text: &Text) -> Option<Flaw> {
    text.value.is_empty().then(|| {
        let help = "write a pattern such as \"book:*\"";
        Flaw::at("bad-grant", text.span.clone(), "a key pattern cannot be empty").help(help)
    })
}

/// Notes what the plugin asks for and the step does not grant.
pub(super) fn check_enough(
    plugin: &Text,
    facts: &PluginFacts,
    documents: &GrantsDoc,
    granted: &Grants,
    library: &Library,
    flaws: &mut Vec<Flaw>,
) {
    doors::check_enough(plugin, facts, documents, granted, flaws);
    let have: BTreeSet<&str> =
        granted.redis.iter().flat_map(|grant| &grant.commands).map(String::as_str).collect();
    let lacking: Vec<&str> = facts
        .redis_commands
        .iter()
        .map(String::as_str)
        .filter(|asked| !is_granted(asked, &have, library))
        .collect();
    if lacking.is_empty() {
        return;
    }
    let list = |commands: &[&str]| {
        commands.iter().map(|command| format!("\"{command}\"")).collect::<Vec<_>>().join(", ")
    };
    let message =
        format!("plugin `{}` asks for what is not granted: {}", plugin.value, lacking.join(", "));
    let span: Span;
    let help;
    if let [first, ..] = documents.redis.as_slice() {
        span = first.commands_span.clone().unwrap_or(plugin.span.clone());
        let first =
            granted.redis.first().map(|grant| grant.commands.as_slice()).unwrap_or_default();
        let all: Vec<&str> = first.iter().map(String::as_str).chain(lacking).collect();
        help = format!("write commands = [{}]", list(&all));
    } else {
        span = plugin.span.clone();
        help = format!(
            "add grants.redis = [{{ cluster = \"…\", nodes = [\"data\", \"sentinels\"], commands = [{}] }}]",
            list(&lacking)
        );
    }
    flaws.push(Flaw::at("missing-grant", span, message).help(help));
}

fn is_granted(asked: &str, have: &BTreeSet<&str>, library: &Library) -> bool {
    let container = asked.split_once('|').map(|(container, _)| container);
    have.contains(asked)
        || container.is_some_and(|container| have.contains(container))
        || (!BEYOND_READ.contains(&asked) && have.contains("@read") && (library.is_read)(asked))
}

/// Whether nothing can be changed with these grants.
pub(super) fn only_reads(granted: &Grants, library: &Library) -> bool {
    let reads = |command: &String| command == "@read" || (library.is_read)(command);
    granted.redis.iter().flat_map(|grant| &grant.commands).all(reads)
        && granted.http.iter().all(HttpGrant::reads)
        && granted.exec.iter().all(|grant| grant.only_reads)
}
