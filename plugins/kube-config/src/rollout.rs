//! How far a Deployment is, by the same rules as `kubectl rollout status`. Pure.

use serde_json::Value as Json;

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rollout {
    /// All pods are new and available.
    Done(String),
    /// Not yet.
    Going(String),
    /// Its controller has given up.
    Stuck(String),
}

/// Reads a Deployment.
pub(crate) fn rollout(deployment: &Json) -> Rollout {
    let number = |value: &Json| value.as_i64().unwrap_or(0);
    let status = &deployment["status"];
    let observed = number(&status["observedGeneration"]);
    if observed < number(&deployment["metadata"]["generation"]) {
        return Rollout::Going("its controller has not seen the change yet".to_owned());
    }
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let given_up = conditions.iter().find(|it| it["reason"] == "ProgressDeadlineExceeded");
    if let Some(condition) = given_up {
        return Rollout::Stuck(condition["message"].as_str().unwrap_or("no message").to_owned());
    }
    // Absent it is one (apps/v1).
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
    let [all, updated, available] =
        ["replicas", "updatedReplicas", "availableReplicas"].map(|name| number(&status[name]));
    if updated >= wanted && all <= updated && available >= updated {
        return Rollout::Done(format!("{available} of {wanted} pods are new and available"));
    }
    Rollout::Going(format!(
        "{updated} of {wanted} pods are new, {available} available, {all} in all"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_plugin::json;

    fn of(status: &Json) -> Rollout {
        let spec = json!({ "replicas": 2 });
        rollout(&json!({ "metadata": { "generation": 3 }, "spec": spec, "status": status }))
    }

    #[test]
    fn it_is_done_when_all_pods_are_new_available_and_alone() {
        let whole = json!({ "observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
        assert_eq!(of(&whole), Rollout::Done("2 of 2 pods are new and available".into()));
        for (name, value) in [
            ("observedGeneration", 2),
            ("replicas", 3),
            ("updatedReplicas", 1),
            ("availableReplicas", 1),
        ] {
            let mut status = whole.clone();
            status[name] = json!(value);
            assert!(matches!(of(&status), Rollout::Going(_)), "{name}");
        }
    }

    #[test]
    fn a_controller_that_has_given_up_is_believed() {
        let condition = json!({ "reason": "ProgressDeadlineExceeded", "message": "image is gone" });
        let status = json!({ "observedGeneration": 3, "conditions": [condition] });
        assert_eq!(of(&status), Rollout::Stuck("image is gone".into()));
    }
}
