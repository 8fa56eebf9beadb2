//! A key space of every type, made from a seed, and written fast.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use redis::{Connection, Pipeline};

use crate::books::Dice;

/// Keys written in one pipeline.
const TOGETHER: usize = 1_000;

/// Writes `count` keys of about 200 bytes each: of 20 keys 10 strings, 5 hashes, a list, a
/// set, a sorted set, a stream, and a string that expires in a day.
///
/// # Errors
/// When the server does not take them.
pub fn fill(connection: &mut Connection, count: usize, seed: u64) -> Result<()> {
    let mut dice = Dice::new(seed);
    for begin in (0..count).step_by(TOGETHER) {
        let mut pipeline = redis::pipe();
        for number in begin..count.min(begin + TOGETHER) {
            add(&mut pipeline, number, &mut dice);
        }
        pipeline.exec(connection).with_context(|| format!("fill keys from {begin} on"))?;
    }
    Ok(())
}

fn add(pipeline: &mut Pipeline, number: usize, dice: &mut Dice) {
    let mut text = |digits: usize| {
        (0..digits / 8).fold(String::new(), |mut text, _| {
            write!(text, "{:08x}", dice.below(1 << 32)).expect("text takes it");
            text
        })
    };
    match number % 20 {
        0..10 => {
            pipeline.cmd("SET").arg(format!("string:{number}")).arg(text(200));
        }
        10..15 => {
            pipeline.cmd("HSET").arg(format!("hash:{number}"));
            for field in 0..5 {
                pipeline.arg(format!("field{field}")).arg(text(32));
            }
        }
        15 => {
            pipeline.cmd("RPUSH").arg(format!("list:{number}"));
            (0..12).for_each(|_| {
                pipeline.arg(text(16));
            });
        }
        16 => {
            pipeline.cmd("SADD").arg(format!("set:{number}"));
            (0..12).for_each(|_| {
                pipeline.arg(text(16));
            });
        }
        17 => {
            pipeline.cmd("ZADD").arg(format!("zset:{number}"));
            for place in 0..10 {
                pipeline.arg(format!("{place}.25")).arg(text(16));
            }
        }
        18 => {
            pipeline.cmd("XADD").arg(format!("stream:{number}")).arg("1-1");
            pipeline.arg("a").arg(text(96)).arg("b").arg(text(96));
        }
        _ => {
            pipeline
                .cmd("SET")
                .arg(format!("expiring:{number}"))
                .arg(text(200))
                .arg("EX")
                .arg(86_400);
        }
    }
    pipeline.ignore();
}
