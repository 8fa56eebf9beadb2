//! `kube-config`: values in a ConfigMap, and what reads them at its start is restarted.
//!
//! By the API of Kubernetes (merge patches, RFC 7386). A patch carries the version that
//! was read, so that somebody else's change in between is seen (409) and looked at again.
//! A Deployment is restarted by an annotation of its pods that names the values: where it
//! is there already nothing is restarted. Everything is read back.

mod rollout;

use baton_plugin::http::{Method, Request, Response};
use baton_plugin::{About, Asks, Fault, Host, JsonSchema, Plugin, Table, json};
use rollout::{Rollout, rollout};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Longest wait for the API, ms, within the endpoint's own time.
const TIMEOUT_MS: u32 = 10_000;
/// Between two looks at a rollout, ms.
const POLL_MS: u32 = 500;
/// Until the pods of all Deployments are new, ms, unless the input says otherwise.
const WITHIN_MS: u32 = 120_000;
/// Tries where somebody else changes the same at the same time.
const CONFLICTS_MAX: u32 = 5;
/// What the pods are marked with.
const ANNOTATION: &str = "baton.dev/config";
/// Of a refusal, for people.
const EXCERPT_CHARS_MAX: usize = 300;

/// What shall be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `[http.<name>]` of baton.toml: the API server.
    pub endpoint: String,
    /// The namespace.
    pub namespace: String,
    /// The ConfigMap; it must exist.
    pub config_map: String,
    /// Keys and the values that they shall have; other keys are left alone.
    pub data: BTreeMap<String, String>,
    /// Deployments that read it at their start.
    #[serde(default)]
    pub restart: Vec<String>,
    /// Until their pods are new, ms; 120000 if absent.
    pub within_ms: Option<u32>,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `changed`, or `as it was`.
    pub verdict: String,
    /// In one sentence.
    pub reason: String,
    /// Keys that were changed.
    pub changed: Vec<String>,
    /// Deployments that were restarted now.
    pub restarted: Vec<String>,
    /// The ConfigMap's version, read back.
    pub resource_version: String,
    /// What the pods are marked with.
    pub mark: String,
    /// The same for people.
    pub table: Table,
}

/// The plugin.
pub struct KubeConfig;

impl Plugin for KubeConfig {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "kube-config",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Writes values into a ConfigMap and restarts what reads them",
            redis_commands: &[],
            when_interrupted: "rerun",
        }
    }

    fn asks() -> Asks {
        Asks { http_methods: &["GET", "PATCH"] }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let names = [&input.namespace, &input.config_map].into_iter().chain(&input.restart);
        if let Some(name) = names.into_iter().find(|it| !is_name(it)) {
            let what = format!("{name:?} is no name of Kubernetes: a-z, 0-9, `-` and `.`");
            return Err(Fault::permanent("bad-name", what));
        }
        let path =
            format!("/api/v1/namespaces/{}/configmaps/{}", input.namespace, input.config_map);
        let mut api = Api { endpoint: &input.endpoint, host };
        let changed = api.write(&path, &input.data)?;
        let after = api.get(&path)?;
        if let Some(key) = differing(&after, &input.data).first() {
            let what = format!("{key} of {path} was changed again meanwhile");
            return Err(Fault::retryable("changed-again", what));
        }
        let mark = mark(&input.data);
        let mut restarted = Vec::new();
        for name in &input.restart {
            if api.restart(&deployment(&input, name), &mark)? {
                restarted.push(name.clone());
            }
        }
        let within_ms = input.within_ms.unwrap_or(WITHIN_MS);
        let until_ms = api.host.now_ms().saturating_add(within_ms.into());
        let mut table = Table::new(["what", "now"]);
        table.rows.extend(input.data.iter().map(|(key, value)| vec![key.clone(), value.clone()]));
        for name in &input.restart {
            let said = api.until_new(&deployment(&input, name), within_ms, until_ms)?;
            table.rows.push(vec![format!("Deployment {name}"), said]);
        }
        let is_new = !(changed.is_empty() && restarted.is_empty());
        Ok(Output {
            verdict: if is_new { "changed" } else { "as it was" }.into(),
            reason: format!(
                "ConfigMap {}/{} has the values; restarted: {}",
                input.namespace,
                input.config_map,
                if restarted.is_empty() { "none".to_owned() } else { restarted.join(", ") }
            ),
            changed,
            restarted,
            resource_version: text(&after["metadata"]["resourceVersion"]),
            mark,
            table,
        })
    }
}

fn deployment(input: &Input, name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{}/deployments/{name}", input.namespace)
}

/// Names of Kubernetes (RFC 1123) need no encoding; anything else would be another path.
fn is_name(name: &str) -> bool {
    let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-.".contains(&it);
    (1..=253).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Keys whose value is another one.
fn differing(config_map: &Json, data: &BTreeMap<String, String>) -> Vec<String> {
    let is_other = |(key, value): &(&String, &String)| {
        config_map["data"][key.as_str()].as_str() != Some(value.as_str())
    };
    data.iter().filter(is_other).map(|(key, _)| key.clone()).collect()
}

/// Names the values: the same for the same ones (FNV-1a).
fn mark(data: &BTreeMap<String, String>) -> String {
    let bytes =
        data.iter().flat_map(|(key, value)| [key.as_bytes(), b"\0", value.as_bytes(), b"\0"]);
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.flatten().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The API server.
struct Api<'a, H> {
    endpoint: &'a str,
    host: &'a mut H,
}

impl<H: Host> Api<'_, H> {
    fn ask(&mut self, request: &Request) -> Result<Response, Fault> {
        self.host
            .http(self.endpoint, request, TIMEOUT_MS)
            .map_err(|error| Fault::from_call(&format!("cannot ask {}", self.endpoint), &error))
    }

    fn get(&mut self, path: &str) -> Result<Json, Fault> {
        let answer = self.ask(&Request::get(path))?;
        document(path, &answer)
    }

    /// `None`: somebody else was first.
    fn patch(&mut self, path: &str, change: &Json) -> Result<Option<Json>, Fault> {
        let mut request = Request::new(Method::Patch, path)
            .header("content-type", "application/merge-patch+json");
        request.body = change.to_string().into_bytes();
        let answer = self.ask(&request)?;
        if answer.status == 409 {
            return Ok(None);
        }
        document(path, &answer).map(Some)
    }

    /// Changes what `wanted` makes of what is there, until nobody else is first; `None`
    /// from it: there is nothing to change.
    fn change<T>(
        &mut self,
        path: &str,
        wanted: impl Fn(&Json) -> Option<(Json, T)>,
    ) -> Result<Option<T>, Fault> {
        for _ in 0..CONFLICTS_MAX {
            let now = self.get(path)?;
            let Some((mut change, told)) = wanted(&now) else { return Ok(None) };
            let version = json!({ "resourceVersion": now["metadata"]["resourceVersion"] });
            change["metadata"] = version;
            if self.patch(path, &change)?.is_some() {
                return Ok(Some(told));
            }
        }
        let what = format!("{path} is changed by somebody else all the time");
        Err(Fault::retryable("conflict", what))
    }

    /// Gives the keys that were changed.
    fn write(&mut self, path: &str, data: &BTreeMap<String, String>) -> Result<Vec<String>, Fault> {
        let wanted = |now: &Json| {
            let keys = differing(now, data);
            let change = || {
                let values: BTreeMap<&String, &String> =
                    keys.iter().map(|key| (key, &data[key])).collect();
                json!({ "data": values })
            };
            (!keys.is_empty()).then(|| (change(), keys.clone()))
        };
        Ok(self.change(path, wanted)?.unwrap_or_default())
    }

    /// Whether it was restarted now.
    fn restart(&mut self, path: &str, mark: &str) -> Result<bool, Fault> {
        let wanted = |now: &Json| {
            let annotations = &now["spec"]["template"]["metadata"]["annotations"];
            let change = json!({
                "spec": { "template": { "metadata": { "annotations": { ANNOTATION: mark } } } }
            });
            (annotations[ANNOTATION].as_str() != Some(mark)).then_some((change, ()))
        };
        Ok(self.change(path, wanted)?.is_some())
    }

    /// Until all pods of a Deployment are new; gives what it says then.
    fn until_new(&mut self, path: &str, within_ms: u32, until_ms: u64) -> Result<String, Fault> {
        loop {
            match rollout(&self.get(path)?) {
                Rollout::Done(said) => return Ok(said),
                Rollout::Stuck(why) => {
                    let what = format!("the rollout of {path} is stuck: {why}");
                    return Err(Fault::permanent("rollout-stuck", what));
                }
                Rollout::Going(said) if self.host.now_ms() >= until_ms => {
                    let what = format!("{path} is not rolled out after {within_ms} ms: {said}");
                    return Err(Fault::retryable("rollout-slow", what));
                }
                Rollout::Going(said) => self.host.report(0, None, &said),
            }
            self.host.sleep(POLL_MS);
        }
    }
}

fn document(path: &str, answer: &Response) -> Result<Json, Fault> {
    if answer.is_success() {
        return answer.json().map_err(|error| {
            Fault::retryable("not-json", format!("{path}: the answer is no JSON: {error}"))
        });
    }
    let status = answer.status;
    let said = answer.json().ok().map(|it| text(&it["message"])).filter(|it| !it.is_empty());
    let said = said.unwrap_or_else(|| answer.excerpt(EXCERPT_CHARS_MAX));
    let what = format!("{path} answers {status}: {said}");
    Err(match status {
        401 | 403 => Fault::permanent("not-allowed", format!("{what}; look at the token's role")),
        404 => Fault::permanent("not-there", what),
        429 | 500.. => Fault::retryable("not-answered", what),
        _ => Fault::permanent("refused", what),
    })
}

baton_plugin::export!(KubeConfig);

#[cfg(test)]
mod tests;
