//! The alert as Alertmanager 0.25 sends it.

use baton_lab::daemon::Daemon;
use baton_lab::web::{self, Answer};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::timeline::{clock, date};

/// Posts a firing alert for `instance` to the webhook, with the bearer `token`.
///
/// # Errors
/// When it is not answered 202.
pub(crate) fn post(daemon: &Daemon, token: &str, instance: &str, begun_ms: i64) -> Result<Answer> {
    let body = serde_json::to_vec(&body(instance, begun_ms))?;
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("User-Agent", "Alertmanager/0.25.0")];
    let answer = web::post(daemon.address(), "/hooks/alertmanager", &headers, &body)?;
    ensure!(answer.status == 202, "the webhook answered {}: {}", answer.status, answer.body);
    Ok(answer)
}

fn body(instance: &str, begun_ms: i64) -> Value {
    let labels = json!({
        "alertname": "RedisDown", "cluster": "bondx", "instance": instance, "severity": "critical",
    });
    let annotations = json!({
        "summary": format!("Redis {instance} of bondx does not answer"),
        "runbook_url": "https://runbooks.example/redis-down",
    });
    json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"RedisDown\", cluster=\"bondx\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "baton",
        "groupLabels": {"alertname": "RedisDown", "cluster": "bondx"},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "http://alertmanager.example:9093",
        "alerts": [{
            "status": "firing",
            "labels": labels,
            "annotations": annotations,
            "startsAt": format!("{}T{}Z", date(begun_ms), clock(begun_ms)),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example:9090/graph?g0.expr=redis_up+%3D%3D+0",
            "fingerprint": "9f0a1c53d1b6e8a7",
        }],
    })
}
