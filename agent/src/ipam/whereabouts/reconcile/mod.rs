//! The reconciler of the cluster's pools: frees what nobody holds any more.
//!
//! ```text
//!            every agent            the elected one
//!            ───────────            ───────────────
//!  pools ─▶  containers of its own  pods that are gone or have ended,
//!            pods that are gone     slices of nodes that are gone
//!               └──────▶ suspects ──(grace)──▶ asked again ──▶ freed, if the object still says the same
//! ```
//! [`decide`] says what is a leak, [`round`] reads and frees; whatever a living pod shows or a record of this node names
//! is kept.

pub mod decide;
pub mod election;
mod free;
pub mod hold;
mod lease;
mod node;
pub mod read;
mod round;
mod slices;
mod suspect;
mod suspects;
mod turn;

pub use self::free::Freed;
pub use self::node::{Counts, start};
pub use self::round::{Here, Pace, Reconciler};
use self::suspects::Suspects;

#[cfg(test)]
mod tests;
