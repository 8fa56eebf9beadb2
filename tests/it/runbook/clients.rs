//! How clients that do not ask Sentinel follow a new master: through a real HAProxy, and
//! by a ConfigMap of an API server.

use std::time::{Duration, Instant};

use baton_lab::haproxy::{Haproxy, PASSWORD};
use baton_lab::kube::{Kube, TOKEN};
use baton_lab::{Lab, Options, query, wait_until};
use serde_json::{Value, json};

use super::{FAILOVER, PLUGINS, leading, run, step, try_run};
use crate::house::{House, SOON, until_closed};

fn lab() -> Lab {
    Lab::start(Options { down_after_ms: 60_000, ..Options::bondx() }).unwrap()
}

/// What `haproxy-route` alone needs.
const ROUTE: [&str; 2] = ["redis-assess", "haproxy-route"];

/// A client of HAProxy writes once, by a connection of its own.
fn write(haproxy: &Haproxy, value: &str) -> anyhow::Result<()> {
    let mut connection = query::connect(&haproxy.address(), None)?;
    Ok(redis::cmd("SET").arg("through").arg(value).exec(&mut connection)?)
}

fn through(lab: &Lab, node: usize) -> Option<String> {
    query::ask(&lab.data()[node], &["GET", "through"]).unwrap()
}

fn routing(lab: &Lab, haproxy: &Haproxy, workflows: &[&str], plugins: &[&str]) -> House {
    let more = format!(
        "[secrets]\nhaproxy-password = {{ env = \"HAPROXY\" }}\nhook-token = {{ env = \"HOOK\" }}\n{}",
        haproxy.toml()
    );
    let mut house = leading(lab, workflows, plugins, &more);
    house.set("HAPROXY", PASSWORD);
    house.set("HOOK", "laboratory");
    house
}

#[test]
fn clients_through_haproxy_follow_a_failover_and_never_the_one_that_came_back() {
    let lab = lab();
    let haproxy = Haproxy::before(&lab).unwrap();
    let house = routing(&lab, &haproxy, &FAILOVER, &PLUGINS);
    // As the workflow's own comment says.
    let failover = std::fs::read_to_string(house.workflow("redis-failover")).unwrap();
    let step_of = "[steps.clients]\nneeds = [\"promote\"]\nworkflow = \"haproxy-route\"\non_failure = \"continue\"\n\n[steps.report]";
    let failover = failover
        .replace("[steps.report]", step_of)
        .replace("\"follow_ups\"]", "\"follow_ups\", \"clients\"]");
    house.write("redis-failover", &failover);
    write(&haproxy, "before").unwrap();
    assert_eq!(through(&lab, 0).as_deref(), Some("before"));
    lab.data()[0].kill().unwrap();

    let failed_over = run(&house, "redis-failover", &[]);
    assert_eq!(failed_over["output"]["verdict"], "pass", "{failed_over:#}");
    let routed = &step(&failed_over, "clients")["output"];
    let master = lab.master().unwrap().address();
    assert_eq!((&routed["verdict"], &routed["master"]), (&json!("changed"), &json!(master)));
    // The old one is back, and says that it is master: HAProxy's own check would let it in.
    lab.data()[0].start().unwrap();
    assert_only_new(&lab, &haproxy, &master);
}

/// Clients write to the new master and never to the first node, which says that it is one.
fn assert_only_new(lab: &Lab, haproxy: &Haproxy, master: &str) {
    let old = &lab.data()[0];
    wait_until("the old master answers", SOON, || query::role(old).is_some()).unwrap();
    assert_eq!(query::role(old).as_deref(), Some("master"), "or there is nothing to prove");
    let new = lab.data().iter().position(|it| it.address() == master).unwrap();
    // Each is a connection of its own: longer, all together, than some of its checks.
    for number in 0..300 {
        let value = format!("after {number}");
        write(haproxy, &value).unwrap();
        assert_eq!(through(lab, new), Some(value.clone()));
        assert_ne!(through(lab, 0), Some(value), "{:?}", query::role(old));
    }
}

#[test]
fn behind_a_failover_of_sentinel_clients_are_taken_from_the_master_that_hung() {
    let options = Options { down_after_ms: 1_000, failover_timeout_ms: 30_000, ..Options::bondx() };
    let lab = Lab::start(options).unwrap();
    let haproxy = Haproxy::before(&lab).unwrap();
    let house = routing(&lab, &haproxy, &["haproxy-route"], &ROUTE);
    let old = &lab.data()[0];
    run(&house, "haproxy-route", &[]);
    // A client that is connected, and would hang with it.
    let mut held = query::connect(&haproxy.address(), None).unwrap();
    redis::cmd("PING").exec(&mut held).unwrap();
    old.stop().unwrap();
    let master = lab.wait_for_new_master(&old.address(), SOON).unwrap();
    // Nobody is closed who could become master: new clients need no Baton.
    wait_until("new clients follow by themselves", SOON, || write(&haproxy, "alone").is_ok())
        .unwrap();
    let routed = run(&house, "haproxy-route", &[]);
    assert_eq!(routed["output"]["master"], master.as_str(), "{routed:#}");
    // The helper waits half a second for an answer: this is quicker, as its session ended.
    let begun = Instant::now();
    redis::cmd("PING").exec(&mut held).unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(400), "it hung: {:?}", begun.elapsed());
    old.cont().unwrap();
    let new = lab.data().iter().position(|it| it.address() == master).unwrap();
    write(&haproxy, "woken").unwrap();
    assert_eq!(through(&lab, new).as_deref(), Some("woken"));
}

#[test]
fn haproxy_is_given_orders_once_and_refusals_are_told() {
    let lab = lab();
    let haproxy = Haproxy::before(&lab).unwrap();
    let mut house = routing(&lab, &haproxy, &["haproxy-route"], &ROUTE);
    let well = run(&house, "haproxy-route", &[]);
    assert_eq!(
        (&well["output"]["verdict"], &well["output"]["server"]),
        (&json!("as it was"), &json!("n1"))
    );
    lab.data()[2].kill().unwrap();
    let first = run(&house, "haproxy-route", &[]);
    assert_eq!(first["output"]["verdict"], "changed", "who is gone is closed: {first:#}");
    let again = run(&house, "haproxy-route", &[]);
    assert_eq!(again["output"]["verdict"], "as it was", "{again:#}");
    assert_eq!(step(&again, "route")["calls"].as_array().map_or(0, Vec::len), 0);
    write(&haproxy, "still").unwrap();
    // It is back and follows: it stands by again, and no client is sent to it.
    lab.data()[2].start().unwrap();
    wait_until("it follows", SOON, || query::in_sync(&lab.data()[2])).unwrap();
    let back = run(&house, "haproxy-route", &[]);
    assert_eq!(back["output"]["verdict"], "changed", "{back:#}");
    let rows = step(&back, "route")["output"]["servers"].as_array().unwrap().clone();
    assert!(rows[2]["status"].as_str().unwrap().starts_with("DOWN"), "{rows:#?}");
    for number in 0..100 {
        write(&haproxy, &number.to_string()).unwrap();
    }

    let fault = |run: &Value| step(run, "route")["fault"]["code"].as_str().unwrap().to_owned();
    let (_, strange) = try_run(&house, "haproxy-route", &["backend=other"]);
    assert_eq!(fault(&strange), "no-such-backend", "{strange:#}");
    house.set("HAPROXY", "wrong");
    let (is_good, refused) = try_run(&house, "haproxy-route", &[]);
    assert!(!is_good);
    assert_eq!(fault(&refused), "not-answered", "{refused:#}");
    assert!(!refused.to_string().contains(PASSWORD));
}

/// The server's own handover, by hand.
fn hand_over(lab: &Lab, from: usize, to: usize) {
    let port = lab.data()[to].port().to_string();
    // A replica whose link is up is online for its master only with its first answer.
    let named = format!("port={port},state=online");
    let is_online = || {
        let fields = query::info(&lab.data()[from], "replication");
        fields.values().any(|it| it.contains(&named))
    };
    wait_until("the replica is online", SOON, is_online).unwrap();
    let words = ["FAILOVER", "TO", "127.0.0.1", &port, "TIMEOUT", "3000"];
    query::ask::<()>(&lab.data()[from], &words).unwrap();
    let wanted = [lab.data()[to].address()];
    wait_until("it is handed over", SOON, || lab.writable_masters() == wanted).unwrap();
}

#[test]
fn g2_an_engine_killed_between_closing_and_opening_goes_on_and_opens() {
    let lab = lab();
    let haproxy = Haproxy::before(&lab).unwrap();
    let house = routing(&lab, &haproxy, &["haproxy-route"], &ROUTE);
    // The second node was gone, and closed; it is back, and is made master by hand.
    lab.data()[1].kill().unwrap();
    run(&house, "haproxy-route", &[]);
    lab.data()[1].start().unwrap();
    wait_until("it follows", SOON, || query::in_sync(&lab.data()[1])).unwrap();
    hand_over(&lab, 0, 1);
    lab.data()[2].kill().unwrap();
    wait_until("nobody is open", SOON, || write(&haproxy, "nobody").is_err()).unwrap();
    // The first order closes the third node, the second one would open the master.
    let mut daemon = house.serve_until("change:1:after");
    let id = house.begin("haproxy-route");
    wait_until("the engine is dead", SOON, || !daemon.running()).unwrap();
    drop(daemon);
    let log = haproxy.log();
    assert!(log.contains("n3 was DOWN and now enters maintenance"), "{log}");
    write(&haproxy, "nobody is open").unwrap_err();
    let daemon = house.serve();
    let routed = until_closed(&daemon, &id);
    let expected = (&json!("succeeded"), &json!("n2"));
    assert_eq!((&routed["state"], &routed["output"]["server"]), expected, "{routed:#}");
    write(&haproxy, "open").unwrap();
    assert_eq!(through(&lab, 1).as_deref(), Some("open"));
}

const MAP: &str = "/api/v1/namespaces/bondx/configmaps/bondx-redis";
const API: &str = "/apis/apps/v1/namespaces/bondx/deployments/bondx-api";

#[test]
fn a_config_map_gets_the_master_and_its_readers_are_restarted_once() {
    let lab = lab();
    let kube = Kube::start().unwrap();
    kube.put(MAP, json!({ "data": { "REDIS_MASTER": "10.0.0.1:6379", "OTHER": "kept" } }));
    let template = json!({ "metadata": { "labels": { "app": "bondx-api" } } });
    kube.put(API, json!({ "spec": { "replicas": 2, "template": template } }));
    let more = format!("[secrets]\nkubernetes-token = {{ env = \"KUBE\" }}\n{}", kube.toml());
    let mut house = leading(&lab, &["kube-config"], &["redis-assess", "kube-config"], &more);
    house.set("KUBE", TOKEN);
    // Somebody else is at it: the first patch meets a conflict, and theirs is kept.
    kube.meanwhile(MAP, json!({ "data": { "THEIRS": "too" } }));

    let params = ["deployments=[\"bondx-api\"]"];
    let first = run(&house, "kube-config", &params);
    let master = lab.data()[0].address();
    assert_eq!(first["output"]["verdict"], "changed", "{first:#}");
    let data = json!({ "REDIS_MASTER": master, "OTHER": "kept", "THEIRS": "too" });
    assert_eq!(kube.object(MAP)["data"], data);
    assert_eq!(kube.refused(), [409]);
    let deployment = kube.object(API);
    assert_eq!(deployment["metadata"]["generation"], 2, "one rollout: {deployment:#}");
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["app"], "bondx-api");
    assert_eq!(kube.taken().len(), 2, "{:?}", kube.taken());

    let again = run(&house, "kube-config", &params);
    assert_eq!(again["output"]["verdict"], "as it was", "{again:#}");
    assert_eq!(kube.taken().len(), 2, "nothing is written twice");
    assert!(!first.to_string().contains(TOKEN));

    // A token that is refused, a server that nobody vouches for: nothing was changed.
    house.set("KUBE", "stolen");
    let (_, refused) = try_run(&house, "kube-config", &params);
    assert_eq!(step(&refused, "write")["fault"]["code"], "not-allowed", "{refused:#}");
    let stranger = Kube::start().unwrap();
    let text = std::fs::read_to_string(house.path("baton.toml")).unwrap();
    let (own, other) = (kube.authority(), stranger.authority());
    let text = text.replace(&own.display().to_string(), &other.display().to_string());
    std::fs::write(house.path("baton.toml"), text).unwrap();
    let (_, refused) = try_run(&house, "kube-config", &params);
    let fault = &step(&refused, "write")["fault"];
    assert!(fault["message"].as_str().unwrap().contains("ertificate"), "{fault:#}");
    assert_eq!(kube.taken().len(), 2);
}
