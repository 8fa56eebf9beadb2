//! `trading-gate-http`: sets and clears trading flags of a service by what checks found.
//!
//! The service keeps one document, `{"halted": {"<instrument>": "<reason>"}}`, `*` for the
//! whole market. It is read, changed and written whole, under the `ETag` that it came with
//! where it has one, and read back: run it as often as you like. What others have set it
//! leaves alone, and so all else that is in the document.

use baton_books::gate::{Checked, Outcome, outcome, steps, wanted};
use baton_plugin::http::{Method, Request, Response};
use baton_plugin::{About, Asks, Fault, Host, JsonSchema, Plugin, json};
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};

/// Longest wait for an answer, ms, within the endpoint's own time.
const TIMEOUT_MS: u32 = 5000;
/// How often it looks whether all is as it should be.
const TRIES_MAX: u32 = 3;
/// Of a refusal, for people.
const EXCERPT_CHARS_MAX: usize = 300;

/// What was found, and where the flags are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `[http.<name>]` of baton.toml.
    pub endpoint: String,
    /// The document, below the endpoint's address.
    #[serde(default = "path")]
    pub path: String,
    /// Outputs of checks by name, whole or as much of them as matters; null: the check was
    /// not made to its end, and nothing is cleared.
    pub checks: BTreeMap<String, Option<Checked>>,
}

fn path() -> String {
    "/trading/halted".to_owned()
}

/// The document as it was read.
struct Document {
    whole: Json,
    flags: BTreeMap<String, String>,
    etag: Option<String>,
}

/// The plugin.
pub struct TradingGateHttp;

impl Plugin for TradingGateHttp {
    type Input = Input;
    type Output = Outcome;

    fn about() -> About {
        About {
            name: "trading-gate-http",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Sets and clears trading flags of a service by what checks found",
            redis_commands: &[],
            when_interrupted: "rerun",
        }
    }

    fn asks() -> Asks {
        Asks { http_methods: &["GET", "PUT"] }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Outcome, Fault> {
        let wanted = wanted(&input.checks);
        let (mut set, mut cleared) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..=TRIES_MAX {
            let mut now = read(&input, host)?;
            let steps = steps(&wanted, &now.flags);
            if steps.is_empty() {
                return Ok(outcome(&wanted, set, cleared, now.flags));
            }
            for flag in &steps.clear {
                now.flags.remove(flag);
            }
            now.flags.extend(steps.set.clone());
            if write(&input, now, host)? {
                set.extend(steps.set.into_keys());
                cleared.extend(steps.clear);
            }
        }
        let why = format!(
            "{}{} is not as it was written {TRIES_MAX} times: somebody else writes there",
            input.endpoint, input.path
        );
        Err(Fault::retryable("not-so", why))
    }
}

fn read<H: Host>(input: &Input, host: &mut H) -> Result<Document, Fault> {
    let answer = send(input, &Request::get(&input.path), host)?;
    if answer.status == 404 {
        return Ok(Document { whole: json!({}), flags: BTreeMap::new(), etag: None });
    }
    if !answer.is_success() {
        return Err(refused(input, &answer));
    }
    let odd = |why: &str| {
        let what = format!("{}{} gives {why}", input.endpoint, input.path);
        Fault::permanent("bad-document", what)
    };
    let whole = answer.json().map_err(|error| odd(&format!("no JSON: {error}")))?;
    if !whole.is_object() {
        return Err(odd("no JSON object"));
    }
    let flags = match whole.get("halted") {
        None | Some(Json::Null) => BTreeMap::new(),
        Some(flags) => serde_json::from_value(flags.clone())
            .map_err(|_| odd("a field `halted` that is no table of texts"))?,
    };
    let etag = answer.headers.into_iter().find(|(name, _)| name == "etag").map(|it| it.1);
    Ok(Document { whole, flags, etag })
}

/// Whether it was taken; not where somebody else was faster.
fn write<H: Host>(input: &Input, mut now: Document, host: &mut H) -> Result<bool, Fault> {
    now.whole["halted"] = json!(now.flags);
    let mut request =
        Request { method: Method::Put, ..Request::post_json(&input.path, &now.whole) };
    if let Some(etag) = &now.etag {
        request = request.header("if-match", etag);
    }
    let answer = send(input, &request, host)?;
    match answer.status {
        200..=299 => Ok(true),
        412 => Ok(false),
        _ => Err(refused(input, &answer)),
    }
}

fn send<H: Host>(input: &Input, request: &Request, host: &mut H) -> Result<Response, Fault> {
    host.http(&input.endpoint, request, TIMEOUT_MS)
        .map_err(|error| Fault::from_call(&format!("cannot ask {}", input.endpoint), &error))
}

fn refused(input: &Input, answer: &Response) -> Fault {
    let (status, said) = (answer.status, answer.excerpt(EXCERPT_CHARS_MAX));
    let what = format!("{}{} answers {status}: {said}", input.endpoint, input.path);
    if status >= 500 || status == 429 {
        Fault::retryable("not-taken", what)
    } else {
        Fault::permanent("not-taken", what)
    }
}

baton_plugin::export!(TradingGateHttp);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::testing::FakeCluster;

    const FAIL: &str = r#"{"orderbook": {"verdict": "fail", "halted": 1, "halt": [
        {"instrument": "XS1", "reasons": [{"invariant": "sum", "key": "book:XS1:meta"}]}]}}"#;
    const REASON: &str = "baton: orderbook: sum at book:XS1:meta";

    fn input(checks: &str) -> Input {
        serde_json::from_str(&format!(r#"{{"endpoint": "oms", "checks": {checks}}}"#)).unwrap()
    }

    fn answer(status: u16, body: &Json) -> Response {
        let headers = vec![("etag".to_owned(), "\"7\"".to_owned())];
        Response { status, headers, body: body.to_string().into_bytes() }
    }

    fn host(gets: &[Json], puts: &[u16]) -> FakeCluster {
        let gets = gets.iter().map(|it| Ok(answer(200, it))).collect();
        let puts = puts.iter().map(|it| Ok(answer(*it, &Json::Null))).collect();
        FakeCluster::doors_only().on_http("oms", "GET /trading/halted", gets).on_http(
            "oms",
            "PUT /trading/halted",
            puts,
        )
    }

    #[test]
    fn a_flag_is_set_and_read_back() {
        let before = json!({"halted": {"XS9": "by hand"}, "other": 1});
        let after = json!({"halted": {"XS9": "by hand", "XS1": REASON}, "other": 1});
        let mut service = host(&[before, after.clone()], &[204]);
        let outcome = TradingGateHttp::run(input(FAIL), &mut service).unwrap();
        assert_eq!((outcome.verdict.as_str(), outcome.set), ("changed", vec!["XS1".to_owned()]));
        assert_eq!(service.count_sent("PUT"), 1);
        let outcome = TradingGateHttp::run(input(FAIL), &mut host(&[after], &[500]));
        assert_eq!(outcome.unwrap().verdict, "as it was");
    }

    #[test]
    fn somebody_who_was_faster_is_heeded() {
        let (empty, after) = (json!({}), json!({"halted": {"XS1": REASON}}));
        let mut host = host(&[empty.clone(), empty, after], &[412, 200]);
        let outcome = TradingGateHttp::run(input(FAIL), &mut host).unwrap();
        assert_eq!((outcome.verdict.as_str(), host.count_sent("PUT")), ("changed", 2));
    }

    #[test]
    fn what_is_over_is_cleared_and_what_others_set_stays() {
        let before = json!({"halted": {"XS1": REASON, "XS9": "by hand"}});
        let after = json!({"halted": {"XS9": "by hand"}});
        let mut host = host(&[before, after], &[200]);
        let pass = input(r#"{"orderbook": {"verdict": "pass"}}"#);
        let outcome = TradingGateHttp::run(pass, &mut host).unwrap();
        assert_eq!(outcome.cleared, ["XS1"]);
        assert_eq!(outcome.halted.len(), 1);
    }

    #[test]
    fn a_document_that_cannot_be_kept_is_not_overwritten() {
        for odd in [json!([]), json!({"halted": ["XS1"]})] {
            let mut host = host(&[odd], &[200]);
            let fault = TradingGateHttp::run(input(FAIL), &mut host).unwrap_err();
            assert_eq!((fault.code, host.count_sent("PUT")), ("bad-document", 0));
        }
    }

    #[test]
    fn a_service_that_never_keeps_it_is_named() {
        let mut host = host(&[json!({})], &[200]);
        let fault = TradingGateHttp::run(input(FAIL), &mut host).unwrap_err();
        assert_eq!((fault.code, fault.kind), ("not-so", baton_plugin::FaultKind::Retryable));
    }
}
