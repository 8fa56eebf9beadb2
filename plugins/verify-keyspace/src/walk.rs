//! Every key: what the left node has is compared, what only the right one has is found by
//! walking over that.

use crate::judge::Suspects;
use crate::nodes::Sides;
use crate::pace::Pace;
use crate::{Input, TIMEOUT_MS};
use baton_plugin::redis::Page;
use baton_plugin::{Fault, Host};

/// Gives the number of keys that were looked at on the left.
pub(crate) fn compare<H: Host>(
    input: &Input,
    sides: &Sides,
    right: &str,
    suspects: &mut Suspects,
    host: &mut H,
) -> Result<u64, Fault> {
    let left = sides.left.as_str();
    let mut pace = Pace::new(input, sides.total(), host);
    let mut keys = 0;
    for &database in &sides.databases {
        let mut page = at(input, database, pace.page());
        loop {
            let found = host
                .compare(&input.cluster, left, right, &page, TIMEOUT_MS)
                .map_err(|error| Fault::from_redis("cannot compare keys", &error))?;
            keys += u64::from(found.keys);
            page.cursor = found.cursor;
            pace.went(u64::from(found.keys), found.slowest_us, "compared", host);
            suspects.add(database, found, false)?;
            if page.cursor == 0 {
                break;
            }
        }
    }
    let mut pace = Pace::new(input, sides.total(), host);
    for &database in &sides.databases {
        let mut page = at(input, database, pace.page());
        loop {
            let found = host
                .absent(&input.cluster, right, left, &page, TIMEOUT_MS)
                .map_err(|error| Fault::from_redis("cannot look for extra keys", &error))?;
            page.cursor = found.cursor;
            pace.went(u64::from(found.keys), found.slowest_us, "looked for extra keys among", host);
            suspects.add(database, found, true)?;
            if page.cursor == 0 {
                break;
            }
        }
    }
    Ok(keys)
}

pub(crate) fn at(input: &Input, database: u32, count: u32) -> Page {
    Page { database, cursor: 0, pattern: input.pattern.clone(), count }
}
