//! Order books, trades and risk on real servers: whole while a trader works as fast as it
//! can, and each damage named, halted and released.

use std::time::{Duration, Instant};

use baton_lab::trader::{Habits, Route, Trader};
use baton_lab::wait::wait_for;
use baton_lab::{Lab, Options, market, query};
use serde_json::Value;

use super::{leading, run, step, try_run};
use crate::house::House;

/// Everything that verify-redis can be asked for.
const ALL: [&str; 3] = ["trades=true", "risk=true", "gate=true"];

/// A market of some size in a cluster that Baton leads.
fn traded(instruments: usize, orders: usize) -> (Lab, House, market::Market) {
    let lab = Lab::start(Options::bondx()).unwrap();
    let mut connection = query::connect(&lab.data()[0].address(), None).unwrap();
    let market = market::fill_large(&mut connection, instruments, orders, 7).unwrap();
    let plugins = [
        "verify-replication",
        "verify-orderbook",
        "verify-trades",
        "verify-risk",
        "trading-gate",
        "require",
        "snapshot-orderbook",
    ];
    let house = leading(&lab, &["verify-redis", "orderbook-snapshot"], &plugins, "");
    (lab, house, market)
}

fn tell(lab: &Lab, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    query::ask::<redis::Value>(&lab.data()[0], &words).unwrap();
}

fn ask(lab: &Lab, line: &str) -> Vec<String> {
    query::ask(&lab.data()[0], &line.split(' ').collect::<Vec<_>>()).unwrap()
}

/// `invariant instrument key` of what a check of a run found.
fn found(run: &Value, check: &str) -> Vec<String> {
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
    let violations = step(run, check)["output"]["violations"].as_array().unwrap();
    let line = |it: &Value| {
        format!("{} {} {}", text(it, "invariant"), text(it, "instrument"), text(it, "key"))
    };
    violations.iter().map(line).collect()
}

#[test]
fn a_market_is_whole_while_a_trader_works_as_fast_as_it_can() {
    let (lab, house, market) = traded(30, 60);
    run(&house, "verify-redis", &ALL);
    let habits = Habits { name: "fast".to_owned(), rate_per_s: 100_000, seed: 5 };
    let trader = Trader::start(Route::of(&lab), market, &habits);
    wait_for("the trader trades", Duration::from_secs(20), || (trader.acked() > 200).then_some(()))
        .unwrap();
    let kept = run(&house, "orderbook-snapshot", &[]);
    assert_eq!(kept["output"]["instruments"], 30, "{kept:#}");
    for since in ["since=", "since=redis", "since="] {
        let (begun, before) = (Instant::now(), trader.acked());
        let verified = run(&house, "verify-redis", &[&ALL[..], &[since]].concat());
        let output = &verified["output"];
        assert_eq!(output["verdict"], "pass", "{verified:#}");
        for check in ["orderbook", "trades", "risk"] {
            assert_eq!(output[check]["verdict"], "pass", "{check}");
        }
        assert!(trader.acked_after(begun) > 50, "{before} before, and nearly none since");
        if since == "since=redis" {
            assert!(output["orderbook"]["since"]["moved"].as_u64() > Some(0), "{output:#}");
        }
        assert_eq!(output["gate"]["verdict"], "as it was");
    }
    trader.stop();
    let rest = run(&house, "verify-redis", &ALL);
    let account = &rest["output"]["risk"];
    assert!(account["trades"].as_u64() > Some(300), "{account:#}");
    assert_eq!((&account["accounts"], &account["unjudged"]), (&8.into(), &0.into()));
}

#[test]
fn each_damage_is_named_halted_and_released_when_it_is_mended() {
    let (lab, house, market) = traded(10, 60);
    let isin = &market.isins[3];
    let order = ask(&lab, &format!("ZRANGE book:{isin}:bids 0 0")).remove(0);
    let price: String =
        query::ask(&lab.data()[0], &["HGET", &format!("order:{order}"), "price"]).unwrap();
    let sum: String =
        query::ask(&lab.data()[0], &["HGET", &format!("book:{isin}:meta"), "ask_qty"]).unwrap();
    tell(&lab, "HSET trading:halted XS-BY-HAND anna");
    let damages = [
        (
            "orderbook",
            format!("ZADD book:{isin}:bids 1 {order}"),
            format!("ZADD book:{isin}:bids {price} {order}"),
            format!("price {isin} book:{isin}:bids"),
        ),
        (
            "orderbook",
            format!("HSET book:{isin}:meta ask_qty {sum}.5"),
            format!("HSET book:{isin}:meta ask_qty {sum}"),
            format!("sum {isin} book:{isin}:meta"),
        ),
        (
            "risk",
            format!("HSET risk:B9 position:{isin} 5 used 5 limit 9"),
            "DEL risk:B9".to_owned(),
            format!("position {isin} risk:B9"),
        ),
        (
            "risk",
            "HINCRBY risk:A1 used 1".to_owned(),
            "HINCRBY risk:A1 used -1".to_owned(),
            "used  risk:A1".to_owned(),
        ),
    ];
    for (check, damage, repair, named) in damages {
        tell(&lab, &damage);
        let (is_good, failed) = try_run(&house, "verify-redis", &ALL);
        assert!(!is_good, "{damage}");
        assert_eq!(found(&failed, check), std::slice::from_ref(&named), "{damage}");
        assert_eq!(step(&failed, "whole")["state"], "failed");
        let flags = ask(&lab, "HKEYS trading:halted");
        let flag = if named.starts_with("used") { "account:A1" } else { isin };
        assert!(flags.contains(&flag.to_owned()), "{damage}: {flags:?}");
        tell(&lab, &repair);
        let mended = run(&house, "verify-redis", &ALL);
        assert_eq!(mended["output"]["gate"]["verdict"], "changed", "{repair}");
        assert_eq!(ask(&lab, "HKEYS trading:halted"), ["XS-BY-HAND"], "{repair}");
    }
    // A trade that is gone cannot be put back: it stays the last.
    let entries: redis::Value =
        query::ask(&lab.data()[0], &["XRANGE", &format!("trades:{isin}"), "-", "+", "COUNT", "1"])
            .unwrap();
    let redis::Value::Array(entries) = entries else { panic!("{entries:?}") };
    let redis::Value::Array(entry) = &entries[0] else { panic!("{entries:?}") };
    let id: String = redis::from_redis_value(entry[0].clone()).unwrap();
    tell(&lab, &format!("XDEL trades:{isin} {id}"));
    let (is_good, failed) = try_run(&house, "verify-redis", &ALL);
    assert!(!is_good);
    let trades = found(&failed, "trades");
    assert!(trades.contains(&format!("continuity {isin} trades:{isin}")), "{trades:?}");
    assert!(trades.iter().all(|it| it.contains(isin.as_str())), "{trades:?}");
}
