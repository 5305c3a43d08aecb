//! A throw-away node for tests and benchmarks, made of namespaces; nothing of the machine is touched.
//!
//! ```text
//!   pod-a netns        host netns (Host)                        outside netns
//!  ┌───────────┐      ┌─────────────────────────────────┐      ┌────────────┐
//!  │ eth0 net1 ├──────┤ plexusd   uplink0 ══════════════╪══════╪ eth0       │
//!  └───────────┘      │ /run, /sys: private mounts      │ veth │            │
//!  ┌───────────┐      │ /run/plexus-lab: state, socket, │      └────────────┘
//!  │ pod-b     ├──────┤   manifests, bpffs, leases      │
//!  └───────────┘      └─────────────────────────────────┘
//! ```
//! [`Host::enter`] moves the calling thread into a network and a mount namespace of its own, so every process that
//! the thread starts is on that "machine", and all that is made there (links, netns files, pins) dies with the
//! namespaces: at the end of the scope, after a panic, and when the process is killed.

pub mod apiserver;
pub mod binaries;
pub mod command;
pub mod daemon;
mod error;
pub mod host;
pub mod leftovers;
pub mod link;
pub mod manifests;
pub mod netns;
pub mod page;
pub mod ping;
pub mod pod;
pub mod pool_store;
pub mod query;
pub mod runtime;
pub mod skip;
pub mod traffic;
pub mod vm;

pub use apiserver::KubeApi;
pub use binaries::Binaries;
pub use daemon::{DaemonSetup, Plexusd};
pub use error::LabError;
pub use host::Host;
pub use netns::NetNs;
pub use pod::Pod;
pub use pool_store::{Fault, MemoryPools};
pub use runtime::{Outcome, Runtime};
pub use skip::{require_binary_or_skip, require_root_or_skip};
pub use vm::{Machine, require_machine_or_skip};
