//! The runtime's network config that names the meta-plugin, made from the primary CNI's and kept so.
//!
//! The file is there before the first pod, is replaced by rename only, and stays as it was while the primary's cannot be
//! read: a node whose runtime finds no such file would start pods with one network.

mod follow;
mod primary;
mod render;
mod settings;
mod state;

pub use follow::{Follower, start};
pub use primary::choose;
pub use render::render;
pub use settings::{ConflistSettings, OnExit};
pub use state::{Stage, State};

use std::fs;
use std::path::Path;

use plexus_cni::config::NetworkConfigList;
use plexus_cni::meta::META_TYPE;

/// Whether the file is a config for our meta-plugin; Multus' is not.
pub fn is_ours(path: &Path) -> bool {
    let list =
        fs::read_to_string(path).ok().and_then(|text| NetworkConfigList::parse(&text, None, None).ok());
    list.is_some_and(|list| list.plugins.first().is_some_and(|plugin| plugin.plugin_type() == META_TYPE))
}
