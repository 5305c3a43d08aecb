//! Writes `deploy/manifests`; `cargo xtask manifests` calls it.

use std::fs;

use anyhow::{Context as _, Result};
use plexus_deploy::checkout::{manifests_dir, yaml_files};
use plexus_deploy::helm::Helm;
use plexus_deploy::render;

fn main() -> Result<()> {
    let helm = Helm::find().context("helm is not there: run `cargo xtask setup`, or set PLEXUS_HELM")?;
    let manifests = render::manifests(&helm)?;
    let directory = manifests_dir();
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    for old in yaml_files(&directory).context("cannot list the manifests")? {
        fs::remove_file(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    for manifest in manifests {
        let path = directory.join(&manifest.name);
        fs::write(&path, manifest.text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
