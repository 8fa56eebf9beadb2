//! To come with its first use.
