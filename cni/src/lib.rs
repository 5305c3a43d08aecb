//! CNI documents, network selection, planning and the wire protocol: pure, no I/O, no async.
//!
//! The agent, the shim and the benchmarks all speak through these types, so what a config or a result means is
//! decided in one place.

pub mod annotation;
pub mod args;
pub mod authorize;
pub mod config;
pub mod daemon_config;
pub mod default_route;
pub mod device_info;
pub mod devices;
pub mod env;
pub mod error;
pub mod hash;
pub mod json;
pub mod limits;
pub mod lines;
pub mod lint;
pub mod manifest;
pub mod meta;
pub mod nad;
pub mod name;
pub mod plan;
pub mod pod;
pub mod quantity;
pub mod result;
pub mod selection;
pub mod status;
pub mod stdin;
pub mod sysctl;
pub mod version;
pub mod wire;

pub use error::{CniError, Code};
pub use result::CniResult;
pub use version::Version;
