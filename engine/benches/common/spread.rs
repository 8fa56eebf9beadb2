//! Samples in short.

use std::time::Duration;

/// Microseconds, to a tenth.
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Spread {
    pub(crate) fn of(samples: &[Duration]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
            sorted.get(index).map_or(0.0, |sample| tenths(sample.as_secs_f64() * 1e6))
        };
        Self { p50: at(50), p99: at(99) }
    }
}

/// To a tenth.
pub(crate) fn tenths(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}
