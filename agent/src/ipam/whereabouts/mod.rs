//! IPAM `whereabouts`: addresses of ranges that a whole cluster shares, kept in the API server.
//!
//! The objects and their names are those of the original plugin, so that nodes with it and nodes with Plexus allocate
//! from one pool. The facts are those of whereabouts v0.9.4.

pub mod names;
pub mod range;
