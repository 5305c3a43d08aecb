//! What sriov-cni gave to pods, as its files say.

use std::fs;

use plexus_cni::Code;
use serde_json::json;

use crate::kernel::link;
use crate::node::{Node, end_netns, sriov};
use crate::outcome::{failed, succeeded};

const DIR: &str = "/var/lib/cni/sriov";

#[test]
fn a_function_that_sriov_cni_gave_to_a_pod_is_put_back_and_not_given_to_another_before() {
    let Some(node) = Node::start() else { return };
    let vf = &node.vfs(0, 1)[0];
    let host = node.machine.host().netns();
    let own = link(host, &vf.ifname).unwrap();
    fs::create_dir_all(format!("{DIR}/pci")).unwrap();
    for name in ["a", "b"] {
        let pod = node.pod(name);
        let netns = pod.netns.path().display().to_string();
        let (cache, allocation) =
            (format!("{DIR}/{}-net1", pod.container_id), format!("{DIR}/pci/{}", vf.pci_address));
        let cached = json!({
            "cniVersion": "1.0.0", "name": "vf", "type": "sriov", "Master": node.card(0), "VFID": 0, "vlan": 100,
            "deviceID": vf.pci_address, "OrigVfState": {
                "HostIFName": vf.ifname, "SpoofChk": true, "Trust": false, "AdminMAC": own["address"],
                "EffectiveMAC": own["address"], "Vlan": 0, "VlanQoS": 0, "VlanProto": 0, "MinTxRate": 0, "MaxTxRate": 0,
                "LinkState": 0,
            },
        });
        fs::write(&cache, cached.to_string()).unwrap();
        fs::write(&allocation, &netns).unwrap();
        node.ip(&[
            "link",
            "set",
            node.card(0),
            "vf",
            "0",
            "vlan",
            "100",
            "mac",
            "02:00:00:00:11:01",
            "trust",
            "on",
        ]);
        node.ip(&["link", "set", &vf.ifname, "netns", &netns, "name", "net1"]);
        pod.netns.ip(&["link", "set", "net1", "address", "02:00:00:00:11:01", "up"]).unwrap();
        let other = node.pod(&format!("other-{name}"));
        let text = failed(&node.add(&other, &sriov(vf)), Code::DeviceUnavailable);
        assert!(text.contains(&vf.pci_address) && text.contains(&netns), "{text}");
        // The second pod's namespace has ended before its DEL comes.
        if name == "a" {
            succeeded(&node.del(&pod, &sriov(vf)));
        } else {
            let id = end_netns(pod);
            let back = || node.machine.cards()[0].vf(0).is_some();
            while !back() {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            succeeded(&node.del_without_netns(&id, &sriov(vf)));
        }
        let after = link(host, &vf.ifname).unwrap();
        assert_eq!((&after["address"], &after["mtu"]), (&own["address"], &own["mtu"]));
        let info = node.vf_info(0, 0);
        assert_eq!((&info["address"], &info["trust"]), (&own["address"], &json!(false)), "{info}");
        assert!(info["vlan_list"][0]["vlan"].is_null(), "{info}");
        assert!(!fs::exists(&cache).unwrap() && !fs::exists(&allocation).unwrap());
        succeeded(&node.add(&other, &sriov(vf)));
        succeeded(&node.del(&other, &sriov(vf)));
    }
}
