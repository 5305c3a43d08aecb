//! The node agent: what the container runtime's shim asks for, it plans, attaches, forwards and records.

pub mod datapath;
pub mod sandbox;
