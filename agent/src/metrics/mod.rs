//! The metrics page (docs/metrics.md) and the probes.
//!
//! ```text
//! worker, chain ─▶ requests ─┐
//! records, data plane, cache ┴─▶ node (at each scrape) ─▶ page: /metrics /healthz /readyz
//! ```

mod cluster;
mod dhcp;
mod ipam;
mod listener;
mod node;
mod page;
mod pools;
mod ports;
mod readiness;
mod requests;
mod series;

pub use node::Node;
pub use page::{Page, bind};
pub use requests::Requests;
