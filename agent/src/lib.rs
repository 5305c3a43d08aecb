//! The node agent: what the container runtime's shim asks for, it plans, attaches, forwards and records.

#[cfg(feature = "lab")]
pub mod lab;
pub mod netlink;
pub mod sandbox;
