//! What differs is found once, with the command that mends it; what must differ is not.

use super::*;
use baton_plugin::redis::ErrorKind;
use baton_plugin::testing::FakeCluster;

const CALM: [(&str, &str); 7] = [
    ("maxmemory", "0"),
    ("save", "3600 1 300 100"),
    ("min-replicas-to-write", "1"),
    ("min-slaves-to-write", "1"),
    ("databases", "16"),
    ("port", "6379"),
    ("masterauth", "(redacted)"),
];

fn told_by(changes: &[(&str, &str)]) -> Value {
    let mut settings: BTreeMap<&str, &str> = CALM.into_iter().collect();
    settings.extend(changes.iter().copied());
    let words = settings.into_iter().flat_map(|(name, value)| [name.into(), value.into()]);
    Value::List(words.collect())
}

fn sentinel(quorum: &str) -> Value {
    let words = ["name", "bondx-master", "flags", "master", "quorum", quorum, "num-slaves", quorum];
    Value::List(words.into_iter().map(Value::from).collect())
}

/// Three nodes, the last of which has these changes, and two Sentinels.
fn look(changes: &[(&str, &str)], policy: &[(&str, &str)], quorum: &str) -> Output {
    let mut fake = FakeCluster::new(
        "bondx",
        &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"],
        &["10.0.0.1:2", "10.0.0.2:2"],
    )
    .on("10.0.0.1:1", "CONFIG GET *", vec![told_by(&[])])
    .on("10.0.0.2:1", "CONFIG GET *", vec![told_by(&[])])
    .on("10.0.0.3:1", "CONFIG GET *", vec![told_by(changes)])
    .on("10.0.0.1:2", "SENTINEL MASTER bondx-master", vec![sentinel("2")])
    .on("10.0.0.2:2", "SENTINEL MASTER bondx-master", vec![sentinel(quorum)]);
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let input = Input {
        cluster: "bondx".into(),
        policy: policy.iter().map(own).collect(),
        sentinel_policy: BTreeMap::new(),
        may_differ: vec!["may".into()],
    };
    RedisDrift::run(input, &mut fake).unwrap()
}

fn found(output: &Output) -> Vec<String> {
    let text = |it: &Finding| format!("{} {} {}: {}", it.code, it.setting, it.subject, it.mend);
    output.findings.iter().map(text).collect()
}

#[test]
fn what_differs_is_listed_with_what_mends_it() {
    assert_eq!(look(&[], &[], "2").verdict, "alike");
    let set = "differs maxmemory 10.0.0.3:1: redis-cli -h 10.0.0.3 -p 1 CONFIG SET maxmemory 0 && redis-cli -h 10.0.0.3 -p 1 CONFIG REWRITE";
    assert_eq!(found(&look(&[("maxmemory", "100")], &[], "2")), [set]);
    let output = look(&[("save", "")], &[], "2");
    assert!(output.findings[0].mend.contains("CONFIG SET save '3600 1 300 100' &&"), "{output:?}");
    assert_eq!((output.findings[0].value.as_str(), output.verdict.as_str()), ("\"\"", "drift"));
    let output = look(&[("databases", "4")], &[], "2");
    assert!(output.findings[0].mend.contains("then restart"), "{output:?}");
    let output = look(&[], &[], "1");
    let sentinel =
        "differs quorum 10.0.0.2:2: redis-cli -h 10.0.0.2 -p 2 SENTINEL SET bondx-master quorum 2";
    assert_eq!(found(&output), [sentinel]);
}

#[test]
fn what_must_differ_what_may_and_a_fence_are_no_drift() {
    let changes = [("port", "7000"), ("may", "x"), ("min-replicas-to-write", "100")];
    assert_eq!(found(&look(&changes, &[], "2")), [""; 0]);
    // The other name of the same setting is not told twice.
    assert_eq!(
        look(&[("min-replicas-to-write", "2"), ("min-slaves-to-write", "2")], &[], "2")
            .findings
            .len(),
        1
    );
}

#[test]
fn a_policy_is_held_against_every_node_however_it_is_spelt() {
    let output = look(&[("maxmemory", "67108864")], &[("maxmemory", "64mb")], "2");
    let subjects: Vec<&str> = output.findings.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(subjects, ["10.0.0.1:1", "10.0.0.2:1"]);
    assert!(output.findings.iter().all(|it| it.code == "policy" && it.wanted == "67108864"));
    let output = look(&[], &[("min-slaves-to-write", "1")], "2");
    assert_eq!(found(&output), [""; 0]);
    let output = look(&[], &[("no-such-setting", "1")], "2");
    assert_eq!((output.findings.len(), output.findings[0].value.as_str()), (3, "(not told)"));
}

#[test]
fn g9_a_password_is_not_in_the_command_that_mends_it() {
    let output = look(&[("masterauth", "")], &[], "2");
    assert!(
        output.findings[0].mend.contains("masterauth '<the password of the others>'"),
        "{output:?}"
    );
}

#[test]
fn who_does_not_answer_or_may_not_be_asked_is_named_and_the_others_are_compared() {
    let mut fake = FakeCluster::new("bondx", &["a:1", "b:1"], &["s:1"])
        .on("a:1", "CONFIG GET *", vec![Value::Error("NOPERM no".into())])
        .down("b:1", ErrorKind::Refused)
        .on("s:1", "SENTINEL MASTER bondx-master", vec![sentinel("2")]);
    let input: Input = serde_json::from_str(r#"{"cluster":"bondx"}"#).unwrap();
    let output = RedisDrift::run(input, &mut fake).unwrap();
    assert_eq!(output.silent[0], "a:1: NOPERM no");
    assert!(output.silent[1].starts_with("b:1: refused"), "{:?}", output.silent);
    assert_eq!((output.verdict.as_str(), output.compared), ("alike", 1));
}
