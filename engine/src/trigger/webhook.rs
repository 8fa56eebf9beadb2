//! `POST /hooks/<path>`: what a delivery means, in a fixed order.
//!
//! Size cap (by the reader of the body) -> authentication over the raw bytes ->
//! timestamp and delivery id, where signed -> parse -> match -> a wish to begin a
//! run. Nobody learns anything of a hook's rules before proving who it is, and
//! nothing is parsed for strangers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use baton_core::expression::{ExpressionError, Scope};
use baton_core::id::Digest;
use baton_core::run::event::{Dedup, Trigger, TriggerKind};
use baton_core::workflow::plan::{self, Plan, Webhook, WebhookAuth, WebhookFormat};
use baton_core::{Json, Millis};

use super::alertmanager::Notification;
use super::signature::{Keys, SigningKey};
use crate::config::Secrets;
use crate::runner::Begin;

pub use super::signature::{Headers, Unauthenticated, bears};

/// Largest body of a delivery: a full Alertmanager group is some tens of KiB, and
/// a body becomes part of one journal record.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// A longer dedup key is kept as its digest.
const DEDUP_CHARS_MAX: usize = 200;

/// Every webhook of every loaded workflow, by path.
#[derive(Debug, Default)]
pub struct Hooks {
    served: BTreeMap<String, Hook>,
    /// Why nobody can be let in at this path.
    refused: BTreeMap<String, String>,
}

/// One webhook, its secrets at hand.
#[derive(Debug)]
pub struct Hook {
    workflow: String,
    rules: Webhook,
    keys: Keys,
}

/// What arrived.
pub struct Delivery<'h> {
    /// Its headers.
    pub headers: Headers<'h>,
    /// Its body, verbatim.
    pub body: &'h [u8],
    /// When, Unix ms.
    pub now: Millis,
}

/// What is to be done about a delivery.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Begin a run.
    Begin(Begin),
    /// Nothing, for this reason.
    Ignored(String),
}

/// Why a delivery is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its sender is not known.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// It is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// It is JSON, but not what this hook reads.
    #[error("the body does not fit: {0}")]
    Unfit(String),
    /// The workflow's own expression failed on it: not the sender's fault.
    #[error("`{place}` of the trigger failed: {error}")]
    Expression {
        /// `when`, `params` or `dedup_key`.
        place: &'static str,
        /// Why.
        error: ExpressionError,
    },
}

impl Hooks {
    /// Gathers the webhooks of `plans` and fetches their secrets. Not served are: two
    /// hooks with one path, one whose secret cannot be had, and one that asks nobody
    /// while `bind` lets other machines in.
    pub fn new(plans: &BTreeMap<String, Arc<Plan>>, secrets: &Secrets, bind: SocketAddr) -> Self {
        let webhooks = plans.iter().flat_map(|(name, plan)| {
            plan.triggers().iter().filter_map(move |trigger| match trigger {
                plan::Trigger::Webhook(webhook) => Some((name.as_str(), webhook)),
                plan::Trigger::Watch(_) | plan::Trigger::Schedule(_) => None,
            })
        });
        Self::gather(webhooks, secrets, bind)
    }

    pub(crate) fn gather<'p>(
        webhooks: impl IntoIterator<Item = (&'p str, &'p Webhook)>,
        secrets: &Secrets,
        bind: SocketAddr,
    ) -> Self {
        let mut hooks = Self::default();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for (workflow, rules) in webhooks {
            let path = &rules.path;
            // Whose incident a delivery is cannot be guessed: neither gets it.
            if let Some(other) = owners.insert(path, workflow) {
                hooks.served.remove(path);
                let why = format!(
                    "workflow `{workflow}`: the webhook path `{path}` is taken by workflow `{other}`; give one of them another path"
                );
                hooks.refused.insert(path.clone(), why);
                continue;
            }
            match keys(&rules.auth, secrets, bind) {
                Ok(keys) => {
                    let hook = Hook { workflow: workflow.to_owned(), rules: rules.clone(), keys };
                    hooks.served.insert(path.clone(), hook);
                }
                Err(found) => {
                    let problems = found.join("; ");
                    let why = format!("workflow `{workflow}`, webhook `{path}`: {problems}");
                    hooks.refused.insert(path.clone(), why);
                }
            }
        }
        hooks
    }

    /// The hook at `path`.
    pub fn get(&self, path: &str) -> Option<&Hook> {
        self.served.get(path)
    }

    /// Paths at which nobody can be let in, and why.
    pub fn refused(&self) -> &BTreeMap<String, String> {
        &self.refused
    }

    /// All paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.served.keys().chain(self.refused.keys()).map(String::as_str)
    }
}

fn keys(auth: &WebhookAuth, secrets: &Secrets, bind: SocketAddr) -> Result<Keys, Vec<String>> {
    let fetch = |name: &String| secrets.get(name).map_err(|error| error.to_string());
    match auth {
        WebhookAuth::Bearer(names) => all(names.iter().map(fetch)).map(Keys::Bearer),
        WebhookAuth::StandardWebhooks(names) => all(names.iter().map(|name| {
            SigningKey::parse(&fetch(name)?).map_err(|problem| format!("secret `{name}` {problem}"))
        }))
        .map(Keys::StandardWebhooks),
        WebhookAuth::None if bind.ip().is_loopback() => Ok(Keys::Nobody),
        WebhookAuth::None => Err(vec![format!(
            "`auth = \"none\"` would let anybody who reaches {bind} start runs; write `auth = {{ bearer = [\"hook-token\"] }}`, or bind to 127.0.0.1"
        )]),
    }
}

fn all<T>(results: impl Iterator<Item = Result<T, String>>) -> Result<Vec<T>, Vec<String>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => good.push(value),
            Err(problem) => bad.push(problem),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

impl Hook {
    /// The workflow that it starts.
    pub fn workflow(&self) -> &str {
        &self.workflow
    }

    /// Whether anybody may call it.
    pub fn is_open(&self) -> bool {
        matches!(self.keys, Keys::Nobody)
    }

    /// Decides about a delivery. Pure.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn judge(&self, delivery: &Delivery<'_>) -> Result<Verdict, Refusal> {
        let id = self.keys.admit(delivery.headers, delivery.body, delivery.now)?;
        let body = Arc::new(parse(delivery.body)?);
        match self.rules.format {
            WebhookFormat::Alertmanager => {
                let notification =
                    Notification::parse(Arc::clone(&body)).map_err(Refusal::Unfit)?;
                if notification.is_resolved() {
                    return Ok(Verdict::Ignored("every alert of the group is resolved".to_owned()));
                }
                self.matched(&notification.scope(), body, |_| Ok(Some(notification.dedup_key())))
            }
            WebhookFormat::Json => {
                let scope = Scope::new().with("body", &body);
                self.matched(&scope, body, |scope| match self.rendered_key(scope)? {
                    Some(key) => Ok(Some(key)),
                    None => Ok(id.map(str::to_owned)),
                })
            }
        }
    }

    fn matched(
        &self,
        scope: &Scope,
        body: Arc<Json>,
        key: impl FnOnce(&Scope) -> Result<Option<String>, Refusal>,
    ) -> Result<Verdict, Refusal> {
        let failed = |place| move |error| Refusal::Expression { place, error };
        if let Some(when) = &self.rules.when
            && !when.holds(scope).map_err(failed("when"))?
        {
            return Ok(Verdict::Ignored(format!("`{}` does not hold", when.source())));
        }
        let mut params = self.rules.params.render(scope).map_err(failed("params"))?;
        if params.is_null() {
            params = Json::Object(serde_json::Map::new());
        }
        let dedup = key(scope)?.map(|key| self.dedup(&key));
        let source = self.rules.path.clone();
        let trigger = Trigger { kind: TriggerKind::Webhook, source, dedup, evidence: body };
        Ok(Verdict::Begin(Begin { workflow: self.workflow.clone(), params, trigger }))
    }

    fn rendered_key(&self, scope: &Scope) -> Result<Option<String>, Refusal> {
        let Some(template) = &self.rules.dedup_key else {
            return Ok(None);
        };
        let place = "dedup_key";
        let value = template.render(scope).map_err(|error| Refusal::Expression { place, error })?;
        let key = match value.as_str() {
            Some(text) => text.to_owned(),
            None if value.is_null() => String::new(),
            None => value.to_string(),
        };
        if key.is_empty() {
            // Otherwise every delivery without one would pass for the same incident.
            return Err(Refusal::Unfit("what `dedup_key` names is empty or null".to_owned()));
        }
        Ok(Some(key))
    }

    /// The path keeps two hooks with the same key apart.
    fn dedup(&self, key: &str) -> Dedup {
        let key = if key.len() > DEDUP_CHARS_MAX {
            Digest::of(key.as_bytes()).to_string()
        } else {
            key.to_owned()
        };
        Dedup { key: format!("{}:{key}", self.rules.path), for_ms: self.rules.dedup_for_ms }
    }
}

/// `serde_json` stops at 128 levels by itself, so that depth cannot end the process.
fn parse(bytes: &[u8]) -> Result<Json, Refusal> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Refusal::NotJson(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let value: Json =
        serde_json::from_str(text).map_err(|error| Refusal::NotJson(error.to_string()))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Refusal::Unfit("it must be a JSON object (`{…}`)".to_owned()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
