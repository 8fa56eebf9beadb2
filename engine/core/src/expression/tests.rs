use minijinja::Environment;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn scope() -> Scope {
    Scope::new()
        .with("params", &json!({"cluster": "bondx", "force": false, "n": 3}))
        .with("steps", &json!({"assess": {"verdict": "dead", "nodes": [{"a": 1}, {"a": 2}]}}))
}

fn holds(source: &str) -> Result<bool, String> {
    Condition::parse(source).and_then(|c| c.holds(&scope())).map_err(|e| e.message)
}

fn render(value: Json) -> Result<Json, String> {
    Template::parse(value).and_then(|t| t.render(&scope())).map_err(|e| e.message)
}

#[test]
fn a_condition_gives_a_boolean_or_an_error() {
    assert_eq!(holds("steps.assess.verdict == 'dead' and not params.force"), Ok(true));
    assert_eq!(holds("params.n > 3"), Ok(false));
    assert_eq!(
        holds("params.cluster"),
        Err("`params.cluster` gives a string, but a condition must give true or false".into())
    );
}

#[test]
fn an_undefined_name_is_an_error_wherever_it_stands() {
    for source in [
        "steps.nope.verdict == 'dead'",
        "steps.assess.nope == 'dead'",
        "steps.assess.nope",
        "not steps.assess.nope",
        "nope == 1",
        "'x' in steps.assess.nope",
    ] {
        let error = holds(source).expect_err(source);
        assert!(error.contains("undefined"), "{source}: {error}");
    }
    assert_eq!(holds("steps.nope is defined"), Ok(false));
}

#[test]
fn what_does_not_exist_is_said_before_anything_runs() {
    for (source, message, span) in [
        ("params.n | nope", "there is no filter named `nope`", 11..15),
        ("params.n is not nope", "there is no test named `nope`", 16..20),
        ("nope(1)", "there is no function named `nope`", 0..4),
        ("params.cluster.upper()", "there is no function named `params.cluster.upper`", 0..20),
        ("debug()", "there is no function named `debug`", 0..5),
    ] {
        let error = Condition::parse(source).expect_err(source);
        assert_eq!((error.message.as_str(), error.span), (message, Some(span)));
    }
    assert!(Condition::parse("range(3) | length == params.n").is_ok());
}

#[test]
fn an_expression_over_the_limit_is_refused_before_it_is_parsed() {
    let error = Condition::parse(&"-".repeat(1_001)).expect_err("too long");
    assert_eq!(error.message, "has 1001 characters; at most 1000 are allowed");
}

#[test]
fn the_worst_chains_at_the_limit_fit_a_small_stack() {
    let fill = |unit: &str, end: &str| {
        let count = (crate::limits::EXPRESSION_CHARS_MAX - end.len()) / unit.len();
        unit.repeat(count) + end
    };
    let chains = [
        fill("-", "1"),
        fill("not ", "1"),
        format!("a{}", fill(".a", "")).chars().take(1_000).collect(),
        format!("a{}", fill("[0]", "")).chars().take(1_000).collect::<String>(),
        format!("a{}", "[0]".repeat(333)),
        format!("{}1{}", "(".repeat(499), ")".repeat(499)),
        format!("{}1{}", "[".repeat(499), "]".repeat(499)),
        format!("{}1{}", "{1:".repeat(249), "}".repeat(249)),
        fill("1+", "1"),
        fill("1~", "1"),
        fill("2**", "1"),
        fill("1 if 1 else ", "1"),
        fill("1 and ", "1"),
        fill("1 is eq -", "1"),
        format!("a{}", "|abs".repeat(249)),
        format!("a{}", "()".repeat(499)),
        fill("-(", "1"),
    ];
    let run = move || {
        for chain in chains {
            if let Ok(condition) = Condition::parse(&chain) {
                let _ = condition.variables();
                let _ = condition.holds(&Scope::new().with("a", &json!([1])));
            }
            let _ = Template::parse(json!(format!("${{{chain}}}")))
                .map(|template| template.render(&Scope::new().with("a", &json!([1]))));
        }
    };
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run);
    thread.expect("spawned").join().expect("no overflow, no panic");
}

#[test]
fn work_without_end_runs_out_of_fuel() {
    let error = holds("(range(90000) | map('string') | join | length) > 3").expect_err("fuel");
    assert!(error.contains("units of work"), "{error}");
}

#[test]
fn a_result_over_the_limit_is_refused() {
    let error = render(json!({"a": "${[0] * 2000000}"})).expect_err("too large");
    assert_eq!(error, "`[0] * 2000000` gives more than 1048576 bytes");
    assert!(render(json!("${params.n ** 100}")).is_err());
}

#[test]
fn a_template_keeps_types_and_fills_text() {
    let given = json!({
        "list": "${steps.assess.nodes}", "n": "${params.n}", "text": "n=${params.n} ${ params.cluster }",
        "nested": [{"deep": "${params.force}"}, 1, null, true], "brace": "${ {'a': '}'}.a }",
        "plain": "$${not} $5 {x}", "json": "is ${steps.assess.nodes[0]}", "empty": "", "${key}": 1,
    });
    let filled = json!({
        "list": [{"a": 1}, {"a": 2}], "n": 3, "text": "n=3 bondx",
        "nested": [{"deep": false}, 1, null, true], "brace": "}",
        "plain": "${not} $5 {x}", "json": "is {\"a\":1}", "empty": "", "${key}": 1,
    });
    assert_eq!(render(given), Ok(filled));
}

#[test]
fn an_error_in_a_template_says_where_in_its_string() {
    let error = Template::parse(json!("x ${params.n +}")).expect_err("syntax");
    assert_eq!(error.span.map(|s| s.start), Some(13));
    let error = Template::parse(json!("x ${params.n")).expect_err("open");
    assert_eq!(error.span, Some(2..12));
    let error = Template::parse(json!("x ${} y")).expect_err("empty");
    assert_eq!((error.message.as_str(), error.span), ("is empty", Some(2..5)));
}

#[test]
fn no_name_that_minijinja_sees_is_overlooked() {
    for source in [
        "steps.assess.verdict == 'dead' and params.n is divisibleby steps.a.n",
        "a[b.c].d | default(e.f) | map(attribute='x') | first",
        "x if y.z else w",
        "[a, {'b': c, 'd.e': f}, (g, -h)]",
        "a is not in b and c not in d",
        "a is defined and b is eq c",
        "1.5 + a.b.c * 2e3 ~ 'is x.y' ~ \"q\\\"r.s\"",
        "range(a.b, step=c)",
        "a . b . c",
        "a.0.b",
        "not a or-b",
    ] {
        let environment = Environment::new();
        let expression = environment.compile_expression(source).expect(source);
        let mut theirs: BTreeSet<String> =
            expression.undeclared_variables(true).into_iter().collect();
        theirs.remove("range");
        let ours: BTreeSet<String> =
            scan::scan(source).references.into_iter().map(|r| r.path).collect();
        assert_eq!(ours, theirs, "{source}");
    }
    // minijinja itself overlooks what is sliced.
    let sliced = Condition::parse("(steps.a.list[1:] | length) > 0").expect("parses");
    assert_eq!(sliced.variables(), BTreeSet::from(["steps.a.list".to_owned()]));
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1e300..1e300).prop_map(|x: f64| json!(x)),
        ".{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_single_expression_gives_exactly_what_the_scope_holds(value in any_json()) {
        let scope = Scope::new().with("params", &json!({"x": value}));
        let template = Template::parse(json!({"y": ["${params.x}"]})).expect("parses");
        prop_assert_eq!(template.render(&scope).expect("renders"), json!({"y": [value]}));
    }

    #[test]
    fn text_without_dollar_stays(text in "[^$]{0,40}") {
        let template = Template::parse(json!(text)).expect("parses");
        prop_assert!(!template.is_single_expression());
        prop_assert_eq!(template.render(&Scope::new()).expect("renders"), json!(text));
    }

    #[test]
    fn nothing_panics(text in r"(\PC|[-${}\[\]().|'\\ a-c]){0,60}") {
        if let Ok(condition) = Condition::parse(&text) {
            let _ = condition.variables();
            let _ = condition.holds(&scope());
        }
        let _ = Template::references_in(&text);
        let _ = Template::parse(json!(format!("${{{text}")));
        if let Ok(template) = Template::parse(json!(text)) {
            let _ = template.render(&scope());
        }
    }
}
