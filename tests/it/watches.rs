//! When a watch begins a run, and when it has done so already.

use std::net::TcpListener;
use std::time::Duration;

use baton_lab::wait_until;

use crate::doors::{house, nobody};

const SOON: Duration = Duration::from_secs(20);

const LOOK: &str = r#"
name = "look"
[steps.up]
plugin = "probe-endpoints"
with = { targets = ["api"], timeout_ms = 500 }
[[steps.up.grants.probe]]
targets = ["api"]
[output]
about = "${'up' if steps.up.up else 'down'}"
"#;

const WATCHED: &str = r#"
name = "watched"
[params]
about = { type = "string", summary = "What was seen" }
[[triggers]]
kind = "watch"
workflow = "look"
every = "100ms"
when = "output.about in ['up', 'down']"
params = { about = "${output.about}" }
[steps.a]
wait = "1ms"
"#;

#[test]
fn a_verdict_about_something_else_is_news_and_one_about_the_same_is_not() {
    let address = nobody();
    let configuration = format!("[probe.api]\ntcp = \"{address}\"\n");
    let house = house(&[], &["probe-endpoints"], &configuration);
    house.write("look", LOOK);
    house.write("watched", WATCHED);
    let daemon = house.serve();
    let runs = || daemon.runs("watched").unwrap_or_default().len();
    wait_until("the watch has begun a run", SOON, || runs() == 1).unwrap();
    let _door = TcpListener::bind(&address).unwrap();
    wait_until("and another one, about something else", SOON, || runs() == 2).unwrap();
    let looks = daemon.runs("watched").unwrap();
    assert_eq!(looks.len(), 2, "{looks:?}");
}
