//! `sriov` and `host-device` with real virtual functions (igb and igbvf of a virtual machine).

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "../netns_cni/support/kernel.rs"]
#[allow(dead_code, reason = "the tests of every node use more of it")]
mod kernel;
mod node;
#[path = "../netns_cni/support/outcome.rs"]
mod outcome;

mod crash;
mod host_device;
mod placement;
mod reference;
mod refusals;
mod restore;
mod settings;
mod traffic;
mod userspace;
