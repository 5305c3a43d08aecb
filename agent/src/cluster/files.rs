//! CNI files that `clusterNetwork`, `defaultNetworks` and empty NetworkAttachmentDefinitions name.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use plexus_cni::config::{NetworkConfigList, append_plugins};
use plexus_cni::json::{self, Object, parse_object};
use plexus_cni::limits::CONFIG_BYTES_MAX;
use plexus_cni::meta::META_TYPES;
use plexus_cni::name::check_network_name;
use plexus_cni::{CniError, Code, Version};
use serde_json::Value;

/// Most files looked at in one directory.
const FILES_MAX: usize = 1000;

/// The text of the file whose network is called `reference`, or that lies at the path `reference`: of a directory the
/// first file (Multus' order) that is not our own. `None` when there is none.
///
/// The plugins that lie as `<directory>/<network>/*.conf` follow a conflist's own, as for libcni.
pub fn network_file(conf_dir: &str, reference: &str) -> Result<Option<String>, CniError> {
    if reference.contains('/') {
        let path = Path::new(reference);
        let path = if path.is_dir() {
            let mut paths = listing(path, &["conf", "conflist"]).into_iter();
            paths.find(|path| !read(path).is_ok_and(|text| calls_us(&text)))
        } else {
            Some(path.to_owned()).filter(|path| path.exists())
        };
        return path.map(|path| chained(&path, read(&path)?)).transpose();
    }
    for path in listing(Path::new(conf_dir), &["conf", "conflist", "json"]) {
        let Ok(text) = read(&path) else { continue };
        let Ok(config) = parse_object(text.as_bytes(), "CNI file") else { continue };
        if config.get("name").and_then(Value::as_str) == Some(reference) {
            return chained(&path, text).map(Some);
        }
    }
    Ok(None)
}

/// The plugins in `<directory of the default network's file>/<name>/*.conf`, by file name.
pub fn chain_files(cluster_network: &str, name: &str) -> Result<Vec<Object>, CniError> {
    let path = Path::new(cluster_network);
    let dir = if path.is_dir() { Some(path) } else { path.parent() };
    let files = dir.map(|dir| listing(&dir.join(name), &["conf"])).unwrap_or_default();
    files
        .iter()
        .map(|path| parse_object(read(path)?.as_bytes(), &format!("CNI file {}", path.display())))
        .collect()
}

/// The text, with the plugins of the network's subdirectory in it; a conf has none.
fn chained(path: &Path, text: String) -> Result<String, CniError> {
    if !has_extension(path, "conflist") {
        return Ok(text);
    }
    let what = format!("CNI file {}", path.display());
    let mut document = parse_object(text.as_bytes(), &what)?;
    if document.get("loadOnlyInlinedPlugins").and_then(Value::as_bool).unwrap_or(false) {
        return Ok(text);
    }
    let name = json::string(&document, "name", &what)?.unwrap_or_default().to_owned();
    check_network_name(&name).map_err(|error| error.within(&what))?;
    let more = chain_files(&path.to_string_lossy(), &name)?;
    if more.is_empty() {
        return Ok(text);
    }
    append_plugins(&mut document, more).map_err(|error| error.within(what))?;
    Ok(Value::Object(document).to_string())
}

/// Whether the file is the runtime's config for us, or for Multus: its network is not another's.
fn calls_us(text: &str) -> bool {
    let list = NetworkConfigList::parse(text, Some("any"), Some(Version::NEWEST));
    list.is_ok_and(|list| {
        list.plugins.first().is_some_and(|plugin| META_TYPES.contains(&plugin.plugin_type()))
    })
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|extension| extension == wanted)
}

/// CNI files of a directory, by name; a directory that is not there has none.
fn listing(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).take(FILES_MAX).collect();
    paths.retain(|path| extensions.iter().any(|extension| has_extension(path, extension)));
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
        assert_eq!(network_file("", "/nowhere/b.conf").unwrap(), None);
    }

    #[test]
    fn of_a_directory_the_first_network_that_does_not_call_us_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let found = || network_file("", dir.path().to_str().unwrap()).unwrap();
        assert_eq!(found(), None);
        write("00-multus.conf", r#"{"cniVersion": "1.0.0", "name": "m", "type": "multus-shim"}"#);
        write(
            "00-plexus.conflist",
            r#"{"cniVersion": "1.0.0", "name": "p", "plugins": [{"type": "plexus"}]}"#,
        );
        write("05-ignored.json", r#"{"name": "j", "type": "ptp"}"#);
        assert_eq!(found(), None);
        write("20-b.conf", r#"{"name": "b", "type": "ptp"}"#);
        write("10-a.conf", r#"{"name": "a", "type": "ptp"}"#);
        assert_eq!(found().unwrap(), r#"{"name": "a", "type": "ptp"}"#);
    }

    #[test]
    fn plugins_of_the_networks_subdirectory_follow_the_inline_ones() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        fs::create_dir(dir.path().join("main")).unwrap();
        write("10-main.conflist", r#"{"cniVersion":"1.1.0","name":"main","plugins":[{"type":"ptp"}]}"#);
        write("main/20-b.conf", r#"{"type": "b"}"#);
        write("main/10-a.conf", r#"{"type": "a"}"#);
        write("main/other.conflist", r#"{"type": "c"}"#);
        let path = dir.path().join("10-main.conflist");
        let types = |reference: &str| {
            let text = network_file(dir.path().to_str().unwrap(), reference).unwrap().unwrap();
            let list = NetworkConfigList::parse(&text, None, None).unwrap();
            list.plugins.iter().map(|plugin| plugin.plugin_type().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(types(path.to_str().unwrap()), ["ptp", "a", "b"]);
        assert_eq!(types("main"), ["ptp", "a", "b"]);
        let only = r#"{"cniVersion":"1.1.0","name":"main","loadOnlyInlinedPlugins":true,"plugins":[{"type":"ptp"}]}"#;
        write("10-main.conflist", only);
        assert_eq!(types("main"), ["ptp"]);
        write("10-main.conflist", r#"{"cniVersion":"1.1.0","name":"main"}"#);
        assert_eq!(types("main"), ["a", "b"]);
        write("main/30-c.conf", "{");
        let error = network_file("", path.to_str().unwrap()).unwrap_err();
        assert!(error.msg.contains("30-c.conf"), "{error}");
    }

    #[test]
    fn an_auxiliary_chain_lies_beside_the_default_networks_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("10-main.conf");
        fs::create_dir(dir.path().join("vendor")).unwrap();
        fs::write(dir.path().join("vendor/10-audit.conf"), r#"{"type": "audit"}"#).unwrap();
        for cluster_network in [path.to_str().unwrap(), dir.path().to_str().unwrap()] {
            assert_eq!(chain_files(cluster_network, "vendor").unwrap().len(), 1, "{cluster_network}");
            assert!(chain_files(cluster_network, "absent").unwrap().is_empty());
        }
    }
}
