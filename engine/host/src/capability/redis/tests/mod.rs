//! The rule and the wire.
