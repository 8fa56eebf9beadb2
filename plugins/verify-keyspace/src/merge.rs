//! What all slices gave, as one.

use crate::judge::close;
use crate::{Output, table};
use baton_plugin::Fault;

/// Adds up the parts.
pub(crate) fn merge(parts: Vec<Output>) -> Result<Output, Fault> {
    let mut parts = parts.into_iter();
    let Some(mut all) = parts.next() else {
        return Err(Fault::permanent(
            "bad-input",
            "mode `merge` needs `parts`, the outputs of slices",
        ));
    };
    if parts.len() == 0 {
        return Ok(all);
    }
    for part in parts {
        if (&part.left, &part.right) != (&all.left, &all.right) {
            let why = format!(
                "a slice compared {} and not {}: the master changed meanwhile; compare again",
                part.left, all.left
            );
            return Err(Fault::permanent("other-nodes", why));
        }
        all.keys += part.keys;
        all.seconds += part.seconds;
        all.missing += part.missing;
        all.extra += part.extra;
        all.different += part.different;
        all.expiry += part.expiry;
        all.expiring += part.expiring;
        all.unsettled += part.unsettled;
        all.unread += part.unread;
        all.converged += part.converged;
        all.behind_bytes = all.behind_bytes.max(part.behind_bytes);
        all.truncated |= part.truncated;
        all.findings.extend(part.findings);
    }
    close(&mut all);
    all.table = table(&all.findings);
    Ok(all)
}
