//! Expressions in a scope of which only a part is known: how `baton plan` looks
//! ahead of steps that have not run.
//!
//! What is not known must not be in the scope. An expression that mentions it may
//! still have one value whatever it will be (`false and …`): strictness tells, for a
//! missing name is an error wherever it is met. Tests and filters that take a missing
//! value for an answer (`is defined`, `default`) would lie, so with those nothing is
//! concluded unless the name is missed on the way to them.

use std::collections::BTreeSet;

use minijinja::value::Value;
use serde_json::Map;

use super::evaluate::{self, Budget, to_json};
use super::scan;
use super::template::{Node, Piece, push};
use super::{Condition, ExpressionError, Scope, Template};
use crate::Json;

/// Whether a dotted name (`steps.assess.verdict`) is known.
pub type Known<'k> = &'k dyn Fn(&str) -> bool;

/// A template as far as it could be filled.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// What is not known stands in it as it is written, `${…}`.
    pub value: Json,
    /// The names that were missed, dotted.
    pub missed: BTreeSet<String>,
}

impl Condition {
    /// Whether it holds, if what is known can tell.
    ///
    /// # Errors
    /// As [`Condition::holds`], of an expression of which everything is known.
    pub fn holds_so_far(
        &self,
        scope: &Scope,
        known: Known<'_>,
    ) -> Result<Option<bool>, ExpressionError> {
        if self.variables().iter().all(|name| known(name)) {
            return self.holds(scope).map(Some);
        }
        let context = evaluate::context(scope, &self.variables());
        let value = so_far(&self.source, scope, &context, known)?;
        Ok(value.as_ref().and_then(evaluate::boolean))
    }
}

impl Template {
    /// Fills in what is known.
    ///
    /// # Errors
    /// As [`Template::render`], of an expression of which everything is known.
    pub fn render_so_far(
        &self,
        scope: &Scope,
        known: Known<'_>,
    ) -> Result<Partial, ExpressionError> {
        let context = evaluate::context(scope, &self.variables());
        let mut filling =
            Filling { scope, context, known, budget: Budget::new(), missed: BTreeSet::new() };
        let value = filling.fill(&self.node)?;
        Ok(Partial { value, missed: filling.missed })
    }
}

struct Filling<'f> {
    scope: &'f Scope,
    context: Value,
    known: Known<'f>,
    budget: Budget,
    missed: BTreeSet<String>,
}

impl Filling<'_> {
    fn fill(&mut self, node: &Node) -> Result<Json, ExpressionError> {
        match node {
            Node::Fixed(value) => Ok(value.clone()),
            Node::Whole(source) => {
                let value = self.expression(source)?;
                Ok(value.unwrap_or_else(|| Json::String(written(source))))
            }
            Node::Mixed(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(plain) => text.push_str(plain),
                        Piece::Expression { source, .. } => match self.expression(source)? {
                            Some(value) => push(&mut text, &value),
                            None => text.push_str(&written(source)),
                        },
                    }
                }
                Ok(Json::String(text))
            }
            Node::List(items) => {
                let items = items.iter().map(|item| self.fill(item));
                items.collect::<Result<_, _>>().map(Json::Array)
            }
            Node::Table(fields) => {
                let mut table = Map::new();
                for (name, item) in fields {
                    table.insert(name.clone(), self.fill(item)?);
                }
                Ok(Json::Object(table))
            }
        }
    }

    fn expression(&mut self, source: &str) -> Result<Option<Json>, ExpressionError> {
        let value = so_far(source, self.scope, &self.context, self.known)?;
        if value.is_none() {
            self.missed.extend(missing(source, self.known));
        }
        value.map(|value| to_json(&value, &mut self.budget)).transpose()
    }
}

fn written(source: &str) -> String {
    format!("${{{source}}}")
}

fn missing(source: &str, known: Known<'_>) -> Vec<String> {
    let names = scan::scan(source).references.into_iter().map(|reference| reference.path);
    names.filter(|name| !known(name)).collect()
}

/// The value, if what is known can tell it.
fn so_far(
    source: &str,
    scope: &Scope,
    context: &Value,
    known: Known<'_>,
) -> Result<Option<Value>, ExpressionError> {
    let missing = missing(source, known);
    if missing.is_empty() {
        return evaluate::evaluate(source, context).map(Some);
    }
    let names = scan::scan(source);
    let plain = names.tests.is_empty() && names.filters.is_empty() && names.calls.is_empty();
    let told = |name: &String| plain && name.contains('.') || is_missed_on_the_way(scope, name);
    Ok(missing.iter().all(told).then(|| evaluate::evaluate(source, context).ok()).flatten())
}

/// `steps.promote.master` where `steps` holds no `promote`: an error before anything
/// can be asked of `master`.
fn is_missed_on_the_way(scope: &Scope, name: &str) -> bool {
    let mut path = name.split('.');
    let (Some(root), Some(second), Some(_)) = (path.next(), path.next(), path.next()) else {
        return false;
    };
    scope.0.get(root).is_none_or(|value| value.get(second).is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `steps.assess` has run, `steps.promote` has not, of `steps.go` one field is known.
    fn scope() -> Scope {
        Scope::new().with("params", &json!({ "cluster": "bondx" })).with(
            "steps",
            &json!({ "assess": { "verdict": "healthy" }, "go": { "approved": true } }),
        )
    }

    fn known(name: &str) -> bool {
        ["params.cluster", "steps.assess.verdict", "steps.go.approved"].contains(&name)
    }

    fn holds(source: &str) -> Option<bool> {
        let condition = Condition::parse(source).expect(source);
        condition.holds_so_far(&scope(), &known).expect(source)
    }

    #[test]
    fn a_condition_is_told_only_if_nothing_unknown_could_turn_it() {
        for (source, expected) in [
            ("steps.assess.verdict == 'healthy'", Some(true)),
            ("steps.assess.verdict == 'dead' and steps.promote.ok", Some(false)),
            ("steps.assess.verdict == 'healthy' or status.promote == 'failed'", Some(true)),
            ("steps.promote.ok", None),
            ("steps.promote.ok and steps.assess.verdict == 'dead'", None),
            ("status.promote == 'succeeded'", None),
            ("steps.go.approved", Some(true)),
            ("steps.go.who == 'anna'", None),
        ] {
            assert_eq!(holds(source), expected, "{source}");
        }
    }

    #[test]
    fn a_test_that_answers_for_a_missing_name_concludes_nothing() {
        for source in [
            "steps.promote is defined",
            "status.promote is none",
            "steps.go.who is undefined",
            "steps | length == 2",
            "(status.promote | default('succeeded')) == 'succeeded'",
            "steps == params",
        ] {
            assert_eq!(holds(source), None, "{source}");
        }
        assert_eq!(
            holds("steps.assess.verdict == 'dead' and steps.promote.m is none"),
            Some(false)
        );
    }

    #[test]
    fn a_template_keeps_what_is_not_known_as_it_is_written() {
        let template = Template::parse(json!({
            "cluster": "${params.cluster}",
            "master": "${steps.promote.master}",
            "said": "of ${params.cluster}: ${ steps.promote.master } $${x}",
            "list": [1, "${steps.promote.n + 1}"],
        }))
        .expect("a template");
        let partial = template.render_so_far(&scope(), &known).expect("filled");
        assert_eq!(
            partial.value,
            json!({
                "cluster": "bondx",
                "master": "${steps.promote.master}",
                "said": "of bondx: ${ steps.promote.master } ${x}",
                "list": [1, "${steps.promote.n + 1}"],
            })
        );
        let missed: Vec<&str> = partial.missed.iter().map(String::as_str).collect();
        assert_eq!(missed, ["steps.promote.master", "steps.promote.n"]);
    }

    #[test]
    fn what_fails_although_everything_is_known_is_an_error() {
        let template = Template::parse(json!("${params.cluster + 1}")).expect("a template");
        assert!(template.render_so_far(&scope(), &known).is_err());
    }
}
