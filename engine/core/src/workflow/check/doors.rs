//! Grants of HTTP endpoints, commands and probes: the form of them, and whether they
//! are enough.

use super::{PluginFacts, bad_dashed_name};
use crate::workflow::document::{ExecGrantDoc, GrantsDoc, HttpGrantDoc, ProbeGrantDoc, Text};
use crate::workflow::flaw::{Flaw, did_you_mean};
use crate::workflow::plan::{ExecGrant, Grants, HttpGrant, ProbeGrant};

/// Methods that the host knows.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

pub(super) fn http(document: &HttpGrantDoc, flaws: &mut Vec<Flaw>) -> HttpGrant {
    let methods = document.methods.as_deref().unwrap_or_default();
    let paths = document.paths.as_deref().unwrap_or_default();
    flaws.extend(
        document.endpoint.iter().filter_map(|it| bad_dashed_name("an endpoint's name", it)),
    );
    flaws.extend(methods.iter().filter_map(bad_method));
    flaws.extend(paths.iter().filter_map(bad_path));
    HttpGrant {
        endpoint: document.endpoint.as_ref().map_or_else(String::new, |it| it.value.clone()),
        methods: values(methods),
        paths: values(paths),
        only_reads: document.only_reads.as_ref().is_some_and(|it| it.value),
    }
}

pub(super) fn exec(document: &ExecGrantDoc, flaws: &mut Vec<Flaw>) -> ExecGrant {
    let commands = document.commands.as_deref().unwrap_or_default();
    flaws.extend(commands.iter().filter_map(|it| bad_dashed_name("a command's name", it)));
    ExecGrant {
        commands: values(commands),
        only_reads: document.only_reads.as_ref().is_some_and(|it| it.value),
    }
}

pub(super) fn probe(document: &ProbeGrantDoc, flaws: &mut Vec<Flaw>) -> ProbeGrant {
    let targets = document.targets.as_deref().unwrap_or_default();
    flaws.extend(targets.iter().filter_map(|it| bad_dashed_name("a probe's name", it)));
    ProbeGrant { targets: values(targets) }
}

fn values(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|text| text.value.clone()).collect()
}

fn bad_method(text: &Text) -> Option<Flaw> {
    if METHODS.contains(&text.value.as_str()) {
        return None;
    }
    let message = format!("`{}` is no method", text.value);
    let upper = text.value.to_uppercase();
    let help = did_you_mean(&upper, METHODS);
    Some(Flaw::at("bad-grant", text.span.clone(), message).maybe_help(help))
}

/// A pattern is compared with paths as they are sent, which have nothing that a server
/// might read in more than one way.
fn bad_path(text: &Text) -> Option<Flaw> {
    let path = text.value.as_str();
    let inner = path.strip_prefix('/');
    let segments: Vec<&str> = inner.unwrap_or_default().split('/').collect();
    let last = segments.len() - 1;
    let sound = |(at, segment): (usize, &&str)| {
        (!segment.is_empty() || at == last)
            && ![".", ".."].contains(segment)
            && (!segment.contains("**") || (at == last && *segment == "**"))
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c);
    if inner.is_some() && path.chars().all(plain) && segments.iter().enumerate().all(sound) {
        return None;
    }
    let message = format!("`{path}` is no pattern of paths");
    let help = "write a path from `/` on, without query, `%` or `..`; `*` stands for anything \
                within a segment, `/**` at the end for anything below: \"/api/v1/query*\"";
    Some(Flaw::at("bad-grant", text.span.clone(), message).help(help))
}

/// Notes what the plugin asks for, besides Redis, and the step does not grant.
pub(super) fn check_enough(
    plugin: &Text,
    facts: &PluginFacts,
    documents: &GrantsDoc,
    granted: &Grants,
    flaws: &mut Vec<Flaw>,
) {
    let asks = &facts.asks;
    let name = &plugin.value;
    let missing = |what: &str| format!("plugin `{name}` asks for what is not granted: {what}");
    let mut lack = |what: &str, help: &str| {
        flaws.push(Flaw::at("missing-grant", plugin.span.clone(), missing(what)).help(help));
    };
    if asks.exec && granted.exec.is_empty() {
        lack("exec", "add grants.exec = [{ commands = [\"…\"] }], names of [exec] in baton.toml");
    }
    if asks.probe && granted.probe.is_empty() {
        lack("probe", "add grants.probe = [{ targets = [\"…\"] }], names of [probe] in baton.toml");
    }
    let Some(methods) = &asks.http else { return };
    let has = |method: &&String| granted.http.iter().any(|grant| grant.methods.contains(method));
    let lacking: Vec<String> = methods
        .iter()
        .filter(|method| !has(method))
        .map(|method| format!("\"{method}\""))
        .collect();
    match documents.http.as_slice() {
        [] => {
            let list = if methods.is_empty() { "\"…\"".to_owned() } else { lacking.join(", ") };
            let help = format!(
                "add grants.http = [{{ endpoint = \"…\", methods = [{list}], paths = [\"/…\"] }}]"
            );
            lack("http", &help);
        }
        [first, ..] if !lacking.is_empty() => {
            let span = first.methods_span.clone().unwrap_or(plugin.span.clone());
            let have = granted.http.first().map(|grant| grant.methods.as_slice());
            let have = have.unwrap_or_default().iter().map(|method| format!("\"{method}\""));
            let all: Vec<String> = have.chain(lacking.iter().cloned()).collect();
            let message = missing(&format!("HTTP {}", lacking.join(", ").replace('"', "")));
            let help = format!("write methods = [{}]", all.join(", "));
            flaws.push(Flaw::at("missing-grant", span, message).help(help));
        }
        _ => {}
    }
}
