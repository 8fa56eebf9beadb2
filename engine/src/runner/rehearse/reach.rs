//! Grants as a person wants to see them: with addresses.

use baton_core::Json;
use baton_core::workflow::plan::{Grants, RedisGrant};
use baton_host::capability::redis::{Cluster, Mode};

use super::view::Reach;

/// What `grants` allow in a run with these `params`.
pub(super) fn reaches(grants: &Grants, params: &Json, clusters: &[Cluster]) -> Vec<Reach> {
    grants.redis.iter().map(|grant| reach(grant, params, clusters)).collect()
}

fn reach(grant: &RedisGrant, params: &Json, clusters: &[Cluster]) -> Reach {
    let param = grant.cluster.strip_prefix("${params.").and_then(|rest| rest.strip_suffix('}'));
    let filled = param.and_then(|name| params.get(name)).and_then(Json::as_str);
    let name = filled.unwrap_or(&grant.cluster);
    let known = clusters.iter().find(|cluster| cluster.name == name);
    let nodes = |cluster: &Cluster| {
        let of = |member: &String| match member.as_str() {
            "data" => cluster.nodes.clone(),
            "sentinels" => cluster.sentinels.clone(),
            _ => vec![member.clone()],
        };
        grant.nodes.iter().flat_map(of).collect()
    };
    let note = match known {
        None if name.contains("${") => None,
        None => Some(format!("there is no cluster `{name}` in baton.toml")),
        Some(cluster) if cluster.mode == Mode::Observe && changes(&grant.commands) => {
            Some(format!("cluster `{name}` is in mode observe: every change is refused"))
        }
        Some(_) => None,
    };
    Reach {
        cluster: name.to_owned(),
        mode: known.map(|cluster| mode(cluster.mode)),
        members: grant.nodes.clone(),
        nodes: known.map(nodes).unwrap_or_default(),
        commands: grant.commands.clone(),
        keys: grant.keys.clone(),
        note,
    }
}

fn changes(commands: &[String]) -> bool {
    let reads = |command: &String| command == "@read" || baton_host::redis_is_read(command);
    !commands.iter().all(reads)
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Assist => "assist",
        Mode::Lead => "lead",
    }
}
