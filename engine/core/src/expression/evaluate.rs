//! The one place that speaks with minijinja.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{Environment, ErrorKind, Expression, UndefinedBehavior};

use super::scan::{self, Reference};
use super::{ExpressionError, Scope};
use crate::Json;
use crate::limits::{EXPRESSION_CHARS_MAX, EXPRESSION_FUEL_MAX, INPUT_BYTES_MAX};

/// Functions that an expression may call: pure and bounded.
const FUNCTIONS: [&str; 2] = ["dict", "range"];

/// Nesting of a value made by an expression. JSON readers stop at 128 as well.
const DEPTH_MAX: usize = 128;

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(EXPRESSION_FUEL_MAX));
        // Without it errors carry no place.
        environment.set_debug(true);
        environment.remove_global("debug");
        environment.remove_global("namespace");
        environment
    })
}

/// Parses `source` and checks that every filter, test and function in it exists.
pub(super) fn compile(source: &str) -> Result<(), ExpressionError> {
    parse(source)?;
    let names = scan::scan(source);
    for filter in &names.filters {
        let known = exists(&format!("none | {}", filter.path), ErrorKind::UnknownFilter);
        require(known, "filter", filter)?;
    }
    for test in &names.tests {
        let known = exists(&format!("none is {}", test.path), ErrorKind::UnknownTest);
        require(known, "test", test)?;
    }
    for call in &names.calls {
        require(FUNCTIONS.contains(&call.path.as_str()), "function", call)?;
    }
    Ok(())
}

fn require(known: bool, what: &str, name: &Reference) -> Result<(), ExpressionError> {
    if known {
        return Ok(());
    }
    Err(ExpressionError::new(
        format!("there is no {what} named `{}`", name.path),
        Some(name.span.clone()),
    ))
}

/// minijinja resolves filters and tests only when it meets them, so they are met.
fn exists(probe: &str, missing: ErrorKind) -> bool {
    environment()
        .compile_expression_owned(probe.to_owned())
        .and_then(|expression| expression.eval(()))
        .map_or_else(|error| error.kind() != missing, |_| true)
}

fn parse(source: &str) -> Result<Expression<'static, 'static>, ExpressionError> {
    let length = source.chars().count();
    if length > EXPRESSION_CHARS_MAX {
        return Err(ExpressionError::new(
            format!("has {length} characters; at most {EXPRESSION_CHARS_MAX} are allowed"),
            None,
        ));
    }
    if source.trim().is_empty() {
        return Err(ExpressionError::new("is empty", None));
    }
    environment().compile_expression_owned(source.to_owned()).map_err(|e| explain(&e, source))
}

/// The part of `scope` that `variables` refer to, as minijinja wants it.
pub(super) fn context(scope: &Scope, variables: &BTreeSet<String>) -> Value {
    let roots = variables.iter().map(|path| path.split('.').next().unwrap_or(path));
    let used: BTreeMap<&str, &Json> =
        roots.filter_map(|root| Some((root, scope.0.get(root)?))).collect();
    Value::from(Serde(&used))
}

/// Evaluates `source`; an undefined result is an error too.
pub(super) fn evaluate(source: &str, context: &Value) -> Result<Value, ExpressionError> {
    let value = parse(source)?.eval(context.clone()).map_err(|e| explain(&e, source))?;
    if value.is_undefined() {
        let message = format!("undefined value: `{}` gives nothing", source.trim());
        return Err(ExpressionError::new(message, None));
    }
    Ok(value)
}

/// `value`, if it is one.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    (value.kind() == ValueKind::Bool).then(|| value.is_true())
}

fn explain(error: &minijinja::Error, source: &str) -> ExpressionError {
    let kind = error.kind();
    let message = if kind == ErrorKind::OutOfFuel {
        format!("takes more than {EXPRESSION_FUEL_MAX} units of work; make it simpler")
    } else if kind == ErrorKind::SyntaxError {
        error.detail().unwrap_or("cannot be read").to_owned()
    } else if let Some(detail) = error.detail() {
        format!("{kind}: {detail}")
    } else {
        kind.to_string()
    };
    let fits = |span: &std::ops::Range<usize>| source.get(span.clone()).is_some();
    ExpressionError::new(message, error.range().filter(fits))
}

/// Bytes of JSON that a result may still grow by.
pub(super) struct Budget(usize);

impl Budget {
    /// A whole input's worth.
    pub(super) fn new() -> Self {
        Self(INPUT_BYTES_MAX)
    }

    /// Spends `bytes`.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), ExpressionError> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            ExpressionError::new(format!("gives more than {INPUT_BYTES_MAX} bytes"), None)
        })?;
        Ok(())
    }
}

/// minijinja's value as JSON. Lists may be lazy and long: the budget bounds them.
pub(super) fn to_json(value: &Value, budget: &mut Budget) -> Result<Json, ExpressionError> {
    nested_to_json(value, budget, 0)
}

fn nested_to_json(
    value: &Value,
    budget: &mut Budget,
    depth: usize,
) -> Result<Json, ExpressionError> {
    let bad =
        |why: &str| ExpressionError::new(format!("gives {why}, which JSON cannot hold"), None);
    if depth > DEPTH_MAX {
        return Err(bad("a value nested too deeply"));
    }
    budget.spend(2)?;
    match value.kind() {
        ValueKind::None => Ok(Json::Null),
        ValueKind::Bool => Ok(Json::Bool(value.is_true())),
        ValueKind::Number => {
            budget.spend(4)?;
            let number = serde_json::to_value(value).map_err(|_| bad("too large a number"))?;
            if number.is_number() { Ok(number) } else { Err(bad("no finite number")) }
        }
        ValueKind::String => {
            let text = value.as_str().ok_or_else(|| bad("text that is not UTF-8"))?;
            budget.spend(text.len())?;
            Ok(Json::String(text.to_owned()))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|error| explain(&error, ""))?;
            let items = items.map(|item| nested_to_json(&item, budget, depth + 1));
            items.collect::<Result<_, _>>().map(Json::Array)
        }
        ValueKind::Map => {
            let keys = value.try_iter().map_err(|error| explain(&error, ""))?;
            let mut map = serde_json::Map::new();
            for key in keys {
                let name = key.as_str().ok_or_else(|| bad("a table with a key that is no text"))?;
                budget.spend(name.len() + 4)?;
                let item = value.get_item(&key).map_err(|error| explain(&error, ""))?;
                map.insert(name.to_owned(), nested_to_json(&item, budget, depth + 1)?);
            }
            Ok(Json::Object(map))
        }
        ValueKind::Undefined => Err(ExpressionError::new("undefined value in the result", None)),
        // The enum is open: a kind that minijinja adds later lands here.
        other @ (ValueKind::Bytes | ValueKind::Plain | ValueKind::Invalid | _) => {
            Err(bad(&format!("a value of type {other}")))
        }
    }
}
