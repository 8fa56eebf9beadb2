//! Grants besides Redis as a person wants to see them: with what baton.toml says of each.

use baton_core::workflow::plan::{ExecGrant, Grants, HttpGrant, ProbeGrant};
use baton_host::capability::Outside;
use baton_host::capability::exec::Class;
use baton_host::capability::probe::Look;

use super::view::Door;

/// What `grants` allow besides Redis.
pub(super) fn doors(grants: &Grants, outside: &Outside) -> Vec<Door> {
    let http = grants.http.iter().map(|grant| http(grant, outside));
    let exec = grants.exec.iter().flat_map(|grant| exec(grant, outside));
    let probe = grants.probe.iter().flat_map(|grant| probe(grant, outside));
    http.chain(exec).chain(probe).collect()
}

fn http(grant: &HttpGrant, outside: &Outside) -> Door {
    let known = outside.http.iter().find(|endpoint| endpoint.name == grant.endpoint);
    Door {
        door: "http",
        name: grant.endpoint.clone(),
        at: known.map(|it| format!("{}{}", it.url.address, it.url.prefix)),
        may: vec![format!("{} {}", grant.methods.join(", "), grant.paths.join(", "))],
        only_reads: grant.reads(),
        note: known.is_none().then(|| missing("http", &grant.endpoint)),
    }
}

fn exec<'g>(grant: &'g ExecGrant, outside: &'g Outside) -> impl Iterator<Item = Door> + 'g {
    grant.commands.iter().map(move |name| {
        let known = outside.exec.iter().find(|command| command.name == *name);
        let refused = known.filter(|it| grant.only_reads && it.class != Class::Read).map(|_| {
            format!("every call is refused: class of [exec.{name}] in baton.toml is not read")
        });
        Door {
            door: "exec",
            name: name.clone(),
            at: None,
            may: known
                .map(|it| {
                    let words = std::iter::once(&it.program).chain(&it.fixed).map(String::as_str);
                    words.chain(it.args.iter().map(|_| "…")).collect::<Vec<_>>().join(" ")
                })
                .into_iter()
                .collect(),
            only_reads: grant.only_reads,
            note: refused.or_else(|| known.is_none().then(|| missing("exec", name))),
        }
    })
}

fn probe<'g>(grant: &'g ProbeGrant, outside: &'g Outside) -> impl Iterator<Item = Door> + 'g {
    grant.targets.iter().map(move |name| {
        let known = outside.probe.iter().find(|target| target.name == *name);
        let look = known.map(|target| match &target.look {
            Look::Tcp(address) => ("tcp", address.to_string()),
            Look::Http { url, .. } => ("http", format!("{}{}", url.address, url.prefix)),
            Look::WebSocket { url, .. } => ("websocket", format!("{}{}", url.address, url.prefix)),
        });
        Door {
            door: "probe",
            name: name.clone(),
            may: look.iter().map(|(how, _)| (*how).to_owned()).collect(),
            at: look.map(|(_, at)| at),
            only_reads: true,
            note: known.is_none().then(|| missing("probe", name)),
        }
    })
}

fn missing(door: &str, name: &str) -> String {
    format!("there is no [{door}.{name}] in baton.toml")
}
