//! The plain manifests: what Helm would install, for those who use kubectl alone.

use std::ffi::OsStr;
use std::fs;

use anyhow::{Context as _, Result};

use crate::checkout::{chart_dir, flavours, yaml_files};
use crate::helm::Helm;

const HEADER: &str =
    "# Rendered from deploy/helm/plexus by `cargo xtask manifests`: change the chart, not this file.\n";

/// A file of `deploy/manifests`.
#[derive(Debug)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its whole text.
    pub text: String,
}

/// Every file of `deploy/manifests`: the CRD, those of whereabouts, the service account's rights, and one complete set for
/// each flavour.
///
/// CRDs stand in files of their own, so that nobody takes existing ones away with the rest.
pub fn manifests(helm: &Helm) -> Result<Vec<Manifest>> {
    let mut crd = HEADER.to_owned();
    for path in yaml_files(&chart_dir().join("crds")).context("cannot list the chart's crds")? {
        crd += &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    let rights = ["--show-only", "templates/serviceaccount.yaml", "--show-only", "templates/rbac.yaml"]
        .map(OsStr::new);
    let pools = ["--show-only", "templates/whereabouts-crds.yaml", "--set", "whereabouts.installCrds=true"]
        .map(OsStr::new);
    let mut manifests = vec![
        Manifest { name: "crd.yaml".into(), text: crd },
        Manifest { name: "rbac.yaml".into(), text: rendered(helm, &rights)? },
        Manifest { name: "whereabouts-crds.yaml".into(), text: rendered(helm, &pools)? },
    ];
    for path in flavours().context("cannot list the chart's flavours")? {
        let name = match path.file_stem().and_then(OsStr::to_str) {
            Some("plain") | None => "plexus.yaml".to_owned(),
            Some(flavour) => format!("plexus-{flavour}.yaml"),
        };
        manifests.push(Manifest { name, text: rendered(helm, &[OsStr::new("--values"), path.as_os_str()])? });
    }
    Ok(manifests)
}

fn rendered(helm: &Helm, options: &[&OsStr]) -> Result<String> {
    Ok(HEADER.to_owned() + &helm.template(&chart_dir(), options)?)
}
