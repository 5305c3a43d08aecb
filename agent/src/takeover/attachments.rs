//! From Multus' cache to attachments as we keep them.

use std::path::Path;

use plexus_cni::Version;
use plexus_cni::config::NetworkConfigList;
use plexus_cni::device_info::attachment_file;
use plexus_cni::json::Object;

use super::cache::Container;
use super::entry::{Delegate, Entry};
use crate::record::{Attachment, DeviceRecord, Notes, Owner, Source};

/// What the DEL itself says: it stands in where the cache has nothing.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// The container.
    pub container_id: &'a str,
    /// `CNI_IFNAME`, the interface of the default network.
    pub ifname: &'a str,
    /// `CNI_ARGS`
    pub args: &'a str,
    /// Directories of plugins.
    pub path: Vec<String>,
    /// The version of a config that names none.
    pub version: Version,
}

/// The container's attachments in the order in which they were made; each lists what libcni kept of it.
///
/// The order is the list's. What only libcni knows comes behind it: networks that were added to the running pod, or all of
/// them where the list is lost.
pub fn attachments(container: &Container, given: &Given<'_>) -> Vec<Attachment> {
    let mut rest: Vec<&Entry> = container.entries.iter().collect();
    let mut found = Vec::new();
    for (index, delegate) in container.delegates.iter().flatten().enumerate() {
        let ifname = match (&*delegate.ifname, index) {
            ("", 0) => given.ifname.to_owned(),
            ("", _) => format!("net{index}"),
            (requested, _) => requested.to_owned(),
        };
        let is_its = |entry: &&Entry| {
            entry.if_name == ifname
                && delegate.config.get("name").is_some_and(|name| *name == *entry.network_name)
        };
        let entry = rest.iter().position(is_its).map(|at| rest.remove(at));
        found.extend(attachment(Some(delegate), entry, ifname, given));
    }
    // The default network's interface was made first, so it is the last to go.
    rest.sort_by_key(|entry| entry.if_name != given.ifname);
    found.extend(
        rest.into_iter().filter_map(|entry| attachment(None, Some(entry), entry.if_name.clone(), given)),
    );
    found
}

/// One attachment; `None` where neither file has a config that can be used.
fn attachment(
    delegate: Option<&Delegate>,
    entry: Option<&Entry>,
    ifname: String,
    given: &Given<'_>,
) -> Option<Attachment> {
    // libcni's copy is the config as the plugins had it, a device that was injected included.
    let mut configs =
        entry.map(|entry| &entry.config).into_iter().chain(delegate.map(|delegate| &delegate.config));
    let (config, list) = configs.find_map(|config| Some((config, parse(config, given)?)))?;
    let args = entry.and_then(|entry| entry.cni_args.as_deref()).map_or(given.args.to_owned(), as_text);
    Some(Attachment {
        owner: Owner::Meta { ifname: given.ifname.to_owned() },
        network: list.name,
        nad: delegate.map(|delegate| delegate.name.clone()).filter(|name| name.contains('/')),
        device: Some(DeviceRecord { device: None, info_file: info_file(delegate, entry, &ifname, given) }),
        is_default: ifname == given.ifname,
        ifname,
        config: config.clone(),
        cni_version: list.version.as_str().to_owned(),
        runtime_config: entry.and_then(|entry| entry.capability_args.clone()).unwrap_or_default(),
        args,
        path: given.path.clone(),
        port_id: None,
        owns_port: false,
        notes: Notes::default(),
        source: Source::default(),
        result: entry.and_then(|entry| entry.result.clone()),
        port: None,
        status: Vec::new(),
    })
}

/// The file that describes the attachment's device, if Multus made one: as the plugins were told, else as it names them.
fn info_file(delegate: Option<&Delegate>, entry: Option<&Entry>, ifname: &str, given: &Given<'_>) -> String {
    let told = entry.and_then(|entry| entry.capability_args.as_ref()?.get("CNIDeviceInfoFile")?.as_str());
    let name = delegate.map(|delegate| &*delegate.name).or(entry.map(|entry| &*entry.network_name));
    let told = told.and_then(|path| Path::new(path).file_name()?.to_str()).map(str::to_owned);
    told.unwrap_or_else(|| attachment_file(name.unwrap_or_default(), given.container_id, ifname))
}

fn parse(config: &Object, given: &Given<'_>) -> Option<NetworkConfigList> {
    NetworkConfigList::from_object(config.clone(), None, Some(given.version))
        .inspect_err(|error| tracing::error!(%error, "a config in Multus' cache is of no use"))
        .ok()
}

/// `CNI_ARGS` as text; a value that it cannot hold is left out.
fn as_text(pairs: &[(String, String)]) -> String {
    let fits = |text: &str| !text.contains([';', '=']);
    let pairs = pairs.iter().filter(|(key, value)| key != "IgnoreUnknown" && fits(key) && fits(value));
    // What a runtime added once must not stand in the way of a DEL.
    let first = std::iter::once("IgnoreUnknown=1".to_owned());
    first.chain(pairs.map(|(key, value)| format!("{key}={value}"))).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn given() -> Given<'static> {
        Given {
            container_id: "c",
            ifname: "eth0",
            args: "IgnoreUnknown=1",
            path: Vec::new(),
            version: Version::V1_0_0,
        }
    }

    fn delegate(name: &str, ifname: &str, config: &Value) -> Delegate {
        let config = config.as_object().unwrap().clone();
        Delegate { name: name.into(), ifname: ifname.into(), config }
    }

    fn entry(network: &str, ifname: &str, more: &Value) -> Entry {
        use base64::Engine as _;
        let config =
            json!({"cniVersion": "0.3.1", "name": network, "type": "macvlan", "deviceID": "d"}).to_string();
        let mut text = json!({
            "kind": "cniCacheV1", "containerId": "c", "ifName": ifname, "networkName": network,
            "config": base64::engine::general_purpose::STANDARD.encode(config),
        });
        text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(text).unwrap()
    }

    fn container(delegates: Option<Vec<Delegate>>, entries: Vec<Entry>) -> Container {
        Container { delegates, entries, ..Container::default() }
    }

    fn ifnames(attachments: &[Attachment]) -> Vec<&str> {
        attachments.iter().map(|attachment| &*attachment.ifname).collect()
    }

    #[test]
    fn interfaces_are_named_as_multus_named_them_and_results_are_matched() {
        let macvlan = |name: &str| json!({"name": name, "type": "macvlan"});
        let list = vec![
            delegate("lab", "", &macvlan("lab")),
            delegate("default/a", "", &macvlan("a")),
            delegate("default/a", "blue", &macvlan("a")),
        ];
        let args = json!({"cniArgs": [["K8S_POD_NAME", "p"], ["X", "a=b"]], "capabilityArgs": {"mac": "m", "CNIDeviceInfoFile": "/var/run/x/told"}, "result": {}});
        let entries = vec![entry("a", "blue", &args), entry("hot", "net7", &json!({}))];
        let found = attachments(&container(Some(list), entries), &given());
        assert_eq!(ifnames(&found), ["eth0", "net1", "blue", "net7"]);
        assert!(found[0].is_default && found[1].result.is_none() && found[2].result.is_some());
        assert_eq!((&*found[0].cni_version, &*found[2].cni_version), ("1.0.0", "0.3.1"));
        assert_eq!(found[2].config["deviceID"], "d");
        assert_eq!(found[2].runtime_config["mac"], "m");
        assert_eq!(&*found[2].args, "IgnoreUnknown=1;K8S_POD_NAME=p");
        assert_eq!(found[1].nad.as_deref(), Some("default/a"));
        let info_files: Vec<String> =
            found.iter().filter_map(|attachment| Some(attachment.device.clone()?.info_file)).collect();
        assert_eq!(info_files[2], "told");
        assert!(info_files[1].contains("-c_net1"), "{info_files:?}");
    }

    #[test]
    fn without_the_list_the_default_network_is_still_the_first() {
        let entries = vec![entry("a", "net1", &json!({})), entry("lab", "eth0", &json!({}))];
        assert_eq!(ifnames(&attachments(&container(None, entries), &given())), ["eth0", "net1"]);
    }

    #[test]
    fn a_network_without_a_usable_config_is_left_out() {
        let list = vec![
            delegate("lab", "", &json!({"name": "lab"})),
            delegate("a", "", &json!({"name": "a", "type": "x"})),
        ];
        assert_eq!(ifnames(&attachments(&container(Some(list), Vec::new()), &given())), ["net1"]);
    }
}
