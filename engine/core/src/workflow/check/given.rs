//! What a workflow is started with, against the params that it declares.

use std::collections::BTreeMap;

use crate::expression::Template;
use crate::workflow::document::{Literal, Span};
use crate::workflow::flaw::{Flaw, did_you_mean};
use crate::workflow::params::mismatch;
use crate::workflow::plan::Param;

/// Checks the table `given` under `key` for the workflow `whose`; `span` is where
/// the table should be if it is absent.
pub(super) fn check_given(
    key: &str,
    whose: &str,
    params: &BTreeMap<String, Param>,
    given: Option<&Literal>,
    span: &Span,
    flaws: &mut Vec<Flaw>,
) {
    let keys = given.map(|given| given.keys.as_slice()).unwrap_or_default();
    for (name, value_span) in keys {
        let Some(param) = params.get(&name.value) else {
            let message = format!("workflow `{whose}` has no param `{}`", name.value);
            let help = did_you_mean(&name.value, params.keys().map(String::as_str));
            flaws.push(Flaw::at("unknown-param", name.span.clone(), message).maybe_help(help));
            continue;
        };
        let value = given.and_then(|given| given.json.get(&name.value));
        let known = value.filter(|value| {
            Template::parse((*value).clone()).is_ok_and(|it| !it.is_single_expression())
        });
        if let Some(why) = known.and_then(|value| mismatch(param.kind, value)) {
            let message = format!("param `{}` of workflow `{whose}` {why}", name.value);
            flaws.push(Flaw::at("wrong-type", value_span.clone(), message));
        }
    }
    for (name, param) in params.iter().filter(|(_, param)| param.is_required()) {
        if keys.iter().all(|(key, _)| key.value != *name) {
            let span = given.map_or(span, |given| &given.span).clone();
            let kind = param.kind.as_str();
            let message = format!("workflow `{whose}` needs param `{name}` ({kind})");
            let help = format!("add {key} = {{ {name} = … }}");
            flaws.push(Flaw::at("missing-param", span, message).help(help));
        }
    }
}
