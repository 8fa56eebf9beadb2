//! The doors besides Redis, through the whole house: workflows that are shown to users,
//! real programs on the other side, and an engine that dies with a request on its way.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use baton_lab::daemon::Daemon;
use baton_lab::prometheus::Prometheus;
use baton_lab::receiver::Receiver;
use baton_lab::wait::wait_until;
use serde_json::{Value, json};

use crate::house::{House, SOON, answer, until_closed, until_state};

pub(crate) fn house(workflows: &[&str], plugins: &[&str], more: &str) -> House {
    let house = House::new(&[], more);
    for name in workflows {
        house.bring_workflow(name);
    }
    for name in plugins {
        house.bring(name);
    }
    house
}

/// A port that nobody listens on, for a while.
pub(crate) fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn begin(house: &House, workflow: &str, params: &[&str]) -> String {
    let file = house.workflow(workflow).display().to_string();
    let mut arguments = vec!["run", &file, "--detach"];
    for param in params {
        arguments.extend(["--param", param]);
    }
    house.said(&arguments).trim().to_owned()
}

pub(crate) fn dead(mut daemon: Daemon) {
    wait_until("the engine is dead", SOON, || !daemon.running()).unwrap();
}

fn calls(run: &Value, step: usize) -> Vec<(String, Value)> {
    let calls = run["steps"][step]["calls"].as_array().cloned().unwrap_or_default();
    calls
        .iter()
        .map(|it| (it["request"].as_str().unwrap().to_owned(), it["outcome"].clone()))
        .collect()
}

#[test]
fn impact_is_told_in_figures_of_a_real_prometheus() {
    let prometheus = Prometheus::start().unwrap();
    let at = prometheus.address();
    let gone = nobody();
    let configuration = format!(
        "[http.prometheus]\nurl = \"http://{at}\"\n\
         [probe.api]\nhttp = \"http://{at}/-/ready\"\ncontains = \"Ready\"\n\
         [probe.feed]\ntcp = \"{gone}\"\n"
    );
    let house = house(&["impact"], &["probe-endpoints", "prometheus-query"], &configuration);
    let file = house.workflow("impact").display().to_string();

    // All of it only looks, so a plan does it.
    let plan: Value =
        serde_json::from_str(&house.said(&["plan", &file, "--output", "json"])).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let fates: Vec<_> = steps.iter().map(|step| step["fate"].as_str().unwrap()).collect();
    assert_eq!(fates[..2], ["ran", "ran"], "{plan:#}");
    assert_eq!(plan["output"]["verdict"], "ok", "{plan:#}");
    let doors =
        steps.iter().flat_map(|step| step["doors"].as_array().unwrap_or(&Vec::new()).clone());
    let doors: Vec<String> = doors
        .map(|door| format!("{} {} {}", door["door"], door["name"], door["only_reads"]))
        .collect();
    assert_eq!(
        doors,
        [r#""probe" "api" true"#, r#""probe" "feed" true"#, r#""http" "prometheus" true"#]
    );

    let run: Value =
        serde_json::from_str(&house.said(&["run", &file, "--output", "json"])).unwrap();
    let output = &run["output"];
    assert_eq!((&output["up"], &output["down"]), (&json!(false), &json!(["feed"])), "{run:#}");
    let figures = &run["steps"][1]["output"];
    assert_eq!(figures["queries"][1]["series"][0]["value"], "1", "{figures:#}");
    let table = figures["markdown"].as_str().unwrap();
    assert!(table.contains("| scraped targets | at least 1 | 1 | ok |"), "{table}");

    // Real Prometheus refuses real nonsense, and knows what is out of bounds.
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("count(up)\", min = 1.0", "count(up\", min = 1.0");
    house.write("impact", &text.replace("\"up == 0\", max = 0.0", "\"up\", max = 0.5"));
    let run: Value =
        serde_json::from_str(&house.said(&["run", &file, "--output", "json"])).unwrap();
    let figures = &run["steps"][1]["output"];
    assert_eq!(figures["verdict"], "breach", "{figures:#}");
    assert_eq!(figures["unknown"], json!(["scraped targets"]));
    let note = figures["queries"][1]["note"].as_str().unwrap();
    assert!(note.starts_with("Prometheus refuses it: ") && note.contains("parse error"), "{note}");
}

#[test]
fn recovery_is_waited_for_until_everything_is_up() {
    let (api, feed) = (nobody(), Receiver::start("200 OK").unwrap());
    let configuration = format!(
        "[probe.api]\ntcp = \"{api}\"\n[probe.feed]\nhttp = \"http://{}\"\n",
        feed.address()
    );
    let house = house(&["recovered"], &["probe-endpoints"], &configuration);
    let daemon = house.serve();
    let run = begin(&house, "recovered", &[]);
    wait_until("it has looked twice", SOON, || feed.received().len() >= 2).unwrap();
    let listener = TcpListener::bind(&api).unwrap();
    let run = until_closed(&daemon, &run);
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let reason = format!("{api} accepts connections");
    assert_eq!(run["output"]["targets"][0]["reason"], reason.as_str());
    drop(listener);
}

/// A house that tells a chat; the rest of `[http.chat]` is `more`.
fn telling(chat: &Receiver, more: &str) -> House {
    let configuration = format!(
        "[secrets]\nchat = {{ env = \"CHAT_TOKEN\" }}\n\
         [http.chat]\nurl = \"http://{}\"\nbearer = \"chat\"\n{more}\n",
        chat.address()
    );
    let mut house = house(&["tell"], &["notify"], &configuration);
    house.set("CHAT_TOKEN", "hunter2");
    // A proxy that the environment names has no say.
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        house.set(variable, &format!("http://{}", nobody()));
    }
    house
}

#[test]
fn g9_a_message_arrives_once_with_a_log_in_that_is_nowhere_else() {
    let chat = Receiver::start("202 Accepted").unwrap();
    let house = telling(&chat, "");
    let file = house.workflow("tell").display().to_string();
    let plan = house.said(&["plan", &file, "--param", "text=x", "--color", "never"]);
    assert!(plan.contains("http chat: POST /hooks/bondx"), "{plan}");
    assert!(plan.contains(&format!("at {}", chat.address())), "{plan}");
    assert_eq!(chat.received(), [], "a plan sends nothing");
    let daemon = house.serve();
    let run = until_closed(&daemon, &begin(&house, "tell", &["text=failed over"]));
    assert_eq!((&run["state"], &run["output"]["status"]), (&json!("succeeded"), &json!(202)));
    let received = chat.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].line, "POST /hooks/bondx HTTP/1.1");
    assert_eq!(received[0].header("authorization"), Some("Bearer hunter2"));
    assert!(received[0].body.contains("\"text\":\"failed over\""), "{}", received[0].body);
    let told = calls(&run, 0);
    assert!(told[0].0.starts_with("chat> POST /hooks/bondx ("), "{told:?}");
    assert_eq!(told[0].1, "202 Accepted");
    drop(daemon);
    let mut files = vec![house.path("data"), house.path("baton.log")];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(7).any(|window| window == b"hunter2");
        assert!(!found, "the secret is in {}", path.display());
    }
}

#[test]
fn g4_a_message_that_was_on_its_way_when_the_engine_died_is_not_sent_again() {
    // With the request not yet sent, and with its answer there and told to nobody.
    for (moment, sent) in [("change:1:intended", 0), ("change:1:after", 1)] {
        let chat = Receiver::start("202 Accepted").unwrap();
        let house = telling(&chat, "");
        let daemon = house.serve_until(moment);
        let run = begin(&house, "tell", &["text=failed over"]);
        dead(daemon);
        let daemon = house.serve();
        let view = until_state(&daemon, &run, "asking");
        assert_eq!(chat.received().len(), sent, "{moment}");
        assert_eq!(calls(&view, 0)[0].1, Value::Null, "it is in doubt: {view:#}");
        assert_eq!(view["steps"][0]["fault"]["code"], "in-doubt", "{view:#}");
        // A person has looked, and wants it sent.
        let yes = json!({ "step": "post", "approved": true, "who": "anna", "reason": "I looked" });
        assert_eq!(answer(&daemon, &run, &yes).status, 202);
        let view = until_closed(&daemon, &run);
        assert_eq!(view["state"], "succeeded", "{view:#}");
        let received = chat.received();
        assert_eq!(received.len(), sent + 1, "{moment}");
        let keys: Vec<_> = received.iter().map(|it| it.header("idempotency-key")).collect();
        assert!(keys.iter().all(|key| key.is_some() && *key == keys[0]), "{keys:?}");
    }
}

#[test]
fn g4_killed_while_the_receiver_thinks_the_engine_does_not_send_again() {
    let chat = Receiver::mute().unwrap();
    let house = telling(&chat, "");
    let daemon = house.serve();
    let run = begin(&house, "tell", &["text=failed over"]);
    wait_until("the message is there", SOON, || chat.received().len() == 1).unwrap();
    daemon.kill();
    let daemon = house.serve();
    until_state(&daemon, &run, "asking");
    let no = json!({ "step": "post", "approved": false, "who": "anna", "reason": "it is there" });
    assert_eq!(answer(&daemon, &run, &no).status, 202);
    let view = until_closed(&daemon, &run);
    assert_eq!(view["state"], "failed", "{view:#}");
    assert_eq!(chat.received().len(), 1);
}

#[test]
fn g4_where_the_receiver_heeds_the_key_a_message_goes_again_by_itself() {
    let chat = Receiver::start("202 Accepted").unwrap();
    let house = telling(&chat, "idempotent = [\"/hooks/*\"]\nidempotency_header = \"X-Key\"");
    let daemon = house.serve_until("change:1:after");
    let run = begin(&house, "tell", &["text=failed over"]);
    dead(daemon);
    let daemon = house.serve();
    let view = until_closed(&daemon, &run);
    assert_eq!(view["state"], "succeeded", "{view:#}");
    let received = chat.received();
    assert_eq!(received.len(), 2);
    assert!(received[0].header("x-key").is_some());
    assert_eq!(received[0], received[1], "the same in every byte");
}

/// A house that restarts services by writing into `ran`.
fn restarting(ran: &Path, api: &Receiver) -> House {
    let address = api.address();
    let configuration = format!(
        "[exec.restart-service]\ncommand = [\"sh\", \"-c\", \"echo restarted $0 >> {}\"]\n\
         args = [\"bondx-[a-z]+\"]\n\
         [probe.api]\nhttp = \"http://{address}\"\n[probe.feed]\ntcp = \"{address}\"\n",
        ran.display()
    );
    house(&["restart-service", "recovered"], &["run-command", "probe-endpoints"], &configuration)
}

#[test]
fn g4_a_restart_that_the_engine_died_in_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    let api = Receiver::start("200 OK").unwrap();
    let house = restarting(&ran, &api);
    let daemon = house.serve_until("change:1:after");
    let run = begin(&house, "restart-service", &["service=bondx-api"]);
    dead(daemon);
    let daemon = house.serve();
    let view = until_state(&daemon, &run, "asking");
    assert_eq!(view["steps"][0]["fault"]["code"], "in-doubt", "{view:#}");
    assert_eq!(fs::read_to_string(&ran).unwrap(), "restarted bondx-api\n");
    let yes = json!({ "step": "restart", "approved": true, "who": "anna", "reason": "again" });
    assert_eq!(answer(&daemon, &run, &yes).status, 202);
    let view = until_closed(&daemon, &run);
    assert_eq!(view["state"], "succeeded", "{view:#}");
    assert_eq!(fs::read_to_string(&ran).unwrap(), "restarted bondx-api\n".repeat(2));
}

#[test]
fn g7_an_argument_that_its_pattern_refuses_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    let api = Receiver::start("200 OK").unwrap();
    let house = restarting(&ran, &api);
    let daemon = house.serve();
    let run = begin(&house, "restart-service", &["service=$(id)"]);
    let view = until_state(&daemon, &run, "asking");
    assert_eq!(view["steps"][0]["fault"]["code"], "denied", "{view:#}");
    assert!(!ran.exists());
    assert_eq!(calls(&view, 0), [], "nothing was intended");
}
