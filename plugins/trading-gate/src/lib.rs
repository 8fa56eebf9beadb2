//! `trading-gate`: sets and clears trading flags in Redis by what checks found.
//!
//! The flags are the fields of one hash, an instrument each, `*` for the whole market; the
//! value is the reason. It looks before it acts, changes what is not as it should be, and
//! looks again: run it as often as you like. What others have set it leaves alone.

use baton_books::Source;
use baton_books::gate::{Checked, Outcome, outcome, steps, wanted};
use baton_plugin::redis::{Command, Value};
use baton_plugin::{About, Fault, Host, JsonSchema, Plugin};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// How often it looks whether all is as it should be.
const TRIES_MAX: u32 = 3;
/// Flags in one command.
const FLAGS_AT_ONCE: usize = 100;

/// What was found, and where the flags are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The node to write to; absent or null: the one that says it is master.
    pub master: Option<String>,
    /// The hash of flags.
    #[serde(default = "key")]
    pub key: String,
    /// Outputs of checks by name, whole or as much of them as matters; null: the check was
    /// not made to its end, and nothing is cleared.
    pub checks: BTreeMap<String, Option<Checked>>,
}

fn key() -> String {
    "trading:halted".to_owned()
}

/// The plugin.
pub struct TradingGate;

impl Plugin for TradingGate {
    type Input = Input;
    type Output = Outcome;

    fn about() -> About {
        About {
            name: "trading-gate",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Sets and clears trading flags in Redis by what checks found",
            redis_commands: &["ROLE", "HGETALL", "HSET", "HDEL"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Outcome, Fault> {
        let source = Source::find(&input.cluster, input.master.as_deref(), host)?;
        let wanted = wanted(&input.checks);
        let (mut set, mut cleared) = (BTreeSet::new(), BTreeSet::new());
        let mut now = flags(&source, &input.key, host)?;
        for _ in 0..TRIES_MAX {
            let steps = steps(&wanted, &now);
            if steps.is_empty() {
                return Ok(outcome(&wanted, set, cleared, now));
            }
            let pairs: Vec<(&String, &String)> = steps.set.iter().collect();
            for piece in pairs.chunks(FLAGS_AT_ONCE) {
                let fields = piece.iter().flat_map(|(flag, reason)| [flag.as_str(), reason]);
                let words = ["HSET", &input.key].into_iter().chain(fields);
                source.ask(&[Command::of(words)], host)?;
            }
            for piece in steps.clear.chunks(FLAGS_AT_ONCE) {
                let words =
                    ["HDEL", &input.key].into_iter().chain(piece.iter().map(String::as_str));
                source.ask(&[Command::of(words)], host)?;
            }
            set.extend(steps.set.into_keys());
            cleared.extend(steps.clear);
            now = flags(&source, &input.key, host)?;
        }
        let why = format!(
            "{} on {} is not as it was written {TRIES_MAX} times: somebody else writes there",
            input.key, source.address
        );
        Err(Fault::retryable("not-so", why))
    }
}

fn flags<H: Host>(
    source: &Source,
    key: &str,
    host: &mut H,
) -> Result<BTreeMap<String, String>, Fault> {
    let all = source.ask(&[Command::of(["HGETALL", key])], host)?.pop().unwrap_or(Value::Null);
    let text = |it: &Value| it.text().map(std::borrow::Cow::into_owned);
    Ok(all.pairs().into_iter().filter_map(|(name, it)| Some((text(name)?, text(it)?))).collect())
}

baton_plugin::export!(TradingGate);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_books::testing::Store;
    use baton_plugin::testing::{CRASH, FakeCluster};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn input(checks: &str) -> Input {
        serde_json::from_str(&format!(r#"{{"cluster": "bondx", "checks": {checks}}}"#)).unwrap()
    }

    const FAIL: &str = r#"{"orderbook": {"verdict": "fail", "halted": 2, "halt": [
        {"instrument": "XS1", "reasons": [{"invariant": "sum", "key": "book:XS1:meta"}]},
        {"instrument": "XS2", "reasons": [{"invariant": "side", "key": "book:XS2:bids"}]}]}}"#;
    const PASS: &str = r#"{"orderbook": {"verdict": "pass", "halted": 0}}"#;

    fn host(store: &Store) -> FakeCluster<Store> {
        FakeCluster::with_responder("bondx", &["n:1"], &[], store.clone())
    }

    fn is_halted(store: &Store, flag: &str) -> bool {
        store.data.borrow().field("trading:halted", flag).is_some()
    }

    #[test]
    fn flags_are_set_once_and_cleared_once() {
        let store = Store::default();
        store.data.borrow_mut().line("HSET trading:halted XS9 by-hand");
        let gate = |checks: &str| {
            let mut host = host(&store);
            let outcome = TradingGate::run(input(checks), &mut host).unwrap();
            (outcome.verdict, host.count_sent("HSET") + host.count_sent("HDEL"))
        };
        assert_eq!(gate(FAIL), ("changed".into(), 1));
        assert_eq!(gate(FAIL), ("as it was".into(), 0));
        assert!(is_halted(&store, "XS1") && is_halted(&store, "XS2"));
        assert_eq!(gate(r#"{"orderbook": null}"#), ("no evidence".into(), 0));
        assert!(is_halted(&store, "XS1"));
        assert_eq!(gate(PASS), ("changed".into(), 1));
        assert_eq!(gate(PASS), ("as it was".into(), 0));
        assert!(!is_halted(&store, "XS1") && is_halted(&store, "XS9"));
    }

    #[test]
    fn it_converges_wherever_it_is_cut_off() {
        for after in 0..6 {
            let store = Store::default();
            store.data.borrow_mut().apply(&[["HSET", "trading:halted", "XS3", "baton: old"]
                .map(str::to_owned)
                .to_vec()]);
            let mut first = host(&store);
            first.crash_after = Some(after);
            let run = catch_unwind(AssertUnwindSafe(|| TradingGate::run(input(FAIL), &mut first)));
            if let Err(panic) = &run {
                let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                assert!(text.contains(CRASH), "{text}");
            }
            TradingGate::run(input(FAIL), &mut host(&store)).unwrap();
            assert!(is_halted(&store, "XS1") && is_halted(&store, "XS2"));
            assert!(!is_halted(&store, "XS3"));
        }
    }

    #[test]
    fn somebody_who_writes_against_it_is_named_and_not_fought_for_ever() {
        let store = Store::default().beside(|data, _| {
            data.line("DEL trading:halted");
        });
        let fault = TradingGate::run(input(FAIL), &mut host(&store)).unwrap_err();
        assert_eq!(fault.code, "not-so");
    }

    #[test]
    fn the_market_is_halted_where_no_instrument_is_named() {
        let store = Store::default();
        TradingGate::run(input(r#"{"orderbook": {"verdict": "fail"}}"#), &mut host(&store))
            .unwrap();
        assert!(is_halted(&store, "*"));
    }
}
