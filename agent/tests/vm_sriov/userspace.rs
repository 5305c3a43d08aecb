//! A function that a driver in user space has: settings and addresses, but no link.

use std::fs;
use std::path::Path;
use std::process::Command;

use plexus_agent::lab::manifests::{write_network, write_pod};
use plexus_agent::lab::skip::skipped;
use plexus_cni::wire::Query;
use serde_json::json;

use crate::node::{Node, sriov, with};
use crate::outcome::succeeded;

/// In the order of preference; vfio-pci needs an IOMMU.
const DRIVERS: [&str; 2] = ["vfio-pci", "uio_pci_generic"];

/// Gives the function to a driver in user space, and says which.
fn bind(address: &str, test: &str) -> Option<&'static str> {
    let device = Path::new("/sys/bus/pci/devices").join(address);
    fs::write("/sys/bus/pci/drivers/igbvf/unbind", address).unwrap();
    let bound = DRIVERS.into_iter().find(|driver| {
        let loaded = Command::new("modprobe").arg(driver).status().is_ok_and(|status| status.success());
        loaded
            && fs::write(device.join("driver_override"), driver).is_ok()
            && fs::write("/sys/bus/pci/drivers_probe", address).is_ok()
            && fs::read_link(device.join("driver")).is_ok_and(|bound| bound.ends_with(driver))
    });
    if bound.is_none() {
        skipped(test, "the kernel binds this card to no driver in user space");
    }
    bound
}

fn unbind(address: &str, driver: &str) {
    let device = Path::new("/sys/bus/pci/devices").join(address);
    fs::write(device.join("driver_override"), "\n").unwrap();
    fs::write(format!("/sys/bus/pci/drivers/{driver}/unbind"), address).unwrap();
}

#[test]
fn a_function_of_a_driver_in_user_space_is_set_up_and_described_but_not_moved() {
    let Some(node) = Node::start() else { return };
    let vf = &node.vfs(0, 1)[0];
    let test = "a_function_of_a_driver_in_user_space_is_set_up_and_described_but_not_moved";
    let Some(driver) = bind(&vf.pci_address, test) else { return };
    let before = node.links();
    let pod = node.pod("a");
    let config = with(sriov(vf), &json!({"vlan": 100, "mac": "02:00:00:00:10:01", "mtu": 1400}));
    let result = succeeded(&node.add(&pod, &config));
    assert_eq!(
        result["interfaces"],
        json!([{"name": "net1", "mac": "02:00:00:00:10:01", "sandbox": pod.netns.path(), "pciID": vf.pci_address}])
    );
    assert_eq!((&result["ips"][0]["address"], node.leases().len()), (&json!("10.6.0.2/24"), 1));
    let info = node.vf_info(0, 0);
    assert_eq!((&info["address"], &info["vlan_list"][0]["vlan"]), (&json!("02:00:00:00:10:01"), &json!(100)));
    succeeded(&node.check(&pod, &config, &result));
    succeeded(&node.del(&pod, &config));
    assert_eq!((node.links(), node.leases().len()), (before, 0));
    unbind(&vf.pci_address, driver);
}

#[test]
fn a_limit_that_such_a_function_cannot_have_is_told_and_the_pod_starts() {
    let Some(node) = Node::start() else { return };
    let vf = &node.vfs(0, 1)[0];
    let test = "a_limit_that_such_a_function_cannot_have_is_told_and_the_pod_starts";
    let Some(driver) = bind(&vf.pci_address, test) else { return };
    let (host, pod) = (node.machine.host(), node.pod("a"));
    let main = json!({"type": "host-device", "pciBusID": vf.pci_address});
    let list = json!({
        "cniVersion": "1.1.0", "name": "limited",
        "plugins": [main, {"type": "bandwidth", "egressRate": 1_000_000, "egressBurst": 100_000}],
    });
    write_network(&host.manifests_dir(), "default", "limited", &list).unwrap();
    write_pod(&host.manifests_dir(), &pod, "limited").unwrap();
    node.ip(&["link", "add", "cable0", "type", "veth", "peer", "name", "cable1"]);
    let default = json!({"cniVersion": "1.1.0", "name": "lan", "type": "macvlan", "master": "cable0"});
    let meta = json!({"cniVersion": "1.1.0", "name": "plexus", "type": "plexus", "delegates": [default]});
    succeeded(&node.runtime.add(&pod, "eth0", &meta).unwrap());
    let explained = node.plexusd.ask(&Query::Explain { pod: "default/a".into() }).unwrap().to_string();
    for part in [driver, "no bandwidth limit"] {
        assert!(explained.contains(part), "{explained}");
    }
    succeeded(&node.runtime.del(&pod, "eth0", &meta).unwrap());
    unbind(&vf.pci_address, driver);
}
