//! A table for people in a step's output.

use crate::JsonSchema;
use serde::{Deserialize, Serialize};

/// A field `table` of an output is drawn as a table in the run's report and by
/// `baton show`; all other fields are data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Table {
    /// Headings.
    pub columns: Vec<String>,
    /// Each with a cell for each column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self { columns: columns.map(str::to_owned).into(), rows: Vec::new() }
    }
}
