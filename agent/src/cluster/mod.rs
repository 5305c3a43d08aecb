//! Which pods and networks exist: a cache that a source fills, and that an ADD reads without asking anybody.

mod catalog;
mod files;
mod manifests;

pub use catalog::{Catalog, Objects};
pub use files::network_file;
pub use manifests::follow;
