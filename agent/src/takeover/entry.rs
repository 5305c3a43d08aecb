//! The two kinds of files in Multus' cache, decoded.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plexus_cni::json::{Object, parse_object};
use plexus_cni::limits::NETWORKS_MAX;
use plexus_cni::name::check_ifname;
use plexus_cni::{CniError, Code};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What libcni writes as `kind` since its cache has configs in it.
const CACHE_KIND: &str = "cniCacheV1";

/// One network of a container, as the list `<cniDir>/<container id>` has it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Delegate {
    /// `namespace/name` of its NetworkAttachmentDefinition, or the CNI network's name.
    #[serde(rename = "Name", default)]
    pub name: String,
    /// The interface that the pod's annotation asked for.
    #[serde(rename = "ifnameRequest", default)]
    pub ifname: String,
    /// The config.
    #[serde(rename = "Bytes", deserialize_with = "config")]
    pub config: Object,
}

/// What libcni keeps of one ADD.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    kind: String,
    /// The container.
    pub container_id: String,
    /// The config that the ADD was made with.
    #[serde(deserialize_with = "config")]
    pub config: Object,
    /// The interface inside the container.
    pub if_name: String,
    /// The CNI network's name.
    pub network_name: String,
    /// The network namespace's path.
    #[serde(default)]
    pub netns: Option<String>,
    /// `CNI_ARGS`
    #[serde(default)]
    pub cni_args: Option<Vec<(String, String)>>,
    /// The `runtimeConfig` that plugins were offered.
    #[serde(default)]
    pub capability_args: Option<Object>,
    /// The chain's result.
    #[serde(default)]
    pub result: Option<Value>,
}

/// A config, as Go writes bytes into JSON: base64.
fn config<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
    parse_object(&bytes, "config").map_err(serde::de::Error::custom)
}

/// The list of a container's networks.
pub(super) fn delegates(text: &[u8]) -> Result<Vec<Delegate>, CniError> {
    let delegates: Vec<Delegate> = serde_json::from_slice(text).map_err(|error| undecodable(&error))?;
    if delegates.len() > NETWORKS_MAX {
        return Err(undecodable(&format!("it lists {} networks, at most {NETWORKS_MAX}", delegates.len())));
    }
    for delegate in delegates.iter().filter(|delegate| !delegate.ifname.is_empty()) {
        check_ifname(&delegate.ifname, "ifnameRequest")?;
    }
    Ok(delegates)
}

/// What is kept of one ADD.
pub(super) fn entry(text: &[u8]) -> Result<Entry, CniError> {
    let entry: Entry = serde_json::from_slice(text).map_err(|error| undecodable(&error))?;
    if entry.kind != CACHE_KIND {
        return Err(undecodable(&format!("its kind is {:?}, not {CACHE_KIND}", entry.kind)));
    }
    check_ifname(&entry.if_name, "ifName")?;
    Ok(entry)
}

fn undecodable(why: &dyn Display) -> CniError {
    CniError::new(Code::Decoding, "it cannot be decoded").because(why.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_multus_wrote_is_read() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/multus-recorded/cache");
        let id = "a0be809e59c27e7cd8f51a3cb972221cb67d907f081baaa579b74fa1e9e6306a";
        let read = |path: String| std::fs::read(path).unwrap();
        let list = delegates(&read(format!("{dir}/{id}"))).unwrap();
        let names: Vec<&str> = list.iter().map(|delegate| &*delegate.name).collect();
        assert_eq!(names, ["lab", "default/mv1", "default/mv2"]);
        assert_eq!(list[1].config["master"], "master0");
        let entry = entry(&read(format!("{dir}/results/mv1-{id}-net1"))).unwrap();
        assert_eq!(entry.container_id, id);
        assert_eq!((&*entry.if_name, &*entry.network_name), ("net1", "mv1"));
        assert_eq!(entry.result.unwrap()["ips"][0]["address"], "10.211.0.2/16");
    }

    #[test]
    fn a_file_of_another_kind_or_with_a_path_for_a_name_is_refused() {
        let text = |kind: &str, ifname: &str| {
            format!(
                r#"{{"kind":"{kind}","containerId":"c","config":"e30=","ifName":"{ifname}","networkName":"n"}}"#
            )
        };
        assert!(entry(text("cniCacheV1", "net1").as_bytes()).is_ok());
        assert!(entry(text("cniCacheV2", "net1").as_bytes()).is_err());
        assert!(entry(text("cniCacheV1", "../net1").as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_file_makes_the_readers_panic(text in any::<Vec<u8>>()) {
            prop_assert!(delegates(&text).is_err() || text.starts_with(b"["));
            prop_assert!(entry(&text).is_err());
        }
    }
}
