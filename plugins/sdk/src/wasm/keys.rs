//! Keys that the host compares, from and to the generated types.

use super::redis;
use crate::redis::{Compared, Difference, Held, Holding, Holdings, Page, Unread};

pub(super) fn page(it: &Page) -> redis::Page {
    redis::Page {
        database: it.database,
        cursor: it.cursor,
        pattern: it.pattern.clone(),
        count: it.count,
    }
}

pub(super) fn compared(it: redis::Compared) -> Compared {
    let difference = |it: redis::Difference| Difference {
        key: it.key,
        left: it.left.map(holding),
        right: it.right.map(holding),
    };
    Compared {
        cursor: it.cursor,
        keys: it.keys,
        slowest_us: it.slowest_us,
        differences: it.differences.into_iter().map(difference).collect(),
        unread: it.unread.into_iter().map(unread).collect(),
    }
}

pub(super) fn holdings(it: redis::Holdings) -> Holdings {
    let held = |it: redis::Held| Held { key: it.key, holding: holding(it.holding) };
    Holdings {
        cursor: it.cursor,
        slowest_us: it.slowest_us,
        keys: it.keys.into_iter().map(held).collect(),
        unread: it.unread.into_iter().map(unread).collect(),
    }
}

fn holding(it: redis::Holding) -> Holding {
    Holding { kind: it.kind, digest: it.digest, size: it.size, expires_at_ms: it.expires_at_ms }
}

fn unread(it: redis::Unread) -> Unread {
    Unread { key: it.key, reason: it.reason }
}
