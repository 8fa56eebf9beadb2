//! Whole markets in Redis: filled at the start, read back book by book.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail};
use redis::{Connection, Pipeline};

use crate::books::{self, Book, Command, Dice, Resting, Side};

/// Orders that each book begins with, on each side.
const RESTING_AT_FIRST: usize = 5;

/// The instruments of a market and the first order id that nobody has used.
#[derive(Clone, Debug)]
pub struct Market {
    /// Its instruments.
    pub isins: Vec<String>,
    /// The id of the next order; ids are never used twice.
    pub next_order: u64,
}

/// Writes the order books of `instruments` instruments by ordinary placements,
/// one transaction a book.
///
/// # Errors
/// When the server does not take them.
pub fn fill(connection: &mut Connection, instruments: usize, seed: u64) -> Result<Market> {
    let mut dice = Dice::new(seed);
    let mut market = Market { isins: Vec::with_capacity(instruments), next_order: 1 };
    for number in 1..=instruments {
        let isin = books::isin(number);
        let middle = books::middle(&isin);
        let mut book = Book::empty(&isin);
        let mut commands = Vec::new();
        for side in [Side::Bid, Side::Ask].repeat(RESTING_AT_FIRST) {
            let price = dice.passive_price(side, middle);
            commands.extend(book.place(market.next_order, side, price, 1 + dice.below(50)));
            market.next_order += 1;
        }
        transaction(&commands)
            .exec(connection)
            .with_context(|| format!("fill the order book of {isin}"))?;
        market.isins.push(isin);
    }
    Ok(market)
}

/// `commands` as one MULTI/EXEC.
pub fn transaction(commands: &[Command]) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for command in commands {
        if let [name, arguments @ ..] = command.as_slice() {
            pipeline.cmd(name).arg(arguments);
        }
    }
    pipeline
}

/// Reads one book as it stands.
///
/// # Errors
/// When the server does not answer or holds something that no trader wrote.
pub fn load(connection: &mut Connection, isin: &str) -> Result<Book> {
    let (seq, bids, asks): (u64, Vec<u64>, Vec<u64>) = redis::pipe()
        .cmd("HGET")
        .arg(books::meta_key(isin))
        .arg("seq")
        .cmd("ZRANGE")
        .arg(books::side_key(isin, Side::Bid))
        .arg(0)
        .arg(-1)
        .cmd("ZRANGE")
        .arg(books::side_key(isin, Side::Ask))
        .arg(0)
        .arg(-1)
        .query(connection)
        .with_context(|| format!("read the order book of {isin}"))?;
    let ids: Vec<u64> = bids.into_iter().chain(asks).collect();
    let mut pipeline = redis::pipe();
    for id in &ids {
        pipeline.cmd("HGETALL").arg(books::order_key(*id));
    }
    let orders: Vec<HashMap<String, String>> = pipeline.query(connection)?;
    let mut resting = BTreeMap::new();
    for (id, order) in ids.into_iter().zip(orders) {
        resting.insert(id, parse(&order).with_context(|| format!("order:{id} of {isin}"))?);
    }
    Ok(Book::found(isin, seq, resting))
}

fn parse(order: &HashMap<String, String>) -> Result<Resting> {
    let field = |name: &str| order.get(name).map(String::as_str);
    let side = match field("side") {
        Some("bid") => Side::Bid,
        Some("ask") => Side::Ask,
        other => bail!("side is {other:?}"),
    };
    let price = field("price").and_then(books::price_cents).context("no price in cents")?;
    let remaining = field("remaining").and_then(|text| text.parse().ok());
    Ok(Resting { side, price, remaining: remaining.context("no remaining")? })
}
