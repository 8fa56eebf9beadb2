//! What an expression may refer to, where it stands.

use std::collections::BTreeMap;

use super::needs::Needs;
use crate::expression::{Condition, ExpressionError, Reference, Template};
use crate::workflow::document::{Literal, Span, Text};
use crate::workflow::flaw::{Flaw, did_you_mean};
use crate::workflow::plan::{Param, Plan};

/// Fields of an output, where they are known.
pub(super) type Fields = Option<Vec<String>>;

/// Everything there is to refer to in one file.
pub(super) struct Sight<'a> {
    params: &'a BTreeMap<String, Param>,
    needs: &'a Needs<'a>,
    /// Of each step, in the file's order.
    outputs: Vec<Fields>,
}

/// Which steps are in sight.
#[derive(Clone, Copy)]
pub(super) enum StepsInSight {
    /// None.
    Nothing,
    /// All of them: everything is settled.
    All,
    /// Those that this step needs.
    AboveStep(usize),
    /// Those that this step needs, and itself.
    StepAndAbove(usize),
}

/// What is in sight of one place.
pub(super) struct View<'a> {
    sight: &'a Sight<'a>,
    roots: Vec<&'static str>,
    steps: StepsInSight,
    /// Fields of `output`.
    output: Fields,
}

/// What expressions see of a fault.
const FAULT: &[&str] = &["code", "message", "details"];
const AT_RUN: [&str; 6] = ["params", "steps", "status", "faults", "trigger", "run"];

impl<'a> Sight<'a> {
    pub(super) fn new(
        params: &'a BTreeMap<String, Param>,
        needs: &'a Needs<'a>,
        outputs: Vec<Fields>,
    ) -> Self {
        Self { params, needs, outputs }
    }

    /// Declared params.
    pub(super) fn params(&self) -> &'a BTreeMap<String, Param> {
        self.params
    }

    /// Fields that the step at `at` gives.
    pub(super) fn output(&self, at: usize) -> Fields {
        self.outputs[at].clone()
    }

    /// What is known of every step's output.
    pub(super) fn into_outputs(self) -> Vec<Fields> {
        self.outputs
    }

    /// Only these names.
    pub(super) fn of(&'a self, roots: &[&'static str]) -> View<'a> {
        View { sight: self, roots: roots.to_vec(), steps: StepsInSight::Nothing, output: None }
    }

    /// Everything a run knows.
    pub(super) fn at_run(&'a self, steps: StepsInSight) -> View<'a> {
        View { steps, ..self.of(&AT_RUN) }
    }
}

impl View<'_> {
    /// Also these names.
    pub(super) fn and(mut self, roots: &[&'static str]) -> Self {
        self.roots.extend(roots);
        self
    }

    /// Also `output`.
    pub(super) fn and_output(mut self, fields: Fields) -> Self {
        self.output = fields;
        self.and(&["output"])
    }

    /// Parses a condition and resolves what it refers to.
    pub(super) fn condition(
        &self,
        key: &str,
        text: &Text,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Condition> {
        match Condition::parse(&text.value) {
            Ok(condition) => {
                for reference in condition.references() {
                    flaws
                        .extend(self.resolve(text.place(Some(reference.span.clone())), &reference));
                }
                Some(condition)
            }
            Err(error) => {
                flaws.push(unreadable(key, text, error));
                None
            }
        }
    }

    /// Parses a template and resolves what it refers to.
    pub(super) fn template(
        &self,
        key: &str,
        literal: &Literal,
        flaws: &mut Vec<Flaw>,
    ) -> Option<Template> {
        for text in &literal.strings {
            match Template::references_in(&text.value) {
                Ok(references) => {
                    for reference in references {
                        let span = text.place(Some(reference.span.clone()));
                        flaws.extend(self.resolve(span, &reference));
                    }
                }
                Err(error) => flaws.push(unreadable(key, text, error)),
            }
        }
        // Its errors are those just noted.
        Template::parse(literal.json.clone()).ok()
    }

    fn resolve(&self, span: Span, reference: &Reference) -> Option<Flaw> {
        let mut parts = reference.path.split('.');
        let root = parts.next().unwrap_or_default();
        let (name, field) = (parts.next(), parts.next());
        if !self.roots.contains(&root) {
            return Some(self.unknown_root(span, root));
        }
        if root == "status" && matches!(self.steps, StepsInSight::Nothing) {
            // A webhook's own: the body's `status`.
            return None;
        }
        match (root, name) {
            ("params", Some(name)) => self.resolve_param(span, name),
            ("steps" | "status" | "faults", None) => {
                let message = format!("`{root}` must be followed by a step's name");
                let help = format!("write `{root}.NAME` with a step's name");
                Some(Flaw::at("unknown-name", span, message).help(help))
            }
            ("steps", Some(name)) => self.resolve_step(span.clone(), root, name).or_else(|| {
                let fields = self.sight.outputs[self.sight.needs.find(name)?].as_deref()?;
                unknown_field(span, &format!("step `{name}` gives"), fields, field?)
            }),
            ("status", Some(name)) => self.resolve_step(span, root, name),
            ("faults", Some(name)) => self
                .resolve_step(span.clone(), root, name)
                .or_else(|| unknown_field(span, "a fault has", FAULT, field?)),
            ("trigger", Some(name)) => {
                unknown_field(span, "`trigger` has", &["kind", "source", "evidence"], name)
            }
            ("run", Some(name)) => unknown_field(span, "`run` has", &["id", "workflow"], name),
            ("output", Some(name)) => {
                unknown_field(span, "the output has", self.output.as_deref()?, name)
            }
            _ => None,
        }
    }

    fn unknown_root(&self, span: Span, root: &str) -> Flaw {
        let known_root = |name| self.roots.contains(&name);
        let help = if self.sight.params.contains_key(root) && known_root("params") {
            Some(format!("write `params.{root}`"))
        } else if self.sight.needs.find(root).is_some() && known_root("steps") {
            Some(format!("write `steps.{root}`"))
        } else if self.roots.is_empty() {
            Some("nothing can be referred to here".to_owned())
        } else {
            did_you_mean(root, self.roots.iter().copied())
        };
        let message = format!("there is no `{root}` here");
        Flaw::at("unknown-name", span, message).maybe_help(help)
    }

    fn resolve_param(&self, span: Span, name: &str) -> Option<Flaw> {
        let params = self.sight.params;
        (!params.contains_key(name)).then(|| unknown_param(span, name, params))
    }

    fn resolve_step(&self, span: Span, root: &str, name: &str) -> Option<Flaw> {
        let needs = self.sight.needs;
        let Some(step) = needs.find(name) else {
            let message = format!("there is no step `{name}`");
            let help = did_you_mean(name, needs.names());
            return Some(Flaw::at("unknown-step", span, message).maybe_help(help));
        };
        let (at, with_itself) = match self.steps {
            StepsInSight::All => return None,
            StepsInSight::Nothing => return Some(self.unknown_root(span, root)),
            StepsInSight::AboveStep(at) => (at, false),
            StepsInSight::StepAndAbove(at) => (at, true),
        };
        if needs.above(at).contains(&step) || (with_itself && step == at) {
            return None;
        }
        if step == at {
            let message = format!("`{root}.{name}` is not known before step `{name}` itself ran");
            return Some(Flaw::at("not-needed", span, message));
        }
        let mut wanted: Vec<String> = needs
            .names()
            .filter(|other| needs.find(other).is_some_and(|it| needs.of(at).contains(&it)))
            .map(|other| format!("\"{other}\""))
            .collect();
        wanted.push(format!("\"{name}\""));
        let message =
            format!("this step does not wait for `{name}`, so `{root}.{name}` may not be known");
        let help = format!("write needs = [{}]", wanted.join(", "));
        Some(Flaw::at("not-needed", span, message).help(help))
    }
}

/// A param that is referred to and not declared.
pub(super) fn unknown_param(span: Span, name: &str, params: &BTreeMap<String, Param>) -> Flaw {
    let message = format!("there is no param `{name}`");
    let names = params.keys().map(String::as_str);
    let help = crate::workflow::flaw::closest(name, names).map_or_else(
        || format!("add under [params]: {name} = {{ type = \"string\" }}"),
        |close| format!("did you mean `params.{close}`?"),
    );
    Flaw::at("unknown-param", span, message).help(help)
}

fn unknown_field(span: Span, whose: &str, fields: &[impl AsRef<str>], field: &str) -> Option<Flaw> {
    if fields.iter().any(|known| known.as_ref() == field) {
        return None;
    }
    let message = format!("{whose} no `{field}`");
    let help = did_you_mean(field, fields.iter().map(AsRef::as_ref));
    Some(Flaw::at("unknown-output", span, message).maybe_help(help))
}

fn unreadable(key: &str, text: &Text, error: ExpressionError) -> Flaw {
    let message = format!("`{key}`: {}", error.message);
    Flaw::at("bad-expression", text.place(error.span), message)
}

/// Fields that a run of `plan` gives.
pub(super) fn output_of(plan: &Plan) -> Fields {
    let Some(output) = plan.output() else { return Some(Vec::new()) };
    let fields = output.source().as_object()?;
    Some(fields.keys().cloned().collect())
}
