//! What the host says of keys that it compares: values never reach a plugin, so that a
//! million of them cost seconds.

/// A page of a key space, as SCAN walks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its number.
    pub database: u32,
    /// 0 at the beginning; then what the last page gave.
    pub cursor: u64,
    /// Of keys, as SCAN's MATCH takes it.
    pub pattern: String,
    /// Keys to walk over, whether they match or not, as SCAN's COUNT takes it; 100,000 at
    /// most.
    pub count: u32,
}

/// What a key holds, in short. Equal if, and only if, the values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// As TYPE spells it.
    pub kind: String,
    /// Of the value in canonical form, hexadecimal.
    pub digest: String,
    /// Elements; of a string its bytes.
    pub size: u64,
    /// Unix ms; none: it does not expire.
    pub expires_at_ms: Option<u64>,
}

/// A key of which two nodes do not hold the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: Vec<u8>,
    /// What the left node holds.
    pub left: Option<Holding>,
    /// What the right node holds.
    pub right: Option<Holding>,
}

/// A key that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The key.
    pub key: Vec<u8>,
    /// Why.
    pub reason: String,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// For the next page; 0: that was the last.
    pub cursor: u64,
    /// Keys looked at. SCAN may give one twice.
    pub keys: u32,
    /// Longest time that a scan took to be answered, microseconds.
    pub slowest_us: u32,
    /// What differs, read twice.
    pub differences: Vec<Difference>,
    /// What nothing can be said of.
    pub unread: Vec<Unread>,
}

impl Compared {
    /// The same, seen from the other side.
    #[must_use]
    pub fn swapped(mut self) -> Self {
        for it in &mut self.differences {
            std::mem::swap(&mut it.left, &mut it.right);
        }
        self
    }
}

/// A key, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The key.
    pub key: Vec<u8>,
    /// What it holds.
    pub holding: Holding,
}

/// What one node holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// For the next page; 0: that was the last.
    pub cursor: u64,
    /// Longest time that a scan took to be answered, microseconds.
    pub slowest_us: u32,
    /// Key by key.
    pub keys: Vec<Held>,
    /// What nothing can be said of.
    pub unread: Vec<Unread>,
}
