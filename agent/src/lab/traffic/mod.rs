//! Packets between namespaces, counted at both ends.

pub mod tcp;
pub mod udp;

pub use udp::{Flow, FlowReport, FlowSpec};
