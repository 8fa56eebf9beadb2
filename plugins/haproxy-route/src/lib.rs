//! `haproxy-route`: clients that go through HAProxy go to one Redis node and to no other.
//!
//! It speaks to HAProxy's statistics page (`stats admin`), which is HTTP: servers that may
//! not be are put into maintenance, sessions at others than the one are ended, then it is
//! made ready, and the page is read back. What stands already is not asked for again. In
//! this order there is no moment in which two nodes take writes.
//!
//! Replicas stand by: out of maintenance, and kept down by HAProxy's own check, which lets
//! in who has become master. So clients follow a failover also while Baton is away, and
//! the node that must not come back by itself is the only one that cannot.

mod page;

use baton_plugin::http::{Method, Request, Response};
use baton_plugin::{About, Asks, Fault, Host, JsonSchema, Plugin, Table};
use page::{Server, form, servers};
use serde::{Deserialize, Serialize};

/// Longest wait for HAProxy, ms, within the endpoint's own time.
const TIMEOUT_MS: u32 = 3000;
/// Between two looks, ms.
const POLL_MS: u32 = 200;
/// Until the one is up, ms, unless the input says otherwise: a health check or three.
const WITHIN_MS: u32 = 10_000;
/// Of a refusal, for people.
const EXCERPT_CHARS_MAX: usize = 300;

/// Whither.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `[http.<name>]` of baton.toml: where the statistics page is.
    pub endpoint: String,
    /// `stats uri`, below the endpoint's address.
    #[serde(default = "path")]
    pub path: String,
    /// The backend, with a server for each Redis node.
    pub backend: String,
    /// The node, `host:port`.
    pub node: String,
    /// Nodes that HAProxy's own check may let in once they are masters: the replicas of
    /// the node. All others are closed.
    #[serde(default)]
    pub standby: Vec<String>,
    /// Until its server is up, ms; 10000 if absent.
    pub within_ms: Option<u32>,
}

fn path() -> String {
    "/haproxy".to_owned()
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `changed`, or `as it was`.
    pub verdict: String,
    /// In one sentence.
    pub reason: String,
    /// The server of the node.
    pub server: String,
    /// All servers of the backend, read back.
    pub servers: Vec<Server>,
    /// The same for people.
    pub table: Table,
}

/// The plugin.
pub struct HaproxyRoute;

impl Plugin for HaproxyRoute {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "haproxy-route",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Lets HAProxy send clients to one Redis node",
            redis_commands: &[],
            when_interrupted: "rerun",
        }
    }

    fn asks() -> Asks {
        Asks { http_methods: &["GET", "POST"] }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let before = look(&input, host)?;
        let wanted = find(&input, &before)?.name.clone();
        let names = |all: &[Server], of: &dyn Fn(&Server) -> bool| -> Vec<String> {
            all.iter().filter(|it| of(it)).map(|it| it.name.clone()).collect()
        };
        let mut orders = Orders { input: &input, given: 0 };
        let may = |it: &Server| it.name == wanted || input.standby.contains(&it.address);
        orders.give("maint", &names(&before, &|it| !may(it) && !it.is_closed()), host)?;
        // Maintenance takes no new sessions and keeps old ones.
        let now = look(&input, host)?;
        orders.give("shutdown", &names(&now, &|it| it.name != wanted && it.sessions > 0), host)?;
        // A server that leaves maintenance is up until its first check: not so a replica.
        let waiting = names(&now, &|it| it.name != wanted && may(it) && !it.is_open());
        orders.give("ready", &waiting, host)?;
        orders.give("hdown", &waiting, host)?;
        orders.give("ready", &names(&now, &|it| it.name == wanted && !it.is_open()), host)?;
        let servers = read_back(&input, &wanted, host)?;
        Ok(told(&input, wanted, servers, orders.given > 0))
    }
}

/// What HAProxy is told.
struct Orders<'a> {
    input: &'a Input,
    given: u32,
}

impl Orders<'_> {
    /// One order to all of these; none to nobody.
    fn give<H: Host>(&mut self, action: &str, to: &[String], host: &mut H) -> Result<(), Fault> {
        if to.is_empty() {
            return Ok(());
        }
        self.given += 1;
        act(self.input, action, to, host)
    }
}

fn told(input: &Input, server: String, servers: Vec<Server>, changed: bool) -> Output {
    let mut table = Table::new(["server", "address", "status", "sessions"]);
    let row = |it: &Server| {
        vec![it.name.clone(), it.address.clone(), it.status.clone(), it.sessions.to_string()]
    };
    table.rows = servers.iter().map(row).collect();
    let verdict = if changed { "changed" } else { "as it was" };
    let standing_by = servers.iter().filter(|it| it.name != server && !it.is_closed()).count();
    let reason = format!(
        "backend {} goes to {} ({server}) alone; {standing_by} stand by",
        input.backend, input.node
    );
    Output { verdict: verdict.into(), reason, server, servers, table }
}

fn find<'a>(input: &Input, all: &'a [Server]) -> Result<&'a Server, Fault> {
    if all.iter().all(|it| it.address.is_empty()) {
        let what = "HAProxy does not tell its servers' addresses: add `stats show-legends`";
        return Err(Fault::permanent("no-addresses", what));
    }
    all.iter().find(|it| it.address == input.node).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|it| it.address.as_str()).collect();
        let what = format!(
            "backend {} has no server with address {}; it has {}",
            input.backend,
            input.node,
            known.join(", ")
        );
        Fault::permanent("no-such-server", what)
    })
}

fn look<H: Host>(input: &Input, host: &mut H) -> Result<Vec<Server>, Fault> {
    let answer = ask(input, &Request::get(format!("{};csv", input.path)), host)?;
    if !answer.is_success() {
        return Err(refused(input, &answer));
    }
    let all = servers(&String::from_utf8_lossy(&answer.body), &input.backend);
    if all.is_empty() {
        let what = format!(
            "{}{} shows no server of a backend {}",
            input.endpoint, input.path, input.backend
        );
        return Err(Fault::permanent("no-such-backend", what));
    }
    Ok(all)
}

/// What HAProxy made of it stands in the address that it sends us to.
fn act<H: Host>(input: &Input, action: &str, to: &[String], host: &mut H) -> Result<(), Fault> {
    let mut pairs = vec![("action", action), ("b", input.backend.as_str())];
    pairs.extend(to.iter().map(|name| ("s", name.as_str())));
    let mut request = Request::new(Method::Post, input.path.clone())
        .header("content-type", "application/x-www-form-urlencoded");
    request.body = form(&pairs).into_bytes();
    let answer = ask(input, &request, host)?;
    let location = answer.headers.iter().find(|(name, _)| name == "location");
    let state = location.and_then(|(_, value)| value.rsplit_once("st=")).map(|(_, state)| state);
    match state {
        // NONE: it was so already.
        Some("DONE" | "NONE") => Ok(()),
        Some("DENY") => Err(Fault::permanent(
            "denied",
            "HAProxy takes no orders by its statistics page: add `stats admin if …`",
        )),
        Some(other) => Err(Fault::retryable(
            "not-done",
            format!("HAProxy answers {other} to `{action}` of {}", to.join(", ")),
        )),
        None => Err(refused(input, &answer)),
    }
}

fn ask<H: Host>(input: &Input, request: &Request, host: &mut H) -> Result<Response, Fault> {
    host.http(&input.endpoint, request, TIMEOUT_MS)
        .map_err(|error| Fault::from_call(&format!("cannot ask {}", input.endpoint), &error))
}

fn refused(input: &Input, answer: &Response) -> Fault {
    let (status, said) = (answer.status, answer.excerpt(EXCERPT_CHARS_MAX));
    let what = format!("{}{} answers {status}: {said}", input.endpoint, input.path);
    if status >= 500 {
        Fault::retryable("not-answered", what)
    } else {
        Fault::permanent("not-answered", what)
    }
}

/// Until the one is up and nobody else is, and those that stand by are out of maintenance.
fn read_back<H: Host>(input: &Input, wanted: &str, host: &mut H) -> Result<Vec<Server>, Fault> {
    let within_ms = input.within_ms.unwrap_or(WITHIN_MS);
    let until_ms = host.now_ms().saturating_add(within_ms.into());
    let is_so = |it: &Server| {
        let stands_by = input.standby.contains(&it.address);
        match it.name == wanted {
            true => it.is_up(),
            false if stands_by => it.is_open() && !it.is_up(),
            false => it.is_closed(),
        }
    };
    loop {
        let all = look(input, host)?;
        if all.iter().all(is_so) {
            return Ok(all);
        }
        if host.now_ms() >= until_ms {
            return Err(not_so(input, wanted, &all, within_ms));
        }
        host.sleep(POLL_MS);
    }
}

fn not_so(input: &Input, wanted: &str, all: &[Server], within_ms: u32) -> Fault {
    let open: Vec<&str> = all
        .iter()
        .filter(|it| it.name != wanted && input.standby.contains(&it.address) && it.is_up())
        .map(|it| it.name.as_str())
        .collect();
    if !open.is_empty() {
        let what = format!(
            "HAProxy lets clients go to replicas: {}; its check must let in masters alone (`tcp-check expect string role:master`), or let none stand by",
            open.join(", ")
        );
        return Fault::permanent("replica-open", what);
    }
    let state: Vec<String> = all.iter().map(|it| format!("{} {}", it.name, it.status)).collect();
    let state = state.join(", ");
    let what = format!("after {within_ms} ms {wanted} is not the only server that is up: {state}");
    Fault::retryable("not-up", what)
}

baton_plugin::export!(HaproxyRoute);

#[cfg(test)]
mod tests;
