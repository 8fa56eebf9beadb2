//! Settings against each other and against a policy. Pure.

use crate::Finding;
use crate::settings::{OF_SENTINELS, is_alias, is_live, is_own, plain, proper};
use baton_topology::{is_fence, split_address};
use std::collections::{BTreeMap, BTreeSet};

/// Longest value that is shown, characters: `save` and buffer limits are long.
const VALUE_CHARS_MAX: usize = 80;

/// A member that told its settings.
pub(crate) struct Member {
    pub(crate) address: String,
    pub(crate) settings: BTreeMap<String, String>,
}

/// Whose settings.
pub(crate) enum Kind<'a> {
    /// Data nodes.
    Data,
    /// Sentinels of this master.
    Sentinel { master: &'a str },
}

/// What differs, by setting, and how many settings were looked at.
pub(crate) fn compare(
    kind: &Kind<'_>,
    members: &[Member],
    policy: &BTreeMap<String, String>,
    may_differ: &[&str],
) -> (Vec<Finding>, usize) {
    let policy: BTreeMap<&str, &str> =
        policy.iter().map(|(name, value)| (proper(name), value.as_str())).collect();
    let known: BTreeSet<&str> =
        members.iter().flat_map(|it| it.settings.keys()).map(String::as_str).collect();
    let is_looked_at = |setting: &&str| match kind {
        Kind::Data => !is_alias(setting),
        Kind::Sentinel { .. } => OF_SENTINELS.contains(setting),
    };
    // What was declared and nobody has is looked at as well: it is a finding.
    let settings: BTreeSet<&str> =
        known.into_iter().filter(is_looked_at).chain(policy.keys().copied()).collect();
    let mut findings = Vec::new();
    for setting in &settings {
        let declared = policy.get(setting).copied();
        if declared.is_none() && (is_own(setting) || may_differ.contains(setting)) {
            continue;
        }
        let Some(wanted) = declared.map(plain).or_else(|| usual(members, setting)) else {
            continue;
        };
        let code = if declared.is_some() { "policy" } else { "differs" };
        for member in members {
            let value = member.settings.get(*setting).map(String::as_str);
            if value.is_some_and(|it| plain(it) == wanted || is_our_fence(setting, it)) {
                continue;
            }
            findings.push(Finding {
                code: code.to_owned(),
                subject: member.address.clone(),
                setting: (*setting).to_owned(),
                value: shown(value.unwrap_or("(not told)")),
                wanted: shown(&wanted),
                mend: mend(kind, &member.address, setting, &wanted),
            });
        }
    }
    (findings, settings.len())
}

/// A fence is a debt of a run, which restores what was there before.
fn is_our_fence(setting: &str, value: &str) -> bool {
    setting == "min-replicas-to-write" && value.parse().is_ok_and(is_fence)
}

/// What most of them have; of equally many the one that the first member has.
fn usual(members: &[Member], setting: &str) -> Option<String> {
    let values: Vec<&String> = members
        .iter()
        .filter_map(|it| it.settings.get(setting))
        .filter(|it| !is_our_fence(setting, it))
        .collect();
    let count = |value: &String| values.iter().filter(|it| **it == value).count();
    let most = values.iter().map(|it| count(it)).max()?;
    values.iter().find(|it| count(it) == most).map(|it| (*it).clone())
}

fn shown(value: &str) -> String {
    let value = if value.is_empty() { "\"\"" } else { value };
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

fn mend(kind: &Kind<'_>, address: &str, setting: &str, wanted: &str) -> String {
    let Some((host, port)) = split_address(address) else { return String::new() };
    let cli = format!("redis-cli -h {host} -p {port}");
    let is_secret =
        wanted == "(redacted)" || setting.ends_with("auth") || setting.ends_with("pass");
    let value = if is_secret {
        "'<the password of the others>'".to_owned()
    } else if wanted.is_empty() || wanted.contains(char::is_whitespace) {
        format!("'{wanted}'")
    } else {
        wanted.to_owned()
    };
    match kind {
        Kind::Sentinel { master } => format!("{cli} SENTINEL SET {master} {setting} {value}"),
        Kind::Data if is_live(setting) => {
            format!("{cli} CONFIG SET {setting} {value} && {cli} CONFIG REWRITE")
        }
        Kind::Data => format!(
            "`{setting} {value}` in the config file of {address}, then restart it as a replica"
        ),
    }
}
