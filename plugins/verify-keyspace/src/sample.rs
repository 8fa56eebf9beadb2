//! Some keys, drawn by the nodes themselves. What is found clean bounds what may be wrong.

use crate::judge::Suspects;
use crate::nodes::Sides;
use crate::{Input, TIMEOUT_MS};
use baton_plugin::redis::{Command, Request, Value};
use baton_plugin::{Fault, Host};
use std::collections::BTreeSet;

/// Keys drawn in one pipeline.
const TOGETHER: u32 = 1_000;
/// Keys drawn, at most.
const SAMPLE_MAX: u32 = 100_000;

/// Gives the number of different keys that were drawn.
pub(crate) fn compare<H: Host>(
    input: &Input,
    sides: &Sides,
    right: &str,
    suspects: &mut Suspects,
    host: &mut H,
) -> Result<u64, Fault> {
    if input.pattern != "*" {
        let why = "keys are drawn from all: a pattern goes with mode `full`";
        return Err(Fault::permanent("bad-input", why));
    }
    // To draw from another one would take SELECT, which is no read.
    if input.databases.as_ref().is_some_and(|it| *it != [0]) {
        let why = "keys are drawn from database 0: others go with mode `full`";
        return Err(Fault::permanent("bad-input", why));
    }
    // Half from each, so that what only the right one has is found as well.
    let wanted = input.sample_keys.min(SAMPLE_MAX);
    let mut drawn = draw(input, &sides.left, wanted.div_ceil(2), host)?;
    drawn.extend(draw(input, right, wanted.div_ceil(2), host)?);
    let drawn: Vec<Vec<u8>> = drawn.into_iter().collect();
    for some in drawn.chunks(TOGETHER as usize) {
        let some: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
        let found = host
            .compare_keys(&input.cluster, &sides.left, right, 0, &some, TIMEOUT_MS)
            .map_err(|error| Fault::from_redis("cannot compare keys", &error))?;
        suspects.add(0, found)?;
    }
    Ok(drawn.len() as u64)
}

fn draw<H: Host>(
    input: &Input,
    address: &str,
    count: u32,
    host: &mut H,
) -> Result<BTreeSet<Vec<u8>>, Fault> {
    let what = format!("cannot draw keys of {address}");
    let mut drawn = BTreeSet::new();
    let mut left = count;
    while left > 0 {
        let now = left.min(TOGETHER);
        left -= now;
        let some = (0..now).map(|_| Command::line("RANDOMKEY"));
        let request = Request::new(address, some.collect());
        let replies = host
            .call(&input.cluster, &[request], TIMEOUT_MS)
            .map_err(|error| Fault::from_redis(&what, &error))?
            .pop()
            .unwrap_or(Ok(Vec::new()))
            .map_err(|error| Fault::from_redis(&what, &error))?;
        if let Some(refusal) = replies.iter().find_map(Value::error) {
            return Err(Fault::retryable("refused", format!("{what}: {refusal}")));
        }
        drawn.extend(
            replies
                .into_iter()
                .filter_map(|it| if let Value::Bulk(key) = it { Some(key) } else { None }),
        );
    }
    Ok(drawn)
}

/// How much may be wrong at most, in hundredths, with 95 % confidence, where none of
/// `clean` keys was: 1 - 0.05^(1/n).
pub(crate) fn corrupt_percent_max(clean: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a sample has at most 100,000 keys")]
    let clean = clean as f64;
    if clean < 1.0 { 100.0 } else { (1.0 - 0.05_f64.powf(1.0 / clean)) * 100.0 }
}
