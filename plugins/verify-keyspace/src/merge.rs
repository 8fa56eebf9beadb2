//! What all slices gave, as one.
//!
//! SCAN ends at a key, which may stand behind the end of a slice: a key at a border can
//! be in two of them. Where all findings are listed they are counted anew, each once.

use crate::judge::{What, close, counted};
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
    all.findings.sort_by(|a, b| (a.database, &a.key).cmp(&(b.database, &b.key)));
    all.findings.dedup_by(|a, b| (a.database, &a.key) == (b.database, &b.key));
    if !all.truncated {
        for what in What::ALL {
            *counted(&mut all, what) = 0;
        }
        for at in 0..all.findings.len() {
            let what = all.findings[at].what;
            *counted(&mut all, what) += 1;
        }
    }
    all.seconds = (all.seconds * 1000.0).round() / 1000.0;
    close(&mut all);
    all.table = table(&all.findings);
    Ok(all)
}
