//! `verify-app` through the whole house, on an exchange that works or does not.

use baton_lab::exchange::{Exchange, Mood};
use serde_json::{Value, json};

use crate::doors::house;
use crate::house::{House, until_closed};

fn scene(exchange: &Exchange) -> House {
    let (api, feed) = (exchange.api(), exchange.feed());
    let configuration = format!(
        "[probe.api]\nhttp = \"http://{api}/healthz\"\nfields = {{ \"/status\" = \"ok\" }}\n\
         timeout_ms = 1000\n\
         [probe.feed]\nwebsocket = \"ws://{feed}/\"\n\
         subscribe = '{{\"op\":\"subscribe\",\"channel\":\"trades\"}}'\n\
         fields = {{ \"/channel\" = \"trades\" }}\ntimeout_ms = 1000\n\
         [http.orders]\nurl = \"http://{api}\"\ntimeout_ms = 1000\n"
    );
    house(&["verify-app"], &["verify-app"], &configuration)
}

fn run(house: &House) -> Value {
    let file = house.workflow("verify-app").display().to_string();
    let output = house.baton(&["run", &file, "--output", "json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn seen(run: &Value, check: &str) -> (String, String) {
    let checks = run["steps"][0]["output"]["checks"].as_array().unwrap();
    let found = checks.iter().find(|it| it["check"] == check).unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("verdict"), text("seen"))
}

#[test]
fn an_exchange_that_works_passes_and_no_order_is_left() {
    let exchange = Exchange::start().unwrap();
    let run = run(&scene(&exchange));
    assert_eq!(run["output"], json!({ "verdict": "pass", "failed": [], "left_behind": false }));
    let (verdict, told) = seen(&run, "feed");
    assert!(
        verdict == "pass" && told.ends_with("sends messages with \"trades\" at /channel"),
        "{told}"
    );
    assert_eq!(exchange.orders(), Vec::<Value>::new());
    let asked = exchange.asked();
    assert_eq!(asked[..3], ["GET /healthz", "POST /orders", "GET /orders/1"]);
    assert!(asked[3].starts_with("DELETE /orders/client/baton-"), "{asked:?}");
    let report = run["steps"][1]["output"]["markdown"].as_str().unwrap();
    assert!(report.contains("| app / read it back | pass | status 200, as expected |"), "{report}");
}

#[test]
fn what_does_not_work_is_named_and_what_was_made_is_taken_away() {
    for (mood, check, told, left) in [
        (Mood::Silent, "api", "in time", 0),
        (Mood::Degraded, "api", "but without \"ok\" at /status", 0),
        (Mood::NoJson, "api", "but without JSON", 0),
        (Mood::FeedCloses, "feed", "closed before it sent a message", 0),
        (Mood::FeedIsDeaf, "feed", "in time (0 others)", 0),
        (Mood::FeedIsWrong, "feed", "sent no message with", 0),
        (Mood::WrongQuantity, "read it back", "/quantity is 1000 instead of 1", 0),
        (Mood::Broken, "read it back", "status 500 instead of 200 to 299", 0),
        (Mood::Stuck, "cancel it", "status 409 instead of 200 or 204", 1),
    ] {
        let exchange = Exchange::start().unwrap();
        let house = scene(&exchange);
        exchange.set(mood);
        let run = run(&house);
        // A verification that found something has done its work.
        assert_eq!(
            (&run["state"], &run["output"]["verdict"]),
            (&json!("succeeded"), &json!("fail"))
        );
        let (verdict, seen) = seen(&run, check);
        assert!(verdict == "fail" && seen.contains(told), "{mood:?}: {seen}");
        assert_eq!(exchange.orders().len(), left, "{mood:?}");
        assert_eq!(run["output"]["left_behind"], left == 1, "{mood:?}");
        let placed = exchange.asked().iter().any(|it| it.starts_with("POST"));
        assert_eq!(placed, !["api", "feed"].contains(&check), "{mood:?}: {:?}", exchange.asked());
    }
}

#[test]
fn an_engine_that_dies_with_an_order_on_its_way_cancels_it_when_it_is_back() {
    let exchange = Exchange::start().unwrap();
    let house = scene(&exchange);
    // Behind the answer to the order, before anything of it is asked again.
    let dying = house.serve_until("change:1:after");
    let id = house.begin("verify-app");
    crate::doors::dead(dying);
    assert_eq!(exchange.orders().len(), 1);
    let daemon = house.serve();
    let run = until_closed(&daemon, &id);
    assert_eq!(exchange.asked().iter().filter(|it| *it == "POST /orders").count(), 1);
    // The answer died with the engine, so that the flow cannot go on; the order can.
    assert_eq!(run["output"]["verdict"], "fail", "{run:#}");
    assert_eq!(run["output"]["left_behind"], false, "{run:#}");
    assert_eq!(exchange.orders(), Vec::<Value>::new());
}
