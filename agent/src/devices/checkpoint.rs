//! The kubelet's checkpoint of devices: read where its socket is not at hand.
//!
//! Source: kubernetes, pkg/kubelet/cm/devicemanager/checkpoint. Ids are a plain list (v1, to Kubernetes 1.19) or lists by
//! NUMA node (v2). The checksum covers Go's own printing of the data and cannot be compared.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use plexus_cni::devices::PodDevices;
use serde::Deserialize;

/// Longest checkpoint that is read, in bytes: the limit on the kubelet's own answer.
const BYTES_MAX: u64 = 16 << 20;

/// Why the checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is no checkpoint.
    #[error("is not a checkpoint of the kubelet: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It is too long.
    #[error("has more than {BYTES_MAX} bytes")]
    TooLong,
}

#[derive(Deserialize)]
struct Checkpoint {
    #[serde(rename = "Data")]
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "PodDeviceEntries")]
    entries: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "PodUID")]
    pod_uid: String,
    #[serde(rename = "ResourceName")]
    resource: String,
    #[serde(rename = "DeviceIDs")]
    ids: Option<Ids>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    Plain(Vec<String>),
    ByNuma(BTreeMap<String, Option<Vec<String>>>),
}

/// The devices of the pod with this UID; `None` where there is no checkpoint.
pub fn devices_of(path: &Path, uid: &str) -> Result<Option<PodDevices>, CheckpointError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(CheckpointError::TooLong);
    }
    Ok(Some(parse(&text, uid)?))
}

fn parse(text: &[u8], uid: &str) -> Result<PodDevices, serde_json::Error> {
    let checkpoint: Checkpoint = serde_json::from_slice(text)?;
    let mut held = PodDevices::default();
    let entries = checkpoint.data.entries.unwrap_or_default();
    for entry in entries.iter().filter(|entry| entry.pod_uid == uid) {
        let mut insert = |ids: &[String]| ids.iter().for_each(|id| held.insert(&entry.resource, id));
        match &entry.ids {
            Some(Ids::Plain(ids)) => insert(ids),
            Some(Ids::ByNuma(nodes)) => nodes.values().flatten().for_each(|ids| insert(ids)),
            None => {}
        }
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn checkpoint(entries: &Value) -> String {
        json!({"Data": {"PodDeviceEntries": entries, "RegisteredDevices": {"v/vf": ["a"]}}, "Checksum": 18_446_744_073_709_551_615_u64}).to_string()
    }

    fn ids(text: &str, uid: &str) -> Vec<String> {
        parse(text.as_bytes(), uid).unwrap().of("v/vf").map(str::to_owned).collect()
    }

    #[test]
    fn ids_by_numa_node_and_plain_ones_are_read_for_one_pod_over_its_containers() {
        let entry = |uid: &str, container: &str, ids: Value| json!({"PodUID": uid, "ContainerName": container, "ResourceName": "v/vf", "DeviceIDs": ids, "AllocResp": "CgA="});
        let text = checkpoint(&json!([
            entry("u1", "a", json!({"-1": ["c"], "0": ["b"], "1": null})),
            entry("u1", "b", json!({"1": ["a"]})),
            entry("u2", "a", json!({"0": ["other"]})),
        ]));
        assert_eq!(ids(&text, "u1"), ["a", "b", "c"]);
        let old = checkpoint(&json!([entry("u1", "a", json!(["b", "a"])), entry("u1", "b", json!(null))]));
        assert_eq!(ids(&old, "u1"), ["a", "b"]);
        assert!(ids(&checkpoint(&json!(null)), "u1").is_empty());
    }

    #[test]
    fn what_is_no_checkpoint_is_an_error_and_an_absent_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        assert!(devices_of(&path, "u").unwrap().is_none());
        std::fs::write(&path, "{}").unwrap();
        assert!(devices_of(&path, "u").unwrap_err().to_string().contains("Data"));
        let file = File::create(&path).unwrap();
        file.set_len(BYTES_MAX + 1).unwrap();
        assert!(matches!(devices_of(&path, "u"), Err(CheckpointError::TooLong)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,a-zA-Z0-9]{0,80}") {
            prop_assert!(parse(&bytes, "u").is_err());
            let in_data = format!("{{\"Data\":{text}}}");
            prop_assert!(parse(in_data.as_bytes(), "u").is_ok_and(|held| held.is_empty()) || parse(in_data.as_bytes(), "u").is_err());
        }
    }
}
