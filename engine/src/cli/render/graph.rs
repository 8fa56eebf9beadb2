//! `baton graph`: a plan as a drawing, as Mermaid, or as DOT.
//!
//! The drawing puts one step on a line, layer by layer; a lane runs from a step
//! down to the last step that needs it:
//!
//! ```text
//! 1  ● assess
//!    ├─╮
//! 2  │ ● choose ← assess
//!    ├─╯
//! 3  ◆ promote ← assess, choose
//! ```

mod lanes;
mod source;

use baton_core::workflow::plan::{Action, OnFailure, Plan, Step, Trigger};

use super::look::{Look, Tone};
use super::words::{clean, count, span};
use lanes::Lanes;

pub(crate) use source::{dot, mermaid};

/// The plan as a drawing, from top to bottom.
pub(crate) fn text(plan: &Plan, look: Look) -> String {
    let mut drawing = Drawing { text: String::new(), look, number_width: 3 };
    let layers = layers(plan);
    let depth = layers.iter().max().map_or(0, |last| last + 1);
    drawing.number_width = depth.to_string().len() + 2;
    drawing.head(plan, depth);
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by_key(|step| (layers[*step], *step));
    let needs: Vec<Vec<usize>> =
        plan.steps().iter().map(|step| step.needs.iter().map(|id| id.0.into()).collect()).collect();
    let mut lanes = Lanes::new(&needs);
    let mut layer = None;
    for step in order {
        let number = (layer != Some(layers[step])).then_some(layers[step] + 1);
        layer = Some(layers[step]);
        drawing.step(plan, step, number, &mut lanes);
    }
    drawing.legend(plan);
    drawing.text
}

/// The length of the longest way to each step.
fn layers(plan: &Plan) -> Vec<usize> {
    let mut layers: Vec<usize> = Vec::new();
    for step in plan.steps() {
        let above = step.needs.iter().map(|id| layers[usize::from(id.0)] + 1).max();
        layers.push(above.unwrap_or(0));
    }
    layers
}

struct Drawing {
    text: String,
    look: Look,
    number_width: usize,
}

impl Drawing {
    fn line(&mut self, line: &str) {
        self.text.push_str(self.look.cut(line).trim_end());
        self.text.push('\n');
    }

    fn row(&mut self, number: Option<usize>, lanes: &str, text: &str) {
        let number = number.map_or_else(String::new, |number| number.to_string());
        let number = self.look.tint(Tone::Dim, &format!("{number:<w$}", w = self.number_width));
        self.line(&format!("{number}{lanes}{text}"));
    }

    fn head(&mut self, plan: &Plan, depth: usize) {
        let name = self.look.tint(Tone::Strong, &clean(plan.name()));
        let counts = format!("{} in {}", count(plan.steps().len(), "step"), count(depth, "layer"));
        self.line(&format!("{name}  {counts}"));
        if !plan.summary().is_empty() {
            self.line(&format!("  {}", clean(plan.summary())));
        }
        for trigger in plan.triggers() {
            self.line(&format!("  started by {}", started_by(trigger)));
        }
        if let Some(concurrency) = plan.concurrency() {
            let key = super::words::value(concurrency.key.source());
            let policy = format!("{:?}", concurrency.policy).to_lowercase();
            self.line(&format!("  one run per {key}; a second one: {policy}"));
        }
        self.line("");
    }

    fn step(&mut self, plan: &Plan, index: usize, number: Option<usize>, lanes: &mut Lanes) {
        let step = &plan.steps()[index];
        let drawn = lanes.place(index);
        if let Some(joint) = &drawn.joint {
            self.row(None, joint, "");
        } else if index > 0 && number.is_none_or(|number| number > 1) {
            self.row(None, &drawn.gap, "");
        }
        let (mark, tone) = mark(step);
        let node = drawn.node.replace('*', &self.look.tint(tone, mark));
        let needs = names(plan, step);
        let arrow = if needs.is_empty() { String::new() } else { format!(" ← {needs}") };
        let name = self.look.tint(Tone::Strong, &clean(&step.name));
        let what = self.look.tint(Tone::Dim, &format!("  {}", what(step)));
        self.row(number, &node, &format!("{name}{arrow}{what}"));
        for note in notes(step) {
            self.row(None, &drawn.below, &format!("  {note}"));
        }
    }

    fn legend(&mut self, plan: &Plan) {
        let words = [
            ("◆", "point of no return", plan.steps().iter().any(|step| step.pivot)),
            ("◎", "runs whatever happened", plan.steps().iter().any(|step| step.always)),
            ("◌", "only if its condition holds", plan.steps().iter().any(only_if)),
        ];
        let used = words.iter().filter(|(_, _, used)| *used);
        let legend: Vec<String> = used.map(|(mark, word, _)| format!("{mark} {word}")).collect();
        if !legend.is_empty() {
            let legend = self.look.tint(Tone::Dim, &legend.join("   "));
            self.line("");
            self.line(&legend);
        }
    }
}

fn only_if(step: &Step) -> bool {
    step.when.is_some() && !step.pivot && !step.always
}

fn mark(step: &Step) -> (&'static str, Tone) {
    match (step.pivot, step.always, step.when.is_some()) {
        (true, ..) => ("◆", Tone::Bad),
        (_, true, _) => ("◎", Tone::Busy),
        (_, _, true) => ("◌", Tone::Busy),
        _ => ("●", Tone::Good),
    }
}

fn names(plan: &Plan, step: &Step) -> String {
    let names = step.needs.iter().map(|id| clean(&plan.step(*id).name));
    names.collect::<Vec<_>>().join(", ")
}

fn started_by(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Webhook(hook) => format!("webhook POST /hooks/{}", clean(&hook.path)),
        Trigger::Watch(watch) => format!(
            "watch {} every {} when {} ({})",
            clean(watch.plan.name()),
            span(watch.every_ms),
            clean(watch.when.source()),
            if watch.times == 1 { "once".to_owned() } else { format!("{} in a row", watch.times) },
        ),
        Trigger::Schedule(schedule) => format!("schedule {}", clean(&schedule.to_string())),
    }
}

/// What a step does, in a few words.
fn what(step: &Step) -> String {
    match &step.action {
        Action::Plugin(call) => format!("plugin {}", clean(&call.plugin)),
        Action::Workflow(child) => format!("workflow {}", clean(child.plan.name())),
        Action::Approval(approval) => {
            format!("asks a person, for {} at most", span(approval.timeout_ms))
        }
        Action::Wait { for_ms } => format!("waits {}", span(*for_ms)),
        Action::Report => "report".to_owned(),
    }
}

/// What bends a step's course, a line each.
fn notes(step: &Step) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(when) = &step.when {
        notes.push(format!("when {}", clean(when.source())));
    }
    if step.pivot {
        notes.push("point of no return".to_owned());
    }
    if step.always {
        notes.push("always runs".to_owned());
    }
    if let Some(each) = &step.for_each {
        let items = super::words::value(each.items.source());
        notes.push(format!("for each of {items}, {} at a time", each.parallel));
    }
    if let Some(poll) = &step.poll {
        let (every, within) = (span(poll.every_ms), span(poll.within_ms));
        let until = clean(poll.until.source());
        notes.push(format!("until {until}, every {every}, within {within}"));
    }
    if step.retry.attempts_max > 1 {
        notes.push(format!("up to {} attempts", step.retry.attempts_max));
    }
    match step.on_failure {
        OnFailure::Fail => {}
        OnFailure::Continue => notes.push("on failure: goes on".to_owned()),
        OnFailure::Ask => notes.push("on failure: asks a person".to_owned()),
    }
    if let Some(undo) = &step.undo {
        notes.push(format!("undone by plugin {}", clean(&undo.plugin)));
    }
    notes
}
