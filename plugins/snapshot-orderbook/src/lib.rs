//! `snapshot-orderbook`: keeps what the order books are now, to verify against later.
//!
//! One line an instrument, each read at one sequence number. The fingerprint is the
//! step's output, and where a key is given it is also stored there, on the master, so that
//! `verify-orderbook` finds it (`since = "redis"`). It judges nothing.

use baton_books::fingerprint::{self, BYTES_MAX, take};
use baton_books::{Fields, Fingerprint, INSTRUMENTS_MAX, Keys, Source};
use baton_plugin::redis::Command;
use baton_plugin::{About, Fault, Host, JsonSchema, Mode, Plugin};
use serde::{Deserialize, Serialize};

/// What to keep, and where.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A cluster of baton.toml.
    pub cluster: String,
    /// The node to read; absent or null: the one that says it is master.
    pub master: Option<String>,
    /// Instruments to keep; absent or null: all that have a meta hash.
    pub instruments: Option<Vec<String>>,
    /// Where the fingerprint is stored, `baton:orderbook:fingerprint` if absent; null or
    /// empty: nowhere.
    #[serde(default = "key")]
    pub key: Option<String>,
    /// Templates of keys.
    #[serde(default)]
    pub keys: Keys,
    /// Names of fields.
    #[serde(default)]
    pub fields: Fields,
}

#[expect(clippy::unnecessary_wraps, reason = "serde's default is of the field's type")]
fn key() -> Option<String> {
    Some(fingerprint::KEY.to_owned())
}

/// What was kept.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The node that was read.
    pub master: String,
    /// Instruments in the fingerprint.
    pub instruments: usize,
    /// Bytes of the fingerprint.
    pub bytes: usize,
    /// Where it was stored; null: nowhere, as in a cluster of mode `observe`.
    pub key: Option<String>,
    /// Instruments left out: their seq is no number, or they never stood still while they
    /// were read.
    pub left_out: usize,
    /// Which; at most 1000.
    pub left_out_instruments: Vec<String>,
    /// The fingerprint, as verify-orderbook takes it (`since`).
    pub fingerprint: Fingerprint,
}

/// The plugin.
pub struct SnapshotOrderbook;

impl Plugin for SnapshotOrderbook {
    type Input = Input;
    type Output = Output;

    fn about() -> About {
        About {
            name: "snapshot-orderbook",
            version: env!("CARGO_PKG_VERSION"),
            summary: "Keeps what the order books are now, to verify against later",
            redis_commands: &["ROLE", "SCAN", "HMGET", "ZCARD", "XINFO|STREAM", "SET"],
            when_interrupted: "rerun",
        }
    }

    fn run<H: Host>(input: Input, host: &mut H) -> Result<Output, Fault> {
        let source = Source::find(&input.cluster, input.master.as_deref(), host)?;
        let taken_at_ms = host.now_ms();
        let wanted = input.instruments.as_deref();
        let isins = source.instruments(&input.keys, wanted, None, host)?;
        let taken = take(&source, &input.keys, &input.fields, &isins, host)?;
        let mut left_out: Vec<String> =
            isins.into_iter().filter(|isin| !taken.lines.contains_key(isin)).collect();
        let fingerprint = Fingerprint {
            taken_at_ms,
            master: source.address.clone(),
            instruments: taken.lines.into_values().collect(),
        };
        let text = serde_json::to_string(&fingerprint)
            .map_err(|error| Fault::permanent("internal", error.to_string()))?;
        if text.len() > BYTES_MAX {
            let why = format!(
                "the fingerprint of {} instruments has {} bytes, of at most {BYTES_MAX}: give \
                 `instruments`, and take several",
                fingerprint.instruments.len(),
                text.len()
            );
            return Err(Fault::permanent("too-many-instruments", why));
        }
        // Where nothing may be changed it is given and not stored.
        let mode = host.describe_cluster(&source.cluster).map(|it| it.mode);
        let may_store = !matches!(mode, Ok(Mode::Observe));
        let key = input.key.filter(|it| may_store && !it.is_empty());
        if let Some(key) = &key {
            source.ask(&[Command::of(["SET", key, &text])], host)?;
        }
        let left_out_count = left_out.len();
        left_out.truncate(INSTRUMENTS_MAX);
        Ok(Output {
            master: source.address,
            instruments: fingerprint.instruments.len(),
            bytes: text.len(),
            key,
            left_out: left_out_count,
            left_out_instruments: left_out,
            fingerprint,
        })
    }
}

baton_plugin::export!(SnapshotOrderbook);

#[cfg(test)]
mod tests {
    use super::*;
    use baton_books::testing::{Scene, Store};
    use baton_plugin::testing::FakeCluster;

    fn input(more: &str) -> Input {
        serde_json::from_str(&format!(r#"{{"cluster": "bondx"{more}}}"#)).unwrap()
    }

    fn snapshot(input: Input, store: &Store) -> Result<Output, Fault> {
        let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], store.clone());
        SnapshotOrderbook::run(input, &mut host)
    }

    #[test]
    fn a_fingerprint_is_given_and_stored_and_both_are_the_same() {
        let scene = Scene::new(1, 3, 20);
        let store = scene.store();
        let output = snapshot(input(""), &store).unwrap();
        assert_eq!((output.instruments, output.left_out), (3, 0));
        let line = &output.fingerprint.instruments[1];
        assert_eq!((line.isin(), line.seq()), (scene.books[1].isin(), scene.books[1].seq()));
        assert_eq!(line.trades(), Some(scene.books[1].trades()));
        let stored = store.data.borrow_mut().line("GET baton:orderbook:fingerprint");
        let stored: Fingerprint = serde_json::from_str(&stored.text().unwrap()).unwrap();
        assert_eq!(stored, output.fingerprint);
    }

    #[test]
    fn nothing_is_stored_where_no_key_is_given() {
        for none in [r#", "key": null"#, r#", "key": """#] {
            let scene = Scene::new(1, 1, 5);
            let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], scene.store());
            let output = SnapshotOrderbook::run(input(none), &mut host).unwrap();
            assert_eq!((output.key, host.count_sent(" SET ")), (None, 0));
        }
        let mut host = FakeCluster::with_responder("bondx", &["n:1"], &[], Store::default());
        host.cluster.mode = Mode::Observe;
        let output = SnapshotOrderbook::run(input(""), &mut host).unwrap();
        assert_eq!((output.key, host.count_sent(" SET ")), (None, 0));
    }

    #[test]
    fn every_line_is_of_one_sequence_number_though_a_trader_works() {
        for seed in 0..200 {
            let scene = Scene::new(seed, 4, 12);
            let store = scene.traded(2, 30);
            let output = snapshot(input(""), &store).unwrap();
            *store.meanwhile.borrow_mut() = None;
            // What stands still at the end is what a second one says of it.
            let after = snapshot(input(""), &store).unwrap().fingerprint.instruments;
            for (then, now) in output.fingerprint.instruments.iter().zip(&after) {
                assert!(then.seq() <= now.seq());
                if then.seq() == now.seq() {
                    assert_eq!(then, now, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn five_thousand_instruments_fit_and_too_many_are_refused_with_what_to_do() {
        let mut scene = Scene::new(1, 0, 0);
        let add = |scene: &mut Scene, from: usize, to: usize| {
            for number in from..to {
                let fields = "seq 123456789 bid_qty 123456789.5 ask_qty 123456789.5";
                let key = format!("book:XS{number:010}:meta");
                scene.data.line(&format!("HSET {key} {fields} checksum 0123456789abcdef"));
            }
        };
        add(&mut scene, 0, 5000);
        let output = snapshot(input(""), &scene.store()).unwrap();
        assert!(output.instruments == 5000 && output.bytes < BYTES_MAX / 2, "{}", output.bytes);
        add(&mut scene, 5000, 15_000);
        let fault = snapshot(input(""), &scene.store()).unwrap_err();
        assert_eq!(fault.code, "too-many-instruments");
        assert!(fault.message.contains("15000 instruments"), "{}", fault.message);
    }

    #[test]
    fn what_has_no_sequence_number_is_left_out_and_named() {
        let mut scene = Scene::new(1, 2, 5);
        let isin = scene.isin(0);
        scene.data.line(&format!("HSET book:{isin}:meta seq x"));
        let output = snapshot(input(""), &scene.store()).unwrap();
        assert_eq!((output.instruments, output.left_out_instruments), (1, vec![isin]));
    }
}
