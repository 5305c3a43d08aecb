//! What the tests share: a node, its configs, views of the kernel, foreign plugins made of a few lines of shell.

pub(crate) mod config;
pub(crate) mod crash;
pub(crate) mod kernel;
pub(crate) mod node;
pub(crate) mod outcome;
pub(crate) mod plugin;
pub(crate) mod random;
pub(crate) mod snapshot;
pub(crate) mod wait;

pub(crate) use config::{fastpath, macvlan, meta, with};
pub(crate) use node::Node;
pub(crate) use outcome::{failed, succeeded};
