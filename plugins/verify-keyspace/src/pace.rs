//! How fast: no faster than asked, and slower while the nodes are slow to answer.

use crate::Input;
use baton_plugin::{Host, Level};

/// Keys of a page at most: about a tenth of a second of work.
const PAGE_MAX: u32 = 20_000;
/// Pages of one second, where the rate is bounded: the fewer keys at a time, the less a
/// client notices.
const PAGES_PER_SECOND: u32 = 40;
/// For a node that is slow to answer, ms.
const PAUSE_MS: u32 = 250;

/// Keeps the pace, and tells people how far it is.
pub(crate) struct Pace {
    begun_ms: u64,
    done: u64,
    total: u64,
    rate: u64,
    page: u32,
    latency_max_us: u64,
    is_slow: bool,
}

impl Pace {
    pub(crate) fn new<H: Host>(input: &Input, total: u64, host: &mut H) -> Self {
        let total = total / u64::from(input.slices.max(1));
        let page = match input.keys_per_second {
            0 => PAGE_MAX,
            rate => (rate / PAGES_PER_SECOND).clamp(100, PAGE_MAX),
        };
        Self {
            begun_ms: host.now_ms(),
            done: 0,
            total,
            rate: u64::from(input.keys_per_second),
            page,
            latency_max_us: u64::from(input.latency_max_ms) * 1000,
            is_slow: false,
        }
    }

    /// Keys to ask for at once.
    pub(crate) fn page(&self) -> u32 {
        self.page
    }

    /// So many keys more are done, and a node took so long to answer.
    pub(crate) fn went<H: Host>(&mut self, keys: u64, slowest_us: u32, what: &str, host: &mut H) {
        self.done += keys;
        let elapsed = host.now_ms().saturating_sub(self.begun_ms);
        let eta = match self.total.saturating_sub(self.done) {
            0 => String::new(),
            left if self.done > 0 => format!(", {} s to go", left * elapsed / self.done / 1000 + 1),
            _ => String::new(),
        };
        let total = self.total.max(self.done);
        host.report(self.done, Some(total), &format!("{what} {} keys{eta}", self.done));
        if u64::from(slowest_us) > self.latency_max_us {
            if !self.is_slow {
                let message = format!(
                    "a node took {} ms to answer a step of SCAN: pauses until it is quicker",
                    slowest_us / 1000
                );
                host.log(Level::Warn, &message);
            }
            self.is_slow = true;
            host.sleep(PAUSE_MS);
            return;
        }
        self.is_slow = false;
        if let Some(due) = (self.done * 1000).checked_div(self.rate) {
            let ahead = due.saturating_sub(elapsed);
            if ahead > 0 {
                host.sleep(u32::try_from(ahead).unwrap_or(u32::MAX));
            }
        }
    }
}
