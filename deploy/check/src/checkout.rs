//! Where things lie in the checkout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The directory `deploy`.
pub fn deploy_dir() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_path_buf()
}

/// The Helm chart.
pub fn chart_dir() -> PathBuf {
    deploy_dir().join("helm/plexus")
}

/// The manifests rendered from it.
pub fn manifests_dir() -> PathBuf {
    deploy_dir().join("manifests")
}

/// The chart's values files for kinds of clusters, sorted; the file's stem is the flavour's name.
pub fn flavours() -> io::Result<Vec<PathBuf>> {
    yaml_files(&chart_dir().join("flavours"))
}

/// The YAML files of one directory, sorted.
pub fn yaml_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
