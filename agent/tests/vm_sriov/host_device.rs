//! `host-device` with devices that have a place on the bus.

use serde_json::{Value, json};

use crate::kernel::link;
use crate::node::{Node, end_netns};
use crate::outcome::succeeded;

fn config(key: &str, value: &str) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "vf", "type": "host-device", key: value,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.6.0.0/24"}]]},
    })
}

/// All links, without what the card says of its functions: Linux 6.1 learns a function's own address only when it is set up.
fn links(node: &Node) -> Vec<Value> {
    let mut links = node.links();
    for link in &mut links {
        link.as_object_mut().unwrap().remove("vfinfo_list");
    }
    links
}

#[test]
fn a_device_is_given_by_its_place_on_the_bus_or_its_path() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let before = links(&node);
    let path = std::fs::canonicalize(format!("/sys/bus/pci/devices/{}", vfs[0].pci_address)).unwrap();
    for config in [config("pciBusID", &vfs[0].pci_address), config("kernelpath", path.to_str().unwrap())] {
        let pod = node.pod(config.as_object().unwrap().keys().nth(3).unwrap());
        let result = succeeded(&node.add(&pod, &config));
        assert_eq!(result["interfaces"][0]["pciID"], vfs[0].pci_address);
        assert!(link(&pod.netns, "net1").is_some());
        succeeded(&node.check(&pod, &config, &result));
        succeeded(&node.del(&pod, &config));
        assert_eq!(links(&node), before);
    }
}

#[test]
fn a_device_whose_pod_vanished_has_its_name_and_index_again() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    node.ip(&["link", "property", "add", "dev", &vfs[0].ifname, "altname", "first-of-the-card"]);
    let before = links(&node);
    let config = config("device", &vfs[0].ifname);
    let pod = node.pod("a");
    succeeded(&node.add(&pod, &config));
    let id = end_netns(pod);
    succeeded(&node.del_without_netns(&id, &config));
    assert_eq!(links(&node), before);
}
