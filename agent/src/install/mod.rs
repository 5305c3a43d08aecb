//! What a node needs around plexusd: the shim in the runtime's plugin directory, and the runtime's network config.

pub mod args;
pub(crate) mod atomic;
pub mod conflist;
mod report;
mod shim;
mod uninstall;
mod version;

pub use report::{Deed, Done, print};
pub use shim::{InstallOptions, install};
pub use uninstall::{UninstallOptions, uninstall};
