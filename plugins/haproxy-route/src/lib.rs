//! `haproxy-route`: clients that go through HAProxy go to one Redis node and to no other.
//!
//! It speaks to HAProxy's statistics page (`stats admin`), which is HTTP: the other
//! servers of the backend are put into maintenance and their sessions ended, then the one
//! is made ready, and the page is read back. What stands already is not asked for again.
//! In this order there is no moment in which two nodes take writes.

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
        let others = |all: &[Server], of: &dyn Fn(&Server) -> bool| -> Vec<String> {
            all.iter().filter(|it| it.name != wanted && of(it)).map(|it| it.name.clone()).collect()
        };
        let mut changed = false;
        let open = others(&before, &|it| !it.is_closed());
        if !open.is_empty() {
            act(&input, "maint", &open, host)?;
            changed = true;
        }
        // Maintenance takes no new sessions and keeps old ones.
        let held = others(&look(&input, host)?, &|it| it.sessions > 0);
        if !held.is_empty() {
            act(&input, "shutdown", &held, host)?;
            changed = true;
        }
        if before.iter().any(|it| it.name == wanted && !it.is_open()) {
            act(&input, "ready", std::slice::from_ref(&wanted), host)?;
            changed = true;
        }
        let servers = read_back(&input, &wanted, host)?;
        Ok(told(&input, wanted, servers, changed))
    }
}

fn told(input: &Input, server: String, servers: Vec<Server>, changed: bool) -> Output {
    let mut table = Table::new(["server", "address", "status", "sessions"]);
    let row = |it: &Server| {
        vec![it.name.clone(), it.address.clone(), it.status.clone(), it.sessions.to_string()]
    };
    table.rows = servers.iter().map(row).collect();
    let verdict = if changed { "changed" } else { "as it was" };
    let reason = format!("backend {} goes to {} ({server}) alone", input.backend, input.node);
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

/// Until the one is up and nobody else is.
fn read_back<H: Host>(input: &Input, wanted: &str, host: &mut H) -> Result<Vec<Server>, Fault> {
    let within_ms = input.within_ms.unwrap_or(WITHIN_MS);
    let until_ms = host.now_ms().saturating_add(within_ms.into());
    loop {
        let all = look(input, host)?;
        let is_so = |it: &Server| if it.name == wanted { it.is_up() } else { it.is_closed() };
        if all.iter().all(is_so) {
            return Ok(all);
        }
        if host.now_ms() >= until_ms {
            let state: Vec<String> =
                all.iter().map(|it| format!("{} {}", it.name, it.status)).collect();
            let what = format!(
                "after {within_ms} ms {wanted} is not the only server that is up: {}",
                state.join(", ")
            );
            return Err(Fault::retryable("not-up", what));
        }
        host.sleep(POLL_MS);
    }
}

baton_plugin::export!(HaproxyRoute);

#[cfg(test)]
mod tests;
