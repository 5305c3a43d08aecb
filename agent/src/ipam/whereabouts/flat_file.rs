//! The node's flat file, whose keys count where the network's own config has none.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path};

use plexus_cni::json::{self, Object};
use plexus_cni::{CniError, Code};
use serde_json::Value;

/// Where the original looks, in this order.
const FILES: [&str; 3] = [
    "/etc/kubernetes/cni/net.d/whereabouts.d/whereabouts.conf",
    "/etc/cni/net.d/whereabouts.d/whereabouts.conf",
    "/host/etc/cni/net.d/whereabouts.d/whereabouts.conf",
];
/// Beneath these a network's `configuration_path` may lie: who writes networks must not name any file of the node.
const DIRECTORIES: [&str; 3] = ["/etc/kubernetes/cni/net.d", "/etc/cni/net.d", "/host/etc/cni/net.d"];
/// Largest file.
const BYTES_MAX: u64 = 64 * 1024;

/// `section` over the keys of the first flat file that exists.
pub(super) fn beneath(section: &Object) -> Result<Object, CniError> {
    let own = json::string(section, "configuration_path", "ipam")?.filter(|path| !path.is_empty());
    let own = own.map(Path::new).filter(|path| {
        let is_allowed = is_allowed(path);
        if !is_allowed {
            tracing::warn!(path = %path.display(), "configuration_path is not read: it lies outside of the CNI directories");
        }
        is_allowed
    });
    for path in own.into_iter().chain(FILES.iter().map(Path::new)) {
        if let Some(text) = read(path)? {
            let what = path.display().to_string();
            return Ok(merged(section, json::parse_object(&text, &what)?));
        }
    }
    Ok(section.clone())
}

fn is_allowed(path: &Path) -> bool {
    let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    is_plain && DIRECTORIES.iter().any(|directory| path.starts_with(directory))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, CniError> {
    let fail = |why: String| {
        CniError::new(Code::Io, format!("whereabouts' file {} cannot be read", path.display())).because(why)
    };
    let file = match File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(fail(error.to_string())),
    };
    let metadata = file.metadata().map_err(|error| fail(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(fail(format!("it must be a file of at most {BYTES_MAX} bytes")));
    }
    let mut text = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut text).map_err(|error| fail(error.to_string()))?;
    Ok(Some(text))
}

/// A key that is absent, null or empty in the network's config comes from the file.
fn merged(section: &Object, mut file: Object) -> Object {
    for (key, value) in section {
        let is_unset = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if !is_unset || !file.contains_key(key) {
            file.insert(key.clone(), value.clone());
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_networks_keys_win() {
        let section = json!({"range": "10.0.0.0/24", "network_name": "", "exclude": []});
        let file =
            json!({"range": "10.9.0.0/24", "network_name": "blue", "exclude": ["x"], "log_level": "debug"});
        let merged = merged(section.as_object().unwrap(), file.as_object().unwrap().clone());
        let expected =
            json!({"range": "10.0.0.0/24", "network_name": "blue", "exclude": ["x"], "log_level": "debug"});
        assert_eq!(Value::from(merged), expected);
    }

    #[test]
    fn a_network_cannot_have_any_file_of_the_node_read() {
        assert!(is_allowed(Path::new("/etc/cni/net.d/my/whereabouts.conf")));
        for path in
            ["/etc/shadow", "/etc/cni/net.d/../../shadow", "etc/cni/net.d/x", "/etc/cni/net.d-other/x"]
        {
            assert!(!is_allowed(Path::new(path)), "{path}");
        }
    }
}
