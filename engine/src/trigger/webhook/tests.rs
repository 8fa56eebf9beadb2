use std::collections::BTreeMap;
use std::net::SocketAddr;

use baton_core::Json;
use baton_core::expression::{Condition, Template};
use baton_core::run::event::TriggerKind;
use baton_core::workflow::plan::{Webhook, WebhookAuth, WebhookFormat};
use baton_core::workflow::{self, Library};
use proptest::prelude::*;
use serde_json::json;

use super::{Delivery, Hooks, Refusal, Verdict};
use crate::config::{Config, Secrets};
use crate::trigger::signature::SigningKey;

pub(crate) const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const BEARER: &str = "open-sesame";
const NOW: u64 = 1_614_265_330_000;

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:7077".parse().unwrap()
}

pub(crate) fn webhook(path: &str, format: WebhookFormat, auth: WebhookAuth) -> Webhook {
    Webhook {
        path: path.to_owned(),
        format,
        auth,
        when: None,
        params: Template::parse(json!({})).unwrap(),
        dedup_for_ms: 600_000,
        dedup_key: None,
    }
}

/// Secrets `token` and `signing`, in files of a folder that lives as long as the value.
pub(crate) fn secrets() -> (tempfile::TempDir, Secrets) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), BEARER).unwrap();
    std::fs::write(folder.path().join("signing"), SIGNING_SECRET).unwrap();
    let text = "[secrets]\ntoken = { file = \"token\" }\nsigning = { file = \"signing\" }\n\
                short = { file = \"token\" }\ngone = { file = \"gone\" }";
    let file = folder.path().join("baton.toml");
    let config = Config::parse(text, Some(&file), &|_| None).unwrap();
    (folder, config.secrets)
}

/// The `webhook-signature` of a delivery signed with [`SIGNING_SECRET`].
pub(crate) fn signature(id: &str, timestamp: &str, body: &[u8]) -> String {
    let secret = baton_host::capability::redis::Secret::new(SIGNING_SECRET);
    SigningKey::parse(&secret).unwrap().header(id, timestamp, body)
}

fn judge(webhook: &Webhook, headers: &[(&str, &str)], body: &[u8]) -> Result<Verdict, Refusal> {
    let (_folder, secrets) = secrets();
    let path = webhook.path.clone();
    let hooks = Hooks::gather([("failover", webhook)], &secrets, loopback());
    let find = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    hooks.get(&path).unwrap().judge(&Delivery { headers: &find, body, now: NOW })
}

fn judge_open(webhook: &Webhook, body: &Json) -> Result<Verdict, Refusal> {
    judge(webhook, &[], body.to_string().as_bytes())
}

fn begun(verdict: Result<Verdict, Refusal>) -> crate::runner::Begin {
    match verdict.unwrap() {
        Verdict::Begin(begin) => begin,
        Verdict::Ignored(reason) => panic!("ignored: {reason}"),
    }
}

fn firing() -> Json {
    json!({"status": "firing", "receiver": "r", "groupKey": "g",
           "commonLabels": {"cluster": "bondx"}, "alerts": [{"status": "firing", "fingerprint": "f"}]})
}

#[test]
fn an_alert_becomes_a_wish_with_params_key_and_evidence() {
    let mut hook = webhook("am", WebhookFormat::Alertmanager, WebhookAuth::None);
    hook.when = Some(Condition::parse("status == 'firing' and receiver == 'r'").unwrap());
    hook.params = Template::parse(json!({"cluster": "${labels.cluster}"})).unwrap();
    let begin = begun(judge_open(&hook, &firing()));
    assert_eq!(begin.workflow, "failover");
    assert_eq!(begin.params, json!({"cluster": "bondx"}));
    assert_eq!((begin.trigger.kind, begin.trigger.source.as_str()), (TriggerKind::Webhook, "am"));
    assert_eq!(*begin.trigger.evidence, firing());
    let dedup = begin.trigger.dedup.unwrap();
    assert!(dedup.key.starts_with("am:") && dedup.for_ms == 600_000, "{dedup:?}");
}

#[test]
fn resolved_and_unmatched_deliveries_are_ignored_with_the_reason() {
    let hook = || webhook("am", WebhookFormat::Alertmanager, WebhookAuth::None);
    let Ok(Verdict::Ignored(reason)) = judge_open(&hook(), &json!({"status": "resolved"})) else {
        panic!("a resolved group starts nothing");
    };
    assert!(reason.contains("resolved"));
    let mut picky = hook();
    picky.when = Some(Condition::parse("labels.cluster == 'other'").unwrap());
    let Ok(Verdict::Ignored(reason)) = judge_open(&picky, &firing()) else {
        panic!("a condition that does not hold starts nothing");
    };
    assert!(reason.contains("labels.cluster == 'other'"));
}

#[test]
fn an_expression_that_fails_is_not_the_senders_fault() {
    let mut hook = webhook("am", WebhookFormat::Alertmanager, WebhookAuth::None);
    hook.when = Some(Condition::parse("labels.nope.deeper == 1").unwrap());
    let refusal = judge_open(&hook, &firing()).unwrap_err();
    assert!(matches!(refusal, Refusal::Expression { place: "when", .. }), "{refusal:?}");
}

#[test]
fn a_json_delivery_is_known_by_its_key_else_by_its_id_else_not_at_all() {
    let body = br#"{"id": 7}"#;
    let hook = |auth| webhook("j", WebhookFormat::Json, auth);
    let mut keyed = hook(WebhookAuth::None);
    keyed.dedup_key = Some(Template::parse(json!("${body.id}")).unwrap());
    assert_eq!(begun(judge(&keyed, &[], body)).trigger.dedup.unwrap().key, "j:7");
    let signature = signature("msg_1", "1614265330", body);
    let headers = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", signature.as_str()),
    ];
    let signed = hook(WebhookAuth::StandardWebhooks(vec!["signing".to_owned()]));
    assert_eq!(begun(judge(&signed, &headers, body)).trigger.dedup.unwrap().key, "j:msg_1");
    assert_eq!(begun(judge(&hook(WebhookAuth::None), &[], body)).trigger.dedup, None);
    for empty in [json!({"id": ""}), json!({"id": null})] {
        let refusal = judge_open(&keyed, &empty).unwrap_err();
        assert!(matches!(refusal, Refusal::Unfit(_)), "{refusal:?}");
    }
    let long = json!({"id": "x".repeat(5_000)});
    assert!(begun(judge_open(&keyed, &long)).trigger.dedup.unwrap().key.len() < 100);
}

#[test]
fn strangers_are_refused_before_anything_is_parsed() {
    let bearer = WebhookAuth::Bearer(vec!["token".to_owned()]);
    let hook = || webhook("j", WebhookFormat::Json, bearer.clone());
    let refusal = judge(&hook(), &[("authorization", "Bearer wrong")], b"{rubbish").unwrap_err();
    assert!(matches!(refusal, Refusal::Unauthenticated(_)), "{refusal:?}");
    let refusal =
        judge(&hook(), &[("authorization", "Bearer open-sesame")], b"{rubbish").unwrap_err();
    assert!(matches!(refusal, Refusal::NotJson(_)), "{refusal:?}");
}

#[test]
fn rubbish_is_told_from_what_does_not_fit() {
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    let hook = |format| webhook("j", format, WebhookAuth::None);
    for body in [&b""[..], b"\xff{}", b"{", b"{}x", b"nope", deep.as_bytes()] {
        let refusal = judge(&hook(WebhookFormat::Json), &[], body).unwrap_err();
        assert!(matches!(refusal, Refusal::NotJson(_)), "{refusal:?}");
    }
    for body in [&b"[]"[..], b"1", b"null", b"\"x\""] {
        let refusal = judge(&hook(WebhookFormat::Json), &[], body).unwrap_err();
        assert!(matches!(refusal, Refusal::Unfit(_)), "{refusal:?}");
    }
    let refusal = judge(&hook(WebhookFormat::Alertmanager), &[], b"{}").unwrap_err();
    assert!(refusal.to_string().contains("format = \"json\""), "{refusal}");
}

#[test]
fn what_is_wrong_with_hooks_is_said_all_at_once() {
    let (_folder, secrets) = secrets();
    let bearer = |name: &str| WebhookAuth::Bearer(vec![name.to_owned()]);
    let hooks = [
        ("a", webhook("same", WebhookFormat::Json, bearer("token"))),
        ("b", webhook("same", WebhookFormat::Json, bearer("token"))),
        ("c", webhook("c", WebhookFormat::Json, bearer("tokn"))),
        ("d", webhook("d", WebhookFormat::Json, bearer("gone"))),
        ("e", webhook("e", WebhookFormat::Json, WebhookAuth::None)),
        (
            "f",
            webhook("f", WebhookFormat::Json, WebhookAuth::StandardWebhooks(vec!["short".into()])),
        ),
    ];
    let hooks = || hooks.iter().map(|(name, hook)| (*name, hook));
    let wide = "0.0.0.0:80".parse().unwrap();
    let wide = Hooks::gather(hooks(), &secrets, wide);
    for (path, part) in [
        ("same", "`same` is taken"),
        ("c", "did you mean `token`"),
        ("d", "gone"),
        ("e", "auth"),
        ("f", "base64"),
    ] {
        assert!(wide.refused()[path].contains(part), "{:#?}", wide.refused());
        assert!(wide.get(path).is_none(), "{path} is let in");
    }
    let near = Hooks::gather(hooks(), &secrets, loopback());
    assert!(near.get("e").is_some(), "nobody need be asked on loopback");
    assert_eq!(near.refused().len(), 4, "{:#?}", near.refused());
}

#[test]
fn g9_hooks_do_not_show_their_secrets() {
    let (_folder, secrets) = secrets();
    let signed = WebhookAuth::StandardWebhooks(vec!["signing".to_owned()]);
    let (one, two) = (
        webhook("a", WebhookFormat::Json, WebhookAuth::Bearer(vec!["token".to_owned()])),
        webhook("b", WebhookFormat::Json, signed),
    );
    let hooks = Hooks::gather([("w", &one), ("w", &two)], &secrets, loopback());
    let shown = format!("{hooks:?}");
    assert!(!shown.contains(BEARER) && !shown.contains("MfKQ9r8"), "{shown}");
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "(firing|resolved|\\PC{0,8})".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = "(alerts|status|groupKey|labels|commonLabels|fingerprint|startsAt|\\PC{0,4})";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200), json in any_json()) {
        for format in [WebhookFormat::Alertmanager, WebhookFormat::Json] {
            let _ = judge(&webhook("h", format, WebhookAuth::None), &[], &body);
            let _ = judge_open(&webhook("h", format, WebhookAuth::None), &json);
        }
    }

    #[test]
    fn no_header_panics(header in "\\PC{0,60}", body in prop::collection::vec(any::<u8>(), 0..20)) {
        let names = ["authorization", "webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers = names.map(|name| (name, header.as_str()));
        for auth in [WebhookAuth::Bearer(vec!["token".to_owned()]), WebhookAuth::StandardWebhooks(vec!["signing".to_owned()])] {
            prop_assert!(judge(&webhook("h", WebhookFormat::Json, auth), &headers, &body).is_err());
        }
    }
}

#[test]
fn loaded_plans_give_their_hooks_and_show_themselves() {
    let source = r#"
name = "pause"
summary = "Waits"
[params]
cluster = { type = "string", summary = "which" }
[[triggers]]
kind = "webhook"
path = "pause-hook"
format = "json"
auth = { bearer = ["token"] }
params = { cluster = "${body.cluster}" }
[steps.rest]
wait = "1s"
"#;
    let library =
        Library { workflows: BTreeMap::new(), plugins: BTreeMap::new(), is_read: |_| true };
    let plan = workflow::check("pause", source, &library).unwrap();
    let view = crate::http::WorkflowView::of(&plan);
    assert_eq!(
        (view.triggers, view.steps),
        (vec!["webhook /hooks/pause-hook".into()], vec!["rest".into()])
    );
    assert_eq!(view.params["cluster"].kind, "string");
    let (_folder, secrets) = secrets();
    let plans = BTreeMap::from([("pause".to_owned(), plan)]);
    let hooks = Hooks::new(&plans, &secrets, loopback());
    assert_eq!(hooks.get("pause-hook").unwrap().workflow(), "pause");
    assert!(hooks.get("pause").is_none());
}
