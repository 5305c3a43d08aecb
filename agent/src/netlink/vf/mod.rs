//! Virtual functions, as their physical one sees and sets them.

mod change;
mod read;
mod state;

pub use state::{VfChange, VfLinkState, VfRates, VfState, VfVlan, VlanProtocol};
