//! Questions to people, on the real binary: they outlive the engine, one person wins,
//! and whoever is too late or asks the wrong thing is told so.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use baton_lab::wait_until;
use serde_json::{Value, json};

use crate::house::{House, SOON, answer, until, until_closed, until_state};

fn asking(name: &str, timeout: &str, silence: &str) -> String {
    format!(
        "name = \"{name}\"\n[steps.go]\napproval = {{ prompt = \"Promote 7002?\", \
         timeout = \"{timeout}\", on_timeout = \"{silence}\" }}\n"
    )
}

/// Two children that end by their time limit, and a step that asks about each.
const EACH: &str = "\
name = \"each\"
[steps.drain]
workflow = \"slow\"
for_each = [1, 2]
parallel = 2
on_failure = \"ask\"
";
const SLOW: &str = "name = \"slow\"\ntimeout = \"50ms\"\n[steps.nap]\nwait = \"1h\"\n";

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn yes(step: &str, who: &str) -> Value {
    json!({ "step": step, "approved": true, "who": who, "reason": "looked" })
}

#[test]
fn g2_a_question_outlives_the_engine_and_is_answered_by_the_command_that_show_prints() {
    let house = House::new(&[("ask", &asking("ask", "1h", "reject"))], "");
    let daemon = house.serve();
    let run = house.begin("ask");
    let before = until_state(&daemon, &run, "asking");
    daemon.kill();
    let daemon = house.serve();
    let after = until_state(&daemon, &run, "asking");
    assert_eq!(before["steps"][0]["asks"], after["steps"][0]["asks"], "it asks since then");
    let shown = house.said(&["show", "last"]);
    for part in [
        "Promote 7002?",
        "silence until then means reject",
        "yes      the step succeeds and the run goes on",
        "no       the step fails and the run with it; nothing is undone",
        &format!("baton reject {run} go --reason WHY"),
    ] {
        assert!(shown.contains(part), "{part} is missing in:\n{shown}");
    }
    let command = shown.lines().find_map(|line| line.split_once("baton approve ")).unwrap().1;
    let words: Vec<&str> = std::iter::once("approve").chain(command.split(' ')).collect();
    house.said(&words);
    let closed = until_state(&daemon, &run, "succeeded");
    let output = &closed["steps"][0]["output"];
    assert_eq!((&output["who"], &output["reason"]), (&json!("anna"), &json!("WHY")));
    assert!(house.said(&["show", &run]).contains("approved by anna: WHY"));
}

#[test]
fn g2_silence_while_the_engine_was_down_is_decided_at_its_start() {
    let workflows =
        [("no", &*asking("no", "3s", "reject")), ("yes", &*asking("yes", "3s", "approve"))];
    let house = House::new(&workflows, "");
    let daemon = house.serve();
    let runs = ["no", "yes"].map(|workflow| house.begin(workflow));
    let asks = runs.each_ref().map(|run| until_state(&daemon, run, "asking"));
    daemon.kill();
    let until_ms = asks.iter().filter_map(|run| run["steps"][0]["asks"]["until"].as_u64()).max();
    wait_until("both have timed out", SOON, || now_ms() > until_ms.unwrap()).unwrap();
    let daemon = house.serve();
    for (run, state) in runs.iter().zip(["failed", "succeeded"]) {
        let closed = until_closed(&daemon, run);
        assert_eq!(closed["state"], state, "{closed:#}");
        let decided = &closed["steps"][0]["answers"][0];
        assert_eq!(decided["who"], "timeout");
        assert_eq!(decided["reason"], "nobody answered within 3s");
    }
}

#[test]
fn of_many_who_answer_at_once_one_wins_and_the_others_are_told_who() {
    let house = House::new(&[("ask", &asking("ask", "1h", "reject"))], "");
    let daemon = house.serve();
    // The run is over with its answer: those who lose find a closed run.
    let run = house.begin("ask");
    until_state(&daemon, &run, "asking");
    let answers: Vec<_> = thread::scope(|scope| {
        let ask = |who: usize| {
            let (daemon, run) = (&daemon, &run);
            scope.spawn(move || answer(daemon, run, &yes("go", &format!("person-{who}"))))
        };
        let threads: Vec<_> = (0..8).map(ask).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won = answers.iter().filter(|answer| answer.status == 202).count();
    assert_eq!(won, 1, "{answers:#?}");
    let closed = until_state(&daemon, &run, "succeeded");
    let who = &closed["steps"][0]["output"]["who"];
    for late in answers.iter().filter(|answer| answer.status != 202) {
        let problem = late.json().unwrap();
        assert_eq!((late.status, &problem["answered"]["who"]), (409, who), "{problem:#}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("is answered already: approved by person-"), "{detail}");
        assert!(detail.contains(" UTC: looked"), "{detail}");
    }
    let late = house.baton(&["reject", &run, "go", "--reason", "too late"]);
    assert_eq!(late.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&late.stderr).contains("answered already: approved by person-")
    );
}

#[test]
fn an_answer_to_nothing_says_what_asks_instead() {
    let waiting = "name = \"two\"\n[steps.nap]\nwait = \"1h\"\n[steps.go]\n\
                   approval = { prompt = \"Go?\", timeout = \"1h\" }\n";
    let house = House::new(&[("two", waiting)], "");
    let daemon = house.serve();
    let run = house.begin("two");
    until_state(&daemon, &run, "asking");
    let refused = |run: &str, body: &Value| {
        let answer = answer(&daemon, run, body);
        (answer.status, answer.json().unwrap()["detail"].as_str().unwrap().to_owned())
    };
    for (body, status, part) in [
        (yes("nap", "anna"), 409, "asks nothing: it is running; what asks is `go`"),
        (yes("nope", "anna"), 409, "no step `nope`; the steps are nap, go"),
        (json!({"step": "go", "item": 3, "approved": true, "reason": "x"}), 409, "has no items"),
        (json!({"step": "go", "approved": true, "reason": " "}), 422, "write why"),
        (json!({"step": "go", "approved": true}), 422, "reason"),
    ] {
        let (found, detail) = refused(&run, &body);
        assert_eq!(found, status, "{body}: {detail}");
        assert!(detail.contains(part), "{body}: {detail}");
    }
    assert_eq!(refused("0193-0000", &yes("go", "anna")).0, 404);
    house.said(&["cancel", &run, "--reason", "a test"]);
    until_state(&daemon, &run, "cancelled");
    let (status, detail) = refused(&run, &yes("go", "anna"));
    assert_eq!(status, 409);
    assert!(detail.ends_with("asks nothing: the run is over: cancelled"), "{detail}");
}

#[test]
fn each_item_is_answered_for_itself_and_no_item_is_answered_by_chance() {
    let house = House::new(&[("each", EACH), ("slow", SLOW)], "");
    let daemon = house.serve();
    let run = house.begin("each");
    let both = |run: &Value| {
        let items = run["steps"][0]["items"].as_array();
        items.is_some_and(|items| items.iter().all(|item| item["asks"]["kind"] == "failed"))
    };
    until(&daemon, &run, "both items ask", both);
    let shown = house.said(&["show", &run]);
    assert!(shown.contains(&format!("baton approve {run} 'drain[1]' --reason WHY")), "{shown}");
    let whole = house.baton(&["reject", &run, "drain", "--reason", "x"]);
    assert_eq!(whole.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&whole.stderr).contains("name one, as `drain[0]`"));
    let beyond = house.baton(&["reject", &run, "drain[7]", "--reason", "x"]);
    assert!(String::from_utf8_lossy(&beyond.stderr).contains("no item 7; they are 0 to 1"));
    house.said(&["reject", &run, "drain[1]", "--reason", "it is broken"]);
    let closed = until_closed(&daemon, &run);
    assert_eq!(closed["state"], "failed");
    let items = &closed["steps"][0]["items"];
    assert_eq!(items[1]["answers"][0]["reason"], "it is broken");
    // The run ended with that answer, and with it the other question.
    let late = house.baton(&["approve", &run, "drain[0]", "--reason", "x"]);
    assert!(String::from_utf8_lossy(&late.stderr).contains("the run is over: failed"));
}
