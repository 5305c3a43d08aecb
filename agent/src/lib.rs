//! The node agent: what the container runtime's shim asks for, it plans, attaches, forwards and records.
//!
//! The way of an ADD: [`server`] → [`worker`] → [`attach`] → [`plugin`] with [`ipam`] and [`netlink`] → [`datapath`],
//! with every intent in a [`record`] before it is acted on.

pub mod agent;
pub mod args;
pub mod attach;
pub mod cluster;
pub mod config;
pub mod conntrack;
pub mod ctl;
pub mod datapath;
pub mod delegate;
pub mod devices;
pub mod fault;
pub mod follow;
pub mod install;
pub mod instance;
pub mod ipam;
#[cfg(feature = "lab")]
pub mod lab;
pub mod leases;
pub mod locks;
pub mod metrics;
pub mod netlink;
pub mod nft;
pub mod plugin;
pub mod query;
pub mod queue;
pub mod reconcile;
pub mod record;
pub mod repair;
pub mod run;
pub mod sandbox;
pub mod seeing;
pub mod server;
pub mod settings;
pub mod spool;
pub mod status;
pub mod sysfs;
pub mod takeover;
pub mod worker;
