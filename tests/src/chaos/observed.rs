//! What was seen of one round. Numbers of nodes are the laboratory's; times are Unix ms.

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// What had not come to rest in the time there was.
    pub(super) restless: Option<String>,
    /// Transactions acknowledged to the trader.
    pub(super) acked: usize,
    /// When those were acknowledged that are not on the last master.
    pub(super) lost_at_ms: Vec<u64>,
    /// Transactions that are there more than once.
    pub(super) doubled: usize,
    /// The trader's longest silence after the first fault, ms.
    pub(super) gap_ms: Option<u64>,
    /// How long two nodes acknowledged probes beside each other, ms.
    pub(super) both_ms: u64,
    /// When each data node acknowledged probes, ms after the first fault, for people.
    pub(super) acknowledged: String,
    /// Who takes writes at the end.
    pub(super) master: Option<usize>,
    /// It holds none of the trader's transactions at all.
    pub(super) emptied: bool,
    /// What `detect-redis` calls it then.
    pub(super) evidence: Option<String>,
    /// Runs of `redis-failover`, oldest first.
    pub(super) runs: Vec<Run>,
    /// Runs of `redis-rejoin`.
    pub(super) debts: Vec<Debt>,
    /// Commands that change something, of all runs: `workflow step: command`.
    pub(super) changes: Vec<String>,
    /// What people were asked.
    pub(super) asked: Vec<String>,
    /// A Sentinel's timer stood still for two seconds (TILT): this machine did, and what is
    /// said of times says nothing. Sentinels do not act for half a minute then.
    pub(super) stalled: bool,
    /// A fenced node had to be taken back by hand.
    pub(super) by_hand: bool,
    /// Runs that cannot be read any more.
    pub(super) unreadable: Vec<String>,
    /// How often the engine died.
    pub(super) deaths: u32,
}

/// A run of `redis-failover`.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    pub(super) state: String,
    /// `pass`, `pass with declared loss`, `no failover`, or nothing.
    pub(super) verdict: String,
    /// Who was chosen, on disk, before anything was changed.
    pub(super) chosen: Option<usize>,
    /// Something was begun to promote somebody.
    pub(super) began: bool,
    /// Who was promoted or adopted.
    pub(super) promoted: Option<usize>,
    /// Somebody else had promoted it.
    pub(super) adopted: bool,
    /// Bytes that were declared lost, at most.
    pub(super) lost_bytes: u64,
    /// Until when the dead master's writes were seen.
    pub(super) seen_until_ms: Option<u64>,
    /// The run in a line, for people.
    pub(super) told: String,
}

/// A run of `redis-rejoin`.
#[derive(Clone, Debug, Default)]
pub(super) struct Debt {
    pub(super) state: String,
    /// The node came back as a master beside its successor.
    pub(super) held: bool,
    /// What the node alone held is in a file that is there.
    pub(super) kept: bool,
    pub(super) told: String,
}

/// Silence between two probes of a node that ends its time as one that acknowledges, ms.
const SILENCE_MS: u64 = 300;

/// How long two of these nodes acknowledged beside each other, ms. Each list has the times
/// of one node's acknowledgements, ascending.
pub(super) fn both_ms(nodes: &[Vec<u64>]) -> u64 {
    let spans: Vec<Vec<(u64, u64)>> = nodes.iter().map(|it| spans(it)).collect();
    let mut sum = 0;
    for (number, one) in spans.iter().enumerate() {
        for other in &spans[number + 1..] {
            for (from, to) in one {
                let shared =
                    |(begin, end): &(u64, u64)| to.min(end).saturating_sub(*from.max(begin));
                sum += other.iter().map(shared).sum::<u64>();
            }
        }
    }
    sum
}

/// When each node acknowledged, from `first_ms` on, as a person reads it.
pub(super) fn told(nodes: &[Vec<u64>], first_ms: u64) -> String {
    let each = nodes.iter().enumerate().map(|(number, times)| {
        let after = |time: u64| time.saturating_sub(first_ms);
        let spans = spans(times).into_iter();
        let spans = spans.map(|(from, to)| format!("{}-{}", after(from), after(to)));
        format!("data {number}: {}", spans.collect::<Vec<_>>().join(" "))
    });
    each.collect::<Vec<_>>().join("; ")
}

fn spans(times: &[u64]) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for time in times {
        match spans.last_mut() {
            Some(last) if time.saturating_sub(last.1) <= SILENCE_MS => last.1 = *time,
            _ => spans.push((*time, *time)),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::both_ms;

    #[test]
    fn only_what_two_do_at_once_counts() {
        let steady = |from: u64, to: u64| (from..=to).step_by(50).collect::<Vec<_>>();
        assert_eq!(both_ms(&[steady(0, 1_000), steady(1_050, 2_000), vec![]]), 0);
        assert_eq!(both_ms(&[steady(0, 1_000), steady(900, 2_000), vec![]]), 100);
        // Back after a silence: two times beside the other.
        let back = [steady(0, 1_000), steady(3_000, 3_200)].concat();
        assert_eq!(both_ms(&[back, steady(900, 5_000)]), 100 + 200);
        assert_eq!(both_ms(&[vec![], vec![]]), 0);
    }
}
