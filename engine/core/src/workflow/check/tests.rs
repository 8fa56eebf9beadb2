use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Json;
use crate::id::StepId;
use crate::workflow::plan::{Action, OnFailure, Trigger};

const FAILOVER: &str = include_str!("../../../../../workflows/redis-failover.toml");
const VERIFY: &str = include_str!("../../../../../workflows/verify-redis.toml");
const DETECT: &str = include_str!("../../../../../workflows/detect-redis.toml");
const REJOIN: &str = include_str!("../../../../../workflows/redis-rejoin.toml");
const SETTLE: &str = include_str!("../../../../../workflows/redis-settle.toml");
const SWITCHOVER: &str = include_str!("../../../../../workflows/redis-switchover.toml");
const DEGRADED: &str = include_str!("../../../../../workflows/redis-degraded.toml");
const EVIDENCE: &str = include_str!("../../../../../workflows/redis-evidence.toml");
const ROLLBACK: &str = include_str!("../../../../../workflows/redis-rollback-plan.toml");
const FOLLOW_UPS: &str = include_str!("../../../../../workflows/follow-ups.toml");
const ALARM: &str = include_str!("../../../../../workflows/alarm.toml");
const HELLO: &str = include_str!("../../../../../workflows/hello.toml");

fn is_read(command: &str) -> bool {
    let sentinel = ["MASTER", "SENTINELS", "MYID", "GET-MASTER-ADDR-BY-NAME"];
    match command.strip_prefix("SENTINEL|") {
        Some(command) => sentinel.contains(&command),
        None => ["GET", "PING", "INFO", "ROLE", "CONFIG|GET"].contains(&command),
    }
}

fn plugin(commands: &[&str]) -> PluginFacts {
    PluginFacts {
        redis_commands: commands.iter().map(ToString::to_string).collect(),
        asks: Asks::default(),
        when_interrupted: WhenInterrupted::Rerun,
    }
}

fn library() -> Library {
    let workflows = [
        ("redis-failover", FAILOVER),
        ("redis-rejoin", REJOIN),
        ("redis-settle", SETTLE),
        ("redis-switchover", SWITCHOVER),
        ("redis-degraded", DEGRADED),
        ("redis-evidence", EVIDENCE),
        ("redis-rollback-plan", ROLLBACK),
        ("follow-ups", FOLLOW_UPS),
        ("alarm", ALARM),
        ("verify-redis", VERIFY),
        ("detect-redis", DETECT),
        ("hello", HELLO),
    ];
    let plugins = [
        ("redis-ping", plugin(&["PING"])),
        ("redis-assess", plugin(&["PING", "INFO", "ROLE", "SENTINEL|MASTER", "SENTINEL|MYID"])),
        ("choose-replica", plugin(&["PING", "INFO", "ROLE"])),
        ("promote", plugin(&["INFO", "REPLICAOF", "CONFIG|REWRITE", "CONFIG|GET", "PUBLISH"])),
        ("settle", plugin(&["INFO", "REPLICAOF", "PUBLISH"])),
        ("switchover-plan", plugin(&["INFO", "CONFIG|GET"])),
        ("switchover", plugin(&["INFO", "FAILOVER", "PUBLISH", "CLIENT|KILL"])),
        ("fence", plugin(&["INFO", "CONFIG|SET", "CONFIG|REWRITE"])),
        ("hold", plugin(&["INFO", "CONFIG|SET", "CONFIG|REWRITE", "CLIENT|KILL"])),
        ("lost-writes", plugin(&["INFO", "CONFIG|GET", "PSYNC"])),
        ("notify", plugin(&[])),
        ("salvage", plugin(&["INFO", "CONFIG|SET", "BGSAVE"])),
        ("rejoin", plugin(&["INFO", "REPLICAOF", "CONFIG|SET"])),
        ("verify-replication", plugin(&["INFO", "SENTINEL|SENTINELS", "SET", "WAIT"])),
        ("verify-orderbook", plugin(&["@read"])),
        ("verify-trades", plugin(&["@read"])),
        ("verify-risk", plugin(&["@read"])),
        ("trading-gate", plugin(&["ROLE", "HSET", "HDEL"])),
        ("require", plugin(&[])),
        ("redis-evidence", plugin(&["INFO"])),
        ("rollback-plan", plugin(&["INFO"])),
    ];
    Library {
        workflows: workflows.map(|(name, text)| (name.to_owned(), text.into())).into(),
        plugins: plugins.map(|(name, facts)| (name.to_owned(), facts)).into(),
        is_read,
    }
}

fn plan(source: &str) -> Arc<Plan> {
    check("w", &format!("name = \"w\"\n{source}"), &library())
        .unwrap_or_else(|flaws| panic!("{}", flaws.render("w.toml", source)))
}

fn codes(source: &str) -> Vec<&'static str> {
    let flaws = check("w", &format!("name = \"w\"\n{source}"), &library()).expect_err("flaws");
    flaws.flaws.iter().map(|flaw| flaw.code).collect()
}

#[test]
fn the_workflows_of_the_house_have_no_flaws() {
    for (name, source) in &library().workflows {
        if let Err(flaws) = check(name, source, &library()) {
            panic!("{}", flaws.render(&format!("{name}.toml"), source));
        }
    }
}

#[test]
fn the_failover_plan_is_what_the_file_says() {
    let plan = check("redis-failover", FAILOVER, &library()).expect("no flaws");
    let names: Vec<&str> = plan.steps().iter().map(|step| step.name.as_str()).collect();
    let expected = [
        "assess",
        "confirm",
        "owed",
        "choose",
        "decide",
        "fence",
        "debt",
        "promote",
        "settle",
        "degraded",
        "verify",
        "alarm",
        "evidence",
        "way_back",
        "follow_ups",
        "report",
    ];
    assert_eq!(names, expected);
    let promote = plan.step(plan.find("promote").expect("there"));
    assert!(promote.pivot && !promote.changes_nothing());
    assert_eq!(promote.on_failure, OnFailure::Fail);
    let needed = ["confirm", "choose", "debt"].map(|name| plan.find(name).expect("there"));
    assert_eq!(promote.needs, needed);
    let verify = plan.step(plan.find("verify").expect("there"));
    assert_eq!(verify.timeout_ms, 120_000, "a child's own limit");
    let changing: Vec<&str> = plan
        .steps()
        .iter()
        .filter(|step| !step.changes_nothing())
        .map(|step| step.name.as_str())
        .collect();
    let expected = ["owed", "fence", "debt", "promote", "settle", "degraded", "verify", "alarm"];
    assert_eq!(changing, expected, "verify writes its canary");
    assert_eq!((plan.timeout_ms(), plan.cooldown_ms()), (Some(1_800_000), Some(600_000)));
    assert!(matches!(plan.triggers(), [Trigger::Webhook(_), Trigger::Watch(_)]));
    let plugins = plan.plugins();
    assert!(plugins.contains(&"promote") && plugins.contains(&"salvage"), "{plugins:?}");
    let children = plan.children();
    assert!(["detect-redis", "redis-rejoin"].iter().all(|name| children.contains_key(name)));
    let Action::Workflow(debt) = &plan.step(plan.find("debt").expect("there")).action else {
        panic!("a workflow")
    };
    assert!(debt.detached, "it outlives the failover");
}

#[test]
fn steps_stand_after_those_they_need_and_otherwise_as_in_the_file() {
    let plan = plan(
        "[steps.z]\nwait = '1s'\n[steps.b]\nwait = '1s'\nneeds = ['y']\n\
         [steps.a]\nwait = '1s'\n[steps.y]\nwait = '1s'",
    );
    let names: Vec<&str> = plan.steps().iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "y", "b"]);
    for (id, step) in plan.ids().zip(plan.steps()) {
        assert!(step.needs.iter().all(|need| need < &id));
    }
}

#[test]
fn what_is_not_written_has_its_default() {
    let plan = plan(
        "[steps.a]\nplugin = 'redis-ping'\nuntil = 'true'\n[[steps.a.grants.redis]]\n\
         cluster = 'bondx'\nnodes = ['data']\ncommands = ['PING']",
    );
    let step = plan.step(StepId(0));
    let poll = step.poll.as_ref().expect("until");
    assert_eq!((step.timeout_ms, poll.every_ms, poll.within_ms), (30_000, 1_000, 60_000));
    assert_eq!(step.retry.attempts_max, 1);
    assert!(step.changes_nothing());
    let Action::Plugin(call) = &step.action else { panic!("a plugin") };
    assert_eq!(call.with.source(), &json!({}));
}

#[test]
fn a_reference_must_be_to_a_step_that_is_needed_however_far() {
    let chain = "[steps.a]\nreport = true\n[steps.b]\nneeds = ['a']\nwait = '1s'\n\
                 [steps.c]\nneeds = ['b']\nwait = '1s'\nwhen = \"status.a == 'failed'\"\n";
    plan(chain);
    assert_eq!(codes(&chain.replace("needs = ['b']", "")), ["not-needed"]);
    assert_eq!(codes(&chain.replace("status.a", "steps.c.x")), ["not-needed"]);
}

#[test]
fn an_undo_sees_its_own_step_and_the_step_does_not() {
    let step = "[steps.a]\nplugin = 'redis-ping'\nwith = { x = '${params.p}' }\n\
                grants.redis = [{ cluster = 'c', nodes = ['h:1'], commands = ['PING'] }]\n\
                [params]\np = { type = 'string' }\n";
    let undo = "[steps.a.undo]\nplugin = 'redis-ping'\nwith = { x = '${steps.a.y}' }\n\
                grants.redis = [{ cluster = 'c', nodes = ['h:1'], commands = ['PING'] }]\n";
    plan(&format!("{step}{undo}"));
    assert_eq!(codes(&step.replace("params.p", "steps.a.y")), ["not-needed"]);
}

#[test]
fn a_container_granted_covers_its_subcommands_and_keys_is_never_read() {
    let mut library = library();
    library.plugins.insert("x".into(), plugin(&["CONFIG|SET", "KEYS"]));
    let step = |commands: &str| {
        let source = format!(
            "name = 'w'\n[steps.a]\nplugin = 'x'\ngrants.redis = [{{ cluster = 'c', \
             nodes = ['data'], commands = {commands} }}]"
        );
        check("w", &source, &library).err().map(|flaws| flaws.flaws[0].message.clone())
    };
    assert_eq!(step("['CONFIG|SET', 'KEYS']"), None);
    let refused = "plugin `x` asks for what is not granted: ";
    assert_eq!(step("['CONFIG|SET', '@read']"), Some(format!("{refused}KEYS")));
    assert_eq!(step("['@read', 'KEYS']"), Some(format!("{refused}CONFIG|SET")));
}

#[test]
fn g7_a_step_only_reads_if_every_door_of_it_does() {
    let reads = |grants: &str| {
        let source = format!(
            "[steps.a]\nplugin = 'redis-ping'\n[steps.a.grants]\n\
            redis = [{{ cluster = 'c', nodes = ['data'], commands = ['PING'] }}]\n{grants}"
        );
        plan(&source).step(StepId(0)).changes_nothing()
    };
    let http = |methods: &str, more: &str| {
        reads(&format!("http = [{{ endpoint = 'e', methods = {methods}, paths = ['/**']{more} }}]"))
    };
    assert!(reads("probe = [{ targets = ['api'] }]"));
    assert!(http("['GET', 'HEAD']", ""));
    assert!(!http("['GET', 'PUT']", ""));
    assert!(http("['GET', 'POST']", ", only_reads = true"));
    assert!(!reads("exec = [{ commands = ['df'] }]"));
    assert!(reads("exec = [{ commands = ['df'], only_reads = true }]"));
    assert!(!reads("exec = [{ commands = ['df'], only_reads = true }, { commands = ['rm'] }]"));
}

#[test]
fn a_child_workflow_is_bounded_in_depth_and_never_itself() {
    let mut library = library();
    for depth in 1..6 {
        let next = depth + 1;
        let source = format!("name = 'c{depth}'\n[steps.a]\nworkflow = 'c{next}'");
        library.workflows.insert(format!("c{depth}"), source.into());
    }
    let leaf = "name = 'c6'\n[steps.a]\nwait = '1s'";
    library.workflows.insert("c6".into(), leaf.into());
    let of = |name: &str| {
        let source = library.workflows[name].clone();
        check(name, &source, &library).map_err(|flaws| flaws.flaws[0].code)
    };
    assert!(of("c2").is_ok());
    assert_eq!(of("c1").expect_err("five deep"), "child-too-deep");
    let own = check("me", "name = 'me'\n[steps.a]\nworkflow = 'me'", &library);
    assert_eq!(own.expect_err("itself").flaws[0].code, "child-recursion");
}

#[test]
fn params_are_bound_by_their_declarations() {
    let plan = plan(
        "[params]\nn = { type = 'integer' }\ns = { type = 'string', default = 'x' }\n\
         l = { type = 'list', default = [1] }\nb = { type = 'boolean', default = false }\n\
         f = { type = 'number', default = 1.5 }\n[steps.a]\nwait = '1s'",
    );
    let bound = plan.bind(&json!({"n": 3, "b": true})).expect("fits");
    assert_eq!(bound, json!({"n": 3, "s": "x", "l": [1], "b": true, "f": 1.5}));
    assert_eq!(
        plan.bind(&json!({"s": 1, "b": "true", "nn": 0})).expect_err("three and one missing"),
        [
            "workflow `w` has no param `nn`; did you mean `n`?",
            "`b` must be true or false, not a string",
            "`n` (integer) is missing",
            "`s` must be a string, not an integer",
        ]
    );
    assert_eq!(plan.bind(&json!([])).expect_err("a list"), ["params are a list, not a table"]);
    assert!(plan.bind(&Json::Null).is_err());
}

#[test]
fn text_is_read_by_the_declared_type() {
    let plan = plan(
        "[params]\nn = { type = 'integer' }\ns = { type = 'string', default = 'x' }\n\
         l = { type = 'list', default = [] }\nb = { type = 'boolean', default = false }\n\
         [steps.a]\nwait = '1s'",
    );
    let text = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        plan.bind_text(&pairs)
    };
    let bound = text(&[("n", "7"), ("s", "7"), ("l", "[7]"), ("b", "true")]).expect("fits");
    assert_eq!(bound, json!({"n": 7, "s": "7", "l": [7], "b": true}));
    assert_eq!(
        text(&[("n", "seven"), ("b", "yes"), ("s", "a"), ("s", "b"), ("zz", "")])
            .expect_err("four lines"),
        [
            "`n` must be an integer, not `seven`",
            "`b` must be true or false, not `yes`",
            "`s` is given twice",
            "workflow `w` has no param `zz`; there is `b`, `l`, `n`, `s`",
        ]
    );
    assert_eq!(text(&[]).expect_err("missing"), ["`n` (integer) is missing"]);
}

#[test]
fn every_flaw_lies_within_the_file() {
    let source =
        "name = 'w'\n[steps.a]\nneeds = ['b']\nwhen = 'é ${'\nwith = { x = \"\\u00e9 ${q}\" }";
    let flaws = check("w", source, &library()).expect_err("flaws");
    for flaw in &flaws.flaws {
        assert!(
            flaw.span.as_ref().is_none_or(|span| source.get(span.clone()).is_some()),
            "{flaw:?}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_checked_without_panic(text in r"(\PC|[\[\]{}='\x22.\n a-z$]){0,200}") {
        if let Err(flaws) = check("w", &text, &library()) {
            flaws.render("w.toml", &text);
        }
    }

    #[test]
    fn a_damaged_file_is_checked_without_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..40, r"[\[\]{}='\x22.\n a-z$é0-9]{0,8}"), 1..4)
    ) {
        let mut text = FAILOVER.to_owned();
        for (at, length, insert) in edits {
            let start = at.index(text.len());
            let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).expect("the end is one");
            let end = (start + length).min(text.len());
            let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).expect("the end is one");
            text.replace_range(start..end, &insert);
        }
        match check("redis-failover", &text, &library()) {
            Ok(plan) => prop_assert_eq!(&**plan.source(), text.as_str()),
            Err(flaws) => {
                prop_assert!(!flaws.flaws.is_empty());
                for flaw in &flaws.flaws {
                    let inside = flaw.span.as_ref().is_none_or(|span| text.get(span.clone()).is_some());
                    prop_assert!(inside, "{:?}", flaw);
                }
                flaws.render("w.toml", &text);
            }
        }
    }
}
