//! What an operator sets.

use std::path::PathBuf;

/// Everything that plexusd is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The socket that shims and plexusctl connect to.
    pub socket: PathBuf,
    /// Records and spool.
    pub state_dir: PathBuf,
    /// Pods and NetworkAttachmentDefinitions as YAML files.
    pub manifests: Option<PathBuf>,
    /// Directories for foreign plugins; empty means the runtime's CNI_PATH.
    pub bin_dirs: Vec<PathBuf>,
    /// Where maps and links are pinned.
    pub bpffs: PathBuf,
    /// Most ports of the data plane.
    pub ports_max: u32,
    /// Directories beneath which a config may place IPAM data.
    pub ipam_data_dirs: Vec<PathBuf>,
    /// Worker threads.
    pub workers: usize,
}
