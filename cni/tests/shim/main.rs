//! The shim's process contract: the built binary, run as a container runtime runs it, against an agent that follows a
//! script. Names carry the numbers of docs/conformance.md.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod add;
mod conversation;
mod del;
mod delegate;
mod environment;
mod gc_status_check;
mod netns;
mod stdin;
mod support;
mod sysctl;
mod version;
