//! Alertmanager's webhook body, version "4", read with care: everything is
//! optional, what is unknown is ignored, what is wrong is said.

use std::sync::Arc;

use baton_core::Json;
use baton_core::expression::Scope;
use baton_core::id::Digest;
use serde_json::json;

/// One notification of an alert group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Notification {
    status: &'static str,
    receiver: String,
    group_key: String,
    group_labels: Json,
    labels: Json,
    alerts: Vec<Json>,
    body: Arc<Json>,
}

const FIRING: &str = "firing";
const RESOLVED: &str = "resolved";

impl Notification {
    /// # Errors
    /// If it cannot be from Alertmanager.
    pub(super) fn parse(body: Arc<Json>) -> Result<Self, String> {
        if ["alerts", "status", "groupKey"].iter().all(|key| body.get(key).is_none()) {
            return Err("neither `alerts` nor `status` nor `groupKey`: this is no Alertmanager notification; write `format = \"json\"` in the trigger if it is not meant to be one".to_owned());
        }
        let alerts = match body.get("alerts") {
            None | Some(Json::Null) => Vec::new(),
            Some(Json::Array(alerts)) => alerts.clone(),
            Some(_) => return Err("`alerts` is not a list".to_owned()),
        };
        let notification = Self {
            status: status_of(body.get("status"), &alerts),
            receiver: text(&body, "receiver"),
            group_key: text(&body, "groupKey"),
            group_labels: object(&body, "groupLabels"),
            labels: object(&body, "commonLabels"),
            alerts,
            body,
        };
        Ok(notification)
    }

    /// Whether it only says that something is over.
    pub(super) fn is_resolved(&self) -> bool {
        self.status == RESOLVED
    }

    /// What `when`, `params` and `dedup_key` see.
    pub(super) fn scope(&self) -> Scope {
        Scope::new()
            .with("body", &self.body)
            .with("alerts", &Json::Array(self.alerts.clone()))
            .with("labels", &self.labels)
            .with("status", &json!(self.status))
            .with("receiver", &json!(self.receiver))
            .with("group_labels", &self.group_labels)
    }

    /// Equal for the same state of the same group, whichever of a highly available
    /// pair sends it and in whatever order it lists the alerts.
    pub(super) fn dedup_key(&self) -> String {
        let mut alerts: Vec<Json> = self
            .alerts
            .iter()
            .map(|alert| {
                // Without a fingerprint the labels tell alerts apart, as in Alertmanager itself.
                let known = |key| alert.get(key).filter(|value: &&Json| !value.is_null());
                let fingerprint = known("fingerprint").or_else(|| known("labels")).unwrap_or(alert);
                json!([sorted(fingerprint), alert.get("status"), alert.get("startsAt")])
            })
            .collect();
        alerts.sort_by_cached_key(Json::to_string);
        // A JSON list, since a plain concatenation would let two groups collide.
        let identity = json!([self.receiver, self.group_key, alerts]);
        Digest::of(identity.to_string().as_bytes()).to_string()
    }
}

/// `firing` if the group or any alert says so, or if nobody says anything: in doubt
/// it is an incident. The group's word stands beside the alerts' because a firing
/// one may be among the truncated.
fn status_of(group: Option<&Json>, alerts: &[Json]) -> &'static str {
    let resolved = |status: Option<&Json>| status.and_then(Json::as_str) == Some(RESOLVED);
    let inherited = |alert: &Json| match alert.get("status") {
        None | Some(Json::Null) => resolved(group),
        status => resolved(status),
    };
    let group_resolved = resolved(group) || (group.is_none() && !alerts.is_empty());
    if group_resolved && alerts.iter().all(inherited) { RESOLVED } else { FIRING }
}

fn text(body: &Json, key: &str) -> String {
    body.get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn object(body: &Json, key: &str) -> Json {
    body.get(key).filter(|value| value.is_object()).cloned().unwrap_or_else(|| json!({}))
}

/// The same labels in another order are the same labels.
fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| key.as_str());
            json!(members)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            value.clone()
        }
    }
}

#[cfg(test)]
mod tests;
