//! Sentinels that do not adopt by hello are set up anew: REMOVE, MONITOR, their settings.
//!
//! For one that knows no peer in whose name it could be told, or that does not let us
//! publish. MONITOR resets everything (Redis 7.0: down-after 30 s, failover-timeout 180 s,
//! epoch 0, no password), and is refused where the name is there: so settings are read
//! first, the address compared, and all that is needed goes in one pipeline to all such
//! Sentinels at once, since one alone with an older epoch is taken back by its peers.

use crate::convergence::add;
use crate::{Configuration, TIMEOUT_MS};
use baton_plugin::redis::{Command, ErrorKind, Request, Value};
use baton_plugin::{Cluster, Fault, Host, Level};
use baton_topology::{Look, split_address};

/// Settings that MONITOR forgets and `SENTINEL MASTER` shows.
const SETTINGS: [&str; 3] = ["down-after-milliseconds", "failover-timeout", "parallel-syncs"];

/// Sets up anew every Sentinel that answers and names another master still.
pub(crate) fn configure<H: Host>(
    cluster: &Cluster,
    seen: &Look,
    wanted: &Configuration,
    notes: &mut Vec<String>,
    host: &mut H,
) -> Result<(), Fault> {
    let stuck = seen.sentinels.iter().filter(|it| it.reachable && !it.names(&wanted.master));
    let stuck: Vec<String> = stuck.map(|it| it.address.clone()).collect();
    let Some((ip, port)) = split_address(&wanted.master).filter(|_| !stuck.is_empty()) else {
        return Ok(());
    };
    if has_password(cluster, &wanted.master, host)? {
        for address in stuck {
            add(
                notes,
                format!(
                    "{address} does not adopt by hello, and cannot be set up anew: MONITOR forgets the password of the data nodes, which no plugin knows. By hand: SENTINEL REMOVE, MONITOR, SET auth-pass"
                ),
            );
        }
        return Ok(());
    }
    let name = &cluster.master_name;
    let question = vec![Command::of(["SENTINEL", "MASTER", name])];
    let asked: Vec<Request> =
        stuck.iter().map(|it| Request::new(it.clone(), question.clone())).collect();
    let answers = host
        .call(&cluster.name, &asked, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask the Sentinels", &error))?;
    let mut requests = Vec::new();
    for (address, answer) in stuck.iter().zip(answers) {
        let told = answer.ok().and_then(|it| it.into_iter().next()).unwrap_or(Value::Null);
        let setting = |field: &str| told.field_text(field);
        // One that knows no such master has nothing to remove or to remember.
        let quorum = setting("quorum").unwrap_or_else(|| "2".into());
        let mut commands = vec![
            Command::of(["SENTINEL", "REMOVE", name]),
            Command::of(["SENTINEL", "MONITOR", name, &ip, &port.to_string(), &quorum]),
        ];
        let known = SETTINGS.iter().filter_map(|field| Some((field, setting(field)?)));
        commands.extend(
            known.map(|(field, value)| Command::of(["SENTINEL", "SET", name, field, &value])),
        );
        commands.push(Command::line("SENTINEL FLUSHCONFIG"));
        requests.push(Request::new(address.clone(), commands));
    }
    host.log(Level::Warn, &format!("{} do not adopt by hello: set up anew", stuck.join(", ")));
    let results = host
        .call(&cluster.name, &requests, TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot set up the Sentinels", &error))?;
    for (address, result) in stuck.iter().zip(results) {
        let failed = match &result {
            Ok(replies) => replies.get(1).and_then(Value::error).map(str::to_owned),
            Err(error) if error.kind == ErrorKind::Denied => {
                Some(format!("{}; the workflow grants only the hello", error.message))
            }
            Err(error) => Some(error.to_string()),
        };
        let note = match failed {
            Some(error) => format!("{address} could not be set up anew: {error}"),
            None => {
                format!("{address} did not adopt by hello and was set up anew (SENTINEL MONITOR)")
            }
        };
        add(notes, note);
    }
    Ok(())
}

/// Whether the data nodes want a log-in. The value never reaches a plugin; whether there
/// is one does.
fn has_password<H: Host>(cluster: &Cluster, master: &str, host: &mut H) -> Result<bool, Fault> {
    let request = Request::new(master, vec![Command::of(["CONFIG", "GET", "requirepas*"])]);
    let results = host
        .call(&cluster.name, &[request], TIMEOUT_MS)
        .map_err(|error| Fault::from_redis("cannot ask whether there is a password", &error))?;
    let reply = results.into_iter().flatten().flatten().next();
    let text = reply.and_then(|it| it.field_text("requirepass"));
    // Unknown counts as yes: a Sentinel without its password takes everybody for dead.
    Ok(text.is_none_or(|it| !it.is_empty()))
}
