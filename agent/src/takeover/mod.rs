//! Pods that Multus attached before this node changed over, known from Multus' cache alone.
//!
//! Multus keeps two things on disk (facts: multus-cni 4.3 as it runs, libcni's result cache): `<cniDir>/<container id>`,
//! a list of the container's networks, and `<cniDir>/results/<network>-<container id>-<interface>`, what each plugin
//! chain was given and what it answered. [`Cache`] reads the files, [`attachments`] says what they mean.

mod attachments;
mod cache;
mod entry;

pub use attachments::{Given, attachments};
pub use cache::{Cache, Container};
pub use entry::{Delegate, Entry};
