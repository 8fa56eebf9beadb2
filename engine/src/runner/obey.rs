//! What people say to the engine as a whole, and what that holds back.

use baton_core::Millis;
use baton_core::id::{AttemptId, RunId};
use baton_core::run::event::TriggerKind;
use baton_core::run::{Effect, outstanding};
use tokio::sync::oneshot;

use super::stage::Stage;
use super::switches::{Brake, By, ByHand, Order, Switches};
use super::view::{HeldView, RunView, SeenView};
use super::{CommandError, Doing, Live, Runner};

/// An order that waits to be obeyed.
pub(super) struct Said {
    pub(super) order: Order,
    pub(super) by: By,
    pub(super) reply: oneshot::Sender<Result<(), CommandError>>,
}

impl Runner {
    /// Obeys what was said in this batch, before anything starts that it may hold back.
    pub(super) async fn obey(&mut self, stage: &mut Stage) {
        for Said { order, by, reply } in std::mem::take(&mut stage.orders) {
            let answer = self.do_as_told(stage, &order, by).await;
            let _ = reply.send(answer);
        }
    }

    async fn do_as_told(
        &mut self,
        stage: &mut Stage,
        order: &Order,
        by: By,
    ) -> Result<(), CommandError> {
        self.makes_sense(order)?;
        let who = by.who.clone();
        let next = self.switches.after(order, by, stage.now).map_err(CommandError::Illegal)?;
        let (place, kept) = (self.shelf.clone(), next.clone());
        tokio::task::spawn_blocking(move || place.keep(&kept))
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
            .map_err(CommandError::Unavailable)?;
        tracing::warn!(who, ?order, "told, and kept");
        self.switches = next;
        match order {
            Order::Pause { .. } | Order::Maintain { .. } => {}
            Order::Resume | Order::Finish { .. } | Order::Acknowledge { .. } => {
                self.held.clear();
                for (id, live) in &self.runs {
                    stage.owe_all(id, outstanding(&live.plan, &live.run));
                }
            }
        }
        self.changes.send_modify(|version| *version += 1);
        Ok(())
    }

    fn makes_sense(&self, order: &Order) -> Result<(), CommandError> {
        match order {
            Order::Maintain { cluster, .. } if !self.host.knows_cluster(cluster) => {
                Err(CommandError::Illegal(format!("baton.toml has no cluster `{cluster}`")))
            }
            Order::Acknowledge { run } => {
                let is_known = self.runs.contains_key(run)
                    || self.unreadable.contains_key(run)
                    || self.closed.iter().any(|closed| closed.run == *run);
                if is_known { Ok(()) } else { Err(CommandError::UnknownRun(run.clone())) }
            }
            Order::Pause { .. } | Order::Resume | Order::Maintain { .. } | Order::Finish { .. } => {
                Ok(())
            }
        }
    }

    /// Whether an attempt that is ready must wait; it is tried again when that ends.
    pub(super) fn is_held_back(&mut self, of: &Doing, now: Millis) -> bool {
        let Some(live) = self.runs.get(&of.run) else { return false };
        let Some(brake) = self.holding(live, of.attempt, now) else {
            self.held.remove(of);
            return false;
        };
        let (why, until) = (brake.said(), brake.until);
        if self.held.insert(of.clone()) {
            let step = &live.plan.step(of.attempt.place.step).name;
            tracing::warn!(run = %of.run, step, why, "held back");
        }
        if let Some(until) = until {
            self.timers.set(until, &of.run);
        }
        true
    }

    fn holding(&self, live: &Live, attempt: AttemptId, now: Millis) -> Option<&Brake> {
        if self.switches.brakes.is_empty() {
            return None;
        }
        let clusters = live.run.may_change(&live.plan, attempt)?;
        self.switches.holding(&clusters, self.by_hand(live), now)
    }

    /// What a person began goes on in a maintenance window, with all its child runs. A
    /// run that was let go acts of its own accord.
    fn by_hand(&self, live: &Live) -> ByHand {
        let mut begun = live.run.begun();
        while let Some(parent) = &begun.parent
            && let Some(above) = self.runs.get(&parent.run)
        {
            begun = above.run.begun();
        }
        if begun.trigger.kind == TriggerKind::Manual { ByHand::Yes } else { ByHand::No }
    }

    /// How many attempts are held back.
    pub(super) fn count_held(&mut self) -> usize {
        let runs = &self.runs;
        self.held.retain(|of| runs.contains_key(&of.run));
        self.held.len()
    }

    /// The switches at this time, those left out that have ended by themselves.
    pub(super) fn switches_at(&self, now: Millis) -> Switches {
        let brakes = self.switches.current(now).cloned().collect();
        Switches { brakes, ..self.switches.clone() }
    }

    /// Adds to a view of an open run what only the loop knows: what holds it back, what
    /// it waits for, who has seen it.
    pub(super) fn adorn(&self, view: &mut RunView, id: &RunId, now: Millis) {
        view.acknowledged = self.switches.seen(id).map(SeenView::from);
        let Some(live) = self.runs.get(id) else { return };
        for effect in outstanding(&live.plan, &live.run) {
            let Effect::Invoke { attempt } = effect else { continue };
            let Some(brake) = self.holding(live, attempt, now) else { continue };
            let step = &mut view.steps[usize::from(attempt.place.step.0)];
            let index = usize::try_from(attempt.place.item).unwrap_or(usize::MAX);
            let is_item = index < step.items.len();
            let shown = if is_item { &mut step.items[index] } else { step };
            "held".clone_into(&mut shown.state);
            shown.held = Some(HeldView::from(brake));
        }
        if live.run.is_queued() {
            view.note = view.note.take().or_else(|| self.waits_for(id, live, now));
        }
    }

    fn waits_for(&self, id: &RunId, live: &Live, now: Millis) -> Option<String> {
        let key = live.run.begun().key.as_deref()?;
        if let Some(holder) = self.index.holder(key) {
            return Some(format!("waits for run {holder}, which holds `{key}`"));
        }
        if let Some(first) = self.index.queue(key).first().filter(|first| *first != id) {
            return Some(format!(
                "waits for run {first}, which is before it in the queue of `{key}`"
            ));
        }
        let until = self.still_cooling(id, now)?;
        let (_, run) = self.index.acted(live.plan.name(), key)?;
        Some(format!(
            "waits {} s more: `{key}` cools down since run {run} acted; `baton ack {run} --reason WHY` ends that",
            until.saturating_sub(now).div_ceil(1_000)
        ))
    }
}

impl From<&Brake> for HeldView {
    fn from(brake: &Brake) -> Self {
        let end = match &brake.cluster {
            None => "baton resume --reason WHY".to_owned(),
            Some(_) => format!("baton maintenance end {} --reason WHY", brake.id),
        };
        Self { why: brake.said(), since: brake.from, until: brake.until, end }
    }
}

impl From<&super::switches::Acknowledged> for SeenView {
    fn from(seen: &super::switches::Acknowledged) -> Self {
        Self { at: seen.at, who: seen.by.who.clone(), reason: seen.by.reason.clone() }
    }
}
