//! Nouns of the data plane.
//!
//! ```text
//!   hooks/*  ──▶  kernel/{gate, from_pod, from_uplink, tap, edge}  ──▶  kernel/{fdb, flood, policer, counters, vlan, maps}
//!                          │
//!                          └──▶  pure/{ethernet, guard, arp, ip, nd, gcra, wire}  (also built and tested on the host)
//! ```
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch, core_intrinsics, adt_const_params))]
#![cfg_attr(target_arch = "bpf", allow(internal_features, reason = "see kernel/word.rs"))]
#![allow(clippy::inline_always, reason = "a BPF call passes five words and forgets what the verifier knew")]
#![allow(unsafe_code, reason = "packet, map and context access in the kernel; nothing under pure/ uses it")]

pub mod pure;

#[cfg(target_arch = "bpf")]
pub mod kernel;
