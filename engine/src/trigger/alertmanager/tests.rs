use std::sync::Arc;

use baton_core::Json;
use serde_json::json;

use super::Notification;

fn group(body: Json) -> Notification {
    Notification::parse(Arc::new(body)).unwrap()
}

fn real() -> Json {
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"RedisDown\"}", "truncatedAlerts": 0,
        "status": "firing", "receiver": "baton",
        "groupLabels": {"alertname": "RedisDown"},
        "commonLabels": {"alertname": "RedisDown", "cluster": "bondx"},
        "commonAnnotations": {}, "externalURL": "http://am:9093", "notification_reason": "new",
        "alerts": [
            {"status": "firing", "labels": {"instance": "a"}, "annotations": {},
             "startsAt": "2026-11-23T10:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
             "generatorURL": "", "fingerprint": "aa"},
            {"status": "resolved", "labels": {"instance": "b"}, "startsAt": "2026-11-23T09:00:00Z",
             "fingerprint": "bb"},
        ],
    })
}

#[test]
fn order_of_alerts_and_sender_do_not_change_the_key() {
    let (one, mut other) = (real(), real());
    other["alerts"].as_array_mut().unwrap().reverse();
    other["externalURL"] = json!("http://the-other-one:9093");
    other["alerts"][0]["endsAt"] = json!("2026-11-23T11:00:00Z");
    assert_eq!(group(one).dedup_key(), group(other).dedup_key());
}

#[test]
fn a_change_of_state_changes_the_key() {
    let key = group(real()).dedup_key();
    let change = |edit: &dyn Fn(&mut Json)| {
        let mut body = real();
        edit(&mut body);
        assert_ne!(key, group(body).dedup_key());
    };
    change(&|b| b["receiver"] = json!("other"));
    change(&|b| b["groupKey"] = json!("other"));
    change(&|b| b["alerts"][1]["status"] = json!("firing"));
    change(&|b| b["alerts"][0]["startsAt"] = json!("2026-11-23T10:00:01Z"));
    change(&|b| b["alerts"][0]["fingerprint"] = json!("cc"));
    change(&|b| drop(b["alerts"].as_array_mut().unwrap().pop()));
}

#[test]
fn without_fingerprints_labels_tell_alerts_apart() {
    let with = |labels: Json| group(json!({"alerts": [{"labels": labels}]})).dedup_key();
    assert_ne!(with(json!({"a": "1"})), with(json!({"a": "2"})));
    assert_eq!(with(json!({"a": "1", "b": "2"})), with(json!({"b": "2", "a": "1"})));
}

#[test]
fn it_is_resolved_only_if_nobody_says_firing() {
    for (body, resolved) in [
        (json!({"status": "resolved"}), true),
        (json!({"status": "resolved", "alerts": [{"status": "resolved"}, {}]}), true),
        (json!({"alerts": [{"status": "resolved"}]}), true),
        (json!({"status": "resolved", "alerts": [{"status": "firing"}]}), false),
        (json!({"status": "firing", "alerts": [{"status": "resolved"}]}), false),
        (json!({"status": "firing"}), false),
        (json!({"alerts": [{}]}), false),
        (json!({"alerts": []}), false),
        (json!({"groupKey": "g"}), false),
        (json!({"status": 7, "alerts": [null, 3]}), false),
    ] {
        assert_eq!(group(body.clone()).is_resolved(), resolved, "{body}");
    }
}

#[test]
fn what_cannot_be_from_alertmanager_is_said() {
    for body in [json!({}), json!({"labels": {}}), json!({"alerts": "none"})] {
        assert!(Notification::parse(Arc::new(body.clone())).is_err(), "{body}");
    }
}
