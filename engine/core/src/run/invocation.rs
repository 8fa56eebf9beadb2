//! What an attempt is to do: the plan's templates, filled from the run.

use std::sync::Arc;

use crate::expression::{Scope, Template};
use crate::id::{AttemptId, Side};
use crate::run::event::{Call, Pin, TapeEntry};
use crate::run::fault::Fault;
use crate::run::place::Heard;
use crate::run::state::Run;
use crate::workflow::plan::{Action, Grants, Plan, PluginCall, RedisGrant, WhenInterrupted};
use crate::{Json, Millis};

/// An attempt's work, ready to be done.
#[derive(Clone, Debug)]
pub enum Invocation {
    /// Run a plugin.
    Plugin {
        /// Its name.
        name: String,
        /// The build to use.
        pin: Pin,
        /// Its input.
        input: Json,
        /// What it may reach; cluster names filled in.
        grants: Box<Grants>,
        /// Bound on its wall time, in milliseconds.
        timeout_ms: Millis,
        /// Changing calls of earlier attempts on the same side, oldest first.
        done: Vec<Done>,
        /// What becomes of what it hears.
        taping: Taping,
    },
    /// Begin a child run.
    Child {
        /// Its plan.
        plan: Arc<Plan>,
        /// Its params, not yet bound.
        params: Json,
        /// Until when it may act upon them; none: for ever.
        fresh_until: Option<Millis>,
    },
    /// Begin a run that outlives this one, and say which.
    Detached {
        /// Its plan.
        plan: Arc<Plan>,
        /// Its params, not yet bound.
        params: Json,
    },
    /// Render the run so far.
    Report,
}

/// What becomes of what an attempt hears from the world.
#[derive(Clone, Debug)]
pub enum Taping {
    /// Nothing: it can change nothing, so it can always be run again.
    Off,
    /// It is kept for people, ahead of the next change, as far as there is room: no
    /// attempt will go on from it.
    Note,
    /// It is kept, ahead of the next change; where there is no room for it, there is no
    /// change.
    Record,
    /// The attempt was cut off: it is run again on what it had heard, then goes on
    /// live and is kept further.
    Replay(Replay),
}

/// What an attempt that was cut off had heard and done.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    /// Answers, in the order they were heard.
    pub entries: Vec<Arc<TapeEntry>>,
    /// Its changing calls, with their outcomes as far as known.
    pub calls: Vec<Call>,
}

/// A changing call of an earlier attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// The attempt's number.
    pub attempt: u32,
    /// The call.
    pub call: Call,
}

impl Run {
    /// What `attempt` is to do.
    ///
    /// # Errors
    /// A permanent [`Fault`] if a template cannot be filled.
    pub fn invocation(&self, plan: &Plan, attempt: AttemptId) -> Result<Invocation, Fault> {
        let step = plan.step(attempt.place.step);
        let call = match (attempt.side, &step.action) {
            (Side::Undo, _) => step.undo.as_ref().ok_or_else(|| nothing_to_do(&step.name))?,
            (Side::Do, Action::Plugin(call)) => call,
            (Side::Do, Action::Report) => return Ok(Invocation::Report),
            (Side::Do, Action::Workflow(child)) => {
                let params = self.fill(plan, attempt, &child.with)?;
                if child.detached {
                    return Ok(Invocation::Detached { plan: Arc::clone(&child.plan), params });
                }
                let fresh_until = self.fresh_until(plan, attempt.place.step);
                return Ok(Invocation::Child {
                    plan: Arc::clone(&child.plan),
                    params,
                    fresh_until,
                });
            }
            (Side::Do, Action::Approval(_) | Action::Wait { .. }) => {
                return Err(nothing_to_do(&step.name));
            }
        };
        let heard = self.resumed(attempt);
        let taping = match heard {
            Some(heard) => Taping::Replay(Replay {
                entries: heard.entries.clone(),
                calls: self.calls_of(attempt),
            }),
            // What is undone was done by work that could change something.
            None if attempt.side == Side::Do && step.changes_nothing && !step.record => Taping::Off,
            None if self.policy(plan, attempt) == WhenInterrupted::Replay => Taping::Record,
            None => Taping::Note,
        };
        let pin = *self.begun().plugins.get(&call.plugin).ok_or_else(|| {
            Fault::permanent("no-plugin", format!("the run began without plugin `{}`", call.plugin))
        })?;
        Ok(Invocation::Plugin {
            name: call.plugin.clone(),
            pin,
            input: match heard {
                Some(heard) => (*heard.input).clone(),
                None => self.fill(plan, attempt, &call.with)?,
            },
            grants: Box::new(self.grants(call)?),
            timeout_ms: step.timeout_ms,
            done: self.done(attempt),
            taping,
        })
    }

    /// The clusters that `attempt` reaches while it may change something; none if it can
    /// change nothing by itself. A child run answers for its own steps.
    pub fn may_change(&self, plan: &Plan, attempt: AttemptId) -> Option<Vec<String>> {
        let step = plan.step(attempt.place.step);
        let call = match (attempt.side, &step.action) {
            (Side::Undo, _) => step.undo.as_ref()?,
            (Side::Do, Action::Plugin(call)) if !step.changes_nothing => call,
            (Side::Do, _) => return None,
        };
        // Grants that cannot be filled fail the attempt by themselves.
        let grants = self.grants(call).unwrap_or_default();
        Some(grants.redis.into_iter().map(|grant| grant.cluster).collect())
    }

    /// What `attempt` had heard, if it is one that goes on.
    fn resumed(&self, attempt: AttemptId) -> Option<&Heard> {
        let item = self.item(attempt.place)?;
        let lane = attempt.side as usize;
        let same = item.resumed[lane] && item.numbers[lane] == attempt.number;
        item.tapes[lane].as_ref().filter(|_| same)
    }

    /// What `attempt`, which is under way, has heard and is on disk; none if its tape
    /// has not begun.
    pub fn tape(&self, attempt: AttemptId) -> Option<&[Arc<TapeEntry>]> {
        let item = self.item(attempt.place)?;
        let lane = attempt.side as usize;
        let latest = item.numbers[lane] == attempt.number;
        item.tapes[lane].as_ref().filter(|_| latest).map(|heard| heard.entries.as_slice())
    }

    fn calls_of(&self, attempt: AttemptId) -> Vec<Call> {
        let Some(item) = self.item(attempt.place) else { return Vec::new() };
        let of_this = item.calls().iter().filter(|record| record.attempt == attempt);
        of_this.map(|record| record.call.clone()).collect()
    }

    fn fill(&self, plan: &Plan, attempt: AttemptId, template: &Template) -> Result<Json, Fault> {
        let variables = template.variables();
        // Most of what a step is given is written out in the workflow: nothing to look up.
        let scope = if variables.is_empty() {
            Scope::new()
        } else {
            self.scope(plan, attempt.place, &variables)
        };
        template
            .render(&scope)
            .map_err(|error| Fault::permanent("expression", format!("with: {error}")))
    }

    fn grants(&self, call: &PluginCall) -> Result<Grants, Fault> {
        let fill = |grant: &RedisGrant| {
            let name =
                grant.cluster.strip_prefix("${params.").and_then(|rest| rest.strip_suffix('}'));
            let Some(name) = name else { return Ok(grant.clone()) };
            let value = self.begun().params.get(name).and_then(Json::as_str).ok_or_else(|| {
                let message = format!("grants.redis.cluster: param `{name}` is not text");
                Fault::permanent("expression", message)
            })?;
            Ok(RedisGrant { cluster: value.to_owned(), ..grant.clone() })
        };
        let redis = call.grants.redis.iter().map(fill).collect::<Result<_, Fault>>()?;
        Ok(Grants { redis, ..call.grants.clone() })
    }

    fn done(&self, attempt: AttemptId) -> Vec<Done> {
        let Some(item) = self.item(attempt.place) else { return Vec::new() };
        item.calls()
            .iter()
            .filter(|record| {
                record.attempt.side == attempt.side && record.attempt.number < attempt.number
            })
            .map(|record| Done { attempt: record.attempt.number, call: record.call.clone() })
            .collect()
    }
}

fn nothing_to_do(step: &str) -> Fault {
    Fault::permanent("internal", format!("step `{step}` has nothing to run"))
}
