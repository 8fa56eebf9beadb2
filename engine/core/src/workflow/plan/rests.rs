//! What a step rests on.

use std::collections::BTreeSet;

use super::Plan;
use crate::id::StepId;

impl Plan {
    /// Every step that `id` rests on, directly or not.
    pub fn above(&self, id: StepId) -> BTreeSet<StepId> {
        let mut above: BTreeSet<StepId> = self.step(id).needs.iter().copied().collect();
        for earlier in (0..id.0).rev().map(StepId) {
            if above.contains(&earlier) {
                above.extend(self.step(earlier).needs.iter().copied());
            }
        }
        above
    }
    /// What an attempt heard is evidence as well: its tape is played no longer than the
    /// shortest shelf life among what it rests on.
    pub(crate) fn with_replays_bounded(mut self) -> Self {
        for id in self.ids() {
            let above = self.above(id);
            let lives = above.iter().filter_map(|above| self.step(*above).fresh_for_ms);
            if let Some(shortest) = lives.min() {
                let step = &mut self.steps[usize::from(id.0)];
                step.replay_within_ms = step.replay_within_ms.min(shortest);
            }
        }
        self
    }
}
