//! What must not be traded, from what checks found: the flags that gates set and clear.
//! Pure. A flag carries its reason and whose it is: what people have halted stays halted.

use baton_plugin::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The flag of the whole market.
pub const MARKET: &str = "*";
/// How reasons of ours begin.
const OURS: &str = "baton: ";
/// Characters of a reason.
const REASON_CHARS_MAX: usize = 300;
/// Flags of single instruments; beyond that the market is halted as a whole.
const FLAGS_MAX: usize = 1000;

/// One check's verdict: the fields of verify-orderbook's output, or verify-trades', or
/// verify-risk's, that matter here. Other fields are passed over.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct Checked {
    /// `fail`, or anything else.
    pub verdict: String,
    /// Instruments that must not be traded.
    #[serde(default)]
    pub halt: Vec<Halted>,
    /// How many those are, listed or not.
    #[serde(default)]
    pub halted: usize,
    /// Accounts that must not trade.
    #[serde(default)]
    pub halt_accounts: Vec<String>,
    /// How many those are.
    #[serde(default)]
    pub halted_accounts: usize,
}

/// One instrument that must not be traded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct Halted {
    /// Which.
    pub instrument: String,
    /// Why.
    #[serde(default)]
    pub reasons: Vec<Why>,
}

/// One reason.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct Why {
    /// The invariant that is broken.
    pub invariant: String,
    /// Where it shows.
    pub key: String,
}

/// What a gate is to bring about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Each flag that must be set, with its reason.
    pub flags: BTreeMap<String, String>,
    /// All checks were made: what is not wanted may be cleared.
    pub is_whole: bool,
}

/// From the checks, by name; null is a check that was not made to its end.
pub fn wanted(checks: &BTreeMap<String, Option<Checked>>) -> Wanted {
    let mut wanted = Wanted { is_whole: !checks.is_empty(), ..Wanted::default() };
    let mut reasons: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, check) in checks {
        let Some(check) = check else {
            wanted.is_whole = false;
            continue;
        };
        if check.verdict != "fail" {
            continue;
        }
        let mut flag = |of: String, why: String| {
            reasons.entry(of).or_default().insert(format!("{name}: {why}"));
        };
        for it in &check.halt {
            for why in &it.reasons {
                flag(it.instrument.clone(), format!("{} at {}", why.invariant, why.key));
            }
            if it.reasons.is_empty() {
                flag(it.instrument.clone(), "fail".into());
            }
        }
        for account in &check.halt_accounts {
            flag(format!("account:{account}"), "positions or limits".into());
        }
        let listed =
            check.halt.len() >= check.halted && check.halt_accounts.len() >= check.halted_accounts;
        if !listed {
            let (of, accounts) = (check.halted, check.halted_accounts);
            flag(
                MARKET.into(),
                format!("{of} instruments, {accounts} accounts: not all are listed"),
            );
        } else if check.halt.is_empty() && check.halt_accounts.is_empty() {
            flag(MARKET.into(), "fails, and of no single instrument".into());
        }
    }
    if reasons.len() > FLAGS_MAX {
        let why = format!("{} instruments and accounts", reasons.len());
        reasons = BTreeMap::from([(MARKET.to_owned(), BTreeSet::from([why]))]);
    }
    let text = |all: BTreeSet<String>| {
        let all = OURS.to_owned() + &all.into_iter().collect::<Vec<_>>().join("; ");
        all.chars().take(REASON_CHARS_MAX).collect::<String>()
    };
    wanted.flags = reasons.into_iter().map(|(flag, all)| (flag, text(all))).collect();
    wanted
}

/// What is to be done where these flags are set now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Set, or given another reason.
    pub set: BTreeMap<String, String>,
    /// Cleared.
    pub clear: Vec<String>,
}

impl Steps {
    /// Whether all is as wanted.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.clear.is_empty()
    }
}

/// From what is set now to what is wanted. What others have set is left alone.
pub fn steps(wanted: &Wanted, now: &BTreeMap<String, String>) -> Steps {
    let mut steps = Steps::default();
    for (flag, reason) in &wanted.flags {
        let may = now.get(flag).is_none_or(|it| it.starts_with(OURS) && it != reason);
        if may {
            steps.set.insert(flag.clone(), reason.clone());
        }
    }
    if wanted.is_whole {
        let ours = now.iter().filter(|(_, reason)| reason.starts_with(OURS));
        let over = ours.filter(|(flag, _)| !wanted.flags.contains_key(*flag));
        steps.clear = over.map(|(flag, _)| flag.clone()).collect();
    }
    steps
}

/// What a gate did.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Outcome {
    /// `changed`, `as it was`, or `no evidence`: a check was not made to its end, and
    /// nothing was cleared.
    pub verdict: String,
    /// In one sentence.
    pub reason: String,
    /// Flags that were set, or given another reason.
    pub set: Vec<String>,
    /// Flags that were cleared.
    pub cleared: Vec<String>,
    /// Everything that is halted now, with its reason; what others have halted too.
    pub halted: BTreeMap<String, String>,
}

/// What came of it, where these flags are set now; `set` and `cleared` in all tries.
pub fn outcome(
    wanted: &Wanted,
    set: BTreeSet<String>,
    cleared: BTreeSet<String>,
    now: BTreeMap<String, String>,
) -> Outcome {
    let changed = !set.is_empty() || !cleared.is_empty();
    let verdict = match (wanted.is_whole, changed) {
        (false, _) => "no evidence",
        (true, true) => "changed",
        (true, false) => "as it was",
    };
    let others = now.iter().filter(|(_, reason)| !reason.starts_with(OURS)).count();
    let reason = format!(
        "{} set, {} cleared; {} halted now, {others} of them by others",
        set.len(),
        cleared.len(),
        now.len()
    );
    Outcome {
        verdict: verdict.into(),
        reason,
        set: set.into_iter().collect(),
        cleared: cleared.into_iter().collect(),
        halted: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> BTreeMap<String, Option<Checked>> {
        serde_json::from_str(text).unwrap()
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, it)| ((*name).to_owned(), (*it).to_owned())).collect()
    }

    const FAILED: &str = r#"{"orderbook": {"verdict": "fail", "halted": 2, "other": 1, "halt": [
        {"instrument": "XS1", "violations": 9, "reasons": [
            {"invariant": "sum", "key": "book:XS1:meta"},
            {"invariant": "price", "key": "book:XS1:bids"}]},
        {"instrument": "XS2", "reasons": []}]},
        "risk": {"verdict": "fail", "halt_accounts": ["A1"], "halted_accounts": 1}}"#;

    #[test]
    fn what_failed_is_halted_with_its_reasons() {
        let wanted = wanted(&check(FAILED));
        assert!(wanted.is_whole);
        let expected = map(&[
            ("XS1", "baton: orderbook: price at book:XS1:bids; orderbook: sum at book:XS1:meta"),
            ("XS2", "baton: orderbook: fail"),
            ("account:A1", "baton: risk: positions or limits"),
        ]);
        assert_eq!(wanted.flags, expected);
    }

    #[test]
    fn ours_are_cleared_and_others_left_alone() {
        let wanted = wanted(&check(FAILED));
        let now = map(&[
            ("XS1", "suspended by the exchange"),
            ("XS2", "baton: orderbook: fail"),
            ("XS3", "baton: orderbook: sum at book:XS3:meta"),
            ("XS4", "anna looks into it"),
        ]);
        let steps = steps(&wanted, &now);
        assert_eq!(steps.set.keys().collect::<Vec<_>>(), ["account:A1"]);
        assert_eq!(steps.clear, ["XS3"]);
    }

    #[test]
    fn it_converges() {
        for text in [FAILED, r#"{"orderbook": {"verdict": "pass"}}"#] {
            let wanted = wanted(&check(text));
            let mut now = map(&[("XS9", "baton: old"), ("XS8", "by hand")]);
            let first = steps(&wanted, &now);
            first.clear.iter().for_each(|it| drop(now.remove(it)));
            now.extend(first.set);
            assert!(steps(&wanted, &now).is_empty());
            assert!(now.contains_key("XS8") && !now.contains_key("XS9"));
        }
    }

    #[test]
    fn without_all_evidence_nothing_is_cleared() {
        for text in [r#"{"orderbook": {"verdict": "pass"}, "trades": null}"#, "{}"] {
            let wanted = wanted(&check(text));
            let steps = steps(&wanted, &map(&[("XS1", "baton: old")]));
            assert!(steps.is_empty() && !wanted.is_whole);
        }
    }

    #[test]
    fn what_cannot_be_named_halts_the_market() {
        let flags = |text: &str| wanted(&check(text)).flags.into_keys().collect::<Vec<_>>();
        assert_eq!(flags(r#"{"x": {"verdict": "fail"}}"#), ["*"]);
        let cut = r#"{"x": {"verdict": "fail", "halted": 5000, "halt": [{"instrument": "XS1"}]}}"#;
        assert_eq!(flags(cut), ["*", "XS1"]);
        let many: Vec<String> =
            (0..1001).map(|it| format!(r#"{{"instrument": "XS{it}"}}"#)).collect();
        let many = format!(r#"{{"x": {{"verdict": "fail", "halt": [{}]}}}}"#, many.join(","));
        assert_eq!(flags(&many), ["*"]);
    }
}
