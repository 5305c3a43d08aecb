//! CNI files that `clusterNetwork`, `defaultNetworks` and empty NetworkAttachmentDefinitions name.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use plexus_cni::json::parse_object;
use plexus_cni::limits::CONFIG_BYTES_MAX;
use plexus_cni::{CniError, Code};
use serde_json::Value;

/// Most files looked at in one directory.
const FILES_MAX: usize = 1000;

/// The text of the file whose network is called `reference`, or that lies at the path `reference`: of a directory the
/// first file (Multus' order). `None` when there is none.
pub fn network_file(conf_dir: &str, reference: &str) -> Result<Option<String>, CniError> {
    if reference.contains('/') {
        let path = Path::new(reference);
        let path = if path.is_dir() {
            listing(path).into_iter().find(|path| !has_extension(path, "json"))
        } else {
            Some(path.to_owned())
        };
        return path.filter(|path| path.exists()).map(|path| read(&path)).transpose();
    }
    for path in listing(Path::new(conf_dir)) {
        let Ok(text) = read(&path) else { continue };
        let Ok(config) = parse_object(text.as_bytes(), "CNI file") else { continue };
        if config.get("name").and_then(Value::as_str) == Some(reference) {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}

/// CNI files of a directory, by name; a directory that is not there has none.
fn listing(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).take(FILES_MAX).collect();
    paths.retain(|path| ["conf", "conflist", "json"].iter().any(|extension| has_extension(path, extension)));
    paths.sort();
    paths
}

fn read(path: &Path) -> Result<String, CniError> {
    let failed = |why: String| {
        CniError::new(Code::Io, format!("cannot read CNI file {}", path.display())).because(why)
    };
    let file = fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(failed("it is not a regular file".into()));
    }
    let mut text = String::new();
    file.take(CONFIG_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    if text.len() > CONFIG_BYTES_MAX {
        return Err(failed(format!("it has more than {CONFIG_BYTES_MAX} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_found_by_its_name_or_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let conf_dir = dir.path().to_str().unwrap();
        fs::write(dir.path().join("20-b.conf"), r#"{"name": "b"}"#).unwrap();
        fs::write(dir.path().join("10-a.conflist"), r#"{"name": "a"}"#).unwrap();
        fs::write(dir.path().join("05-broken.conf"), "{").unwrap();
        assert_eq!(network_file(conf_dir, "b").unwrap().unwrap(), r#"{"name": "b"}"#);
        assert_eq!(network_file(conf_dir, "c").unwrap(), None);
        let path = dir.path().join("10-a.conflist");
        assert!(network_file("", path.to_str().unwrap()).unwrap().is_some());
        assert_eq!(network_file("", conf_dir).unwrap().unwrap(), "{");
        assert_eq!(network_file("/nowhere", "b").unwrap(), None);
    }
}
