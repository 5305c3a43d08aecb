//! What the tests look things up with.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use plexus_deploy::checkout::{chart_dir, manifests_dir, yaml_files};
use plexus_deploy::helm::{Helm, HelmError};
use plexus_deploy::manifest::{kind, objects};
use serde_json::Value;

/// helm, or `None` after saying why the test is skipped.
pub(crate) fn helm() -> Option<Helm> {
    let helm = Helm::find();
    if helm.is_none() {
        println!("SKIPPED: helm is not there; `cargo xtask setup` installs it, or set PLEXUS_HELM");
    }
    helm
}

/// The committed manifests: file name, text and objects.
pub(crate) fn committed() -> Vec<(String, String, Vec<Value>)> {
    let files = yaml_files(&manifests_dir()).unwrap();
    let read = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        let objects = objects(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.file_name().unwrap().to_str().unwrap().to_owned(), text, objects)
    };
    files.iter().map(|path| read(path)).collect()
}

/// As [`committed`], only files with a DaemonSet: one for each flavour; file name and DaemonSet.
pub(crate) fn daemon_sets() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (name, _, objects) in committed() {
        found.extend(
            objects.into_iter().filter(|object| kind(object) == "DaemonSet").map(|set| (name.clone(), set)),
        );
    }
    assert!(found.len() >= 8, "only {} flavours are rendered", found.len());
    found
}

/// The objects that the chart renders to with `--set` options, or helm's refusal.
pub(crate) fn rendered(helm: &Helm, sets: &[&str]) -> Result<Vec<Value>, HelmError> {
    let options: Vec<&OsStr> = sets.iter().flat_map(|set| ["--set", set]).map(OsStr::new).collect();
    helm.template(&chart_dir(), &options).map(|text| objects(&text).unwrap())
}

/// The pod's spec of a DaemonSet.
pub(crate) fn pod_spec(daemon_set: &Value) -> &Value {
    &daemon_set["spec"]["template"]["spec"]
}

/// A container of the DaemonSet, by name.
pub(crate) fn container<'a>(daemon_set: &'a Value, name: &str) -> &'a Value {
    let spec = pod_spec(daemon_set);
    ["initContainers", "containers"]
        .iter()
        .flat_map(|list| spec[list].as_array().into_iter().flatten())
        .find(|container| container["name"] == name)
        .unwrap_or_else(|| panic!("there is no container {name}"))
}

/// The texts of an array.
pub(crate) fn texts(array: &Value) -> Vec<&str> {
    array.as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}
