//! The pair of links of a fastpath pod where the kernel has no netkit; where it has, `vm_netkit` shows it.

use plexus_agent::lab::link::ip;
use plexus_agent::lab::skip::skipped;
use plexus_cni::Code;
use plexus_cni::wire::Query;
use serde_json::json;

use crate::support::kernel::link;
use crate::support::{Node, failed, fastpath, succeeded, with};

#[test]
fn a_kernel_without_netkit_refuses_it_and_auto_takes_veth_and_says_why() {
    let Some(node) = Node::start() else { return };
    if ip(&["link", "add", "probe0", "type", "netkit"]).is_ok() {
        let test = "a_kernel_without_netkit_refuses_it_and_auto_takes_veth_and_says_why";
        skipped(test, "this kernel has netkit");
        return;
    }
    let pod = node.known_pod("a", "");
    let netkit = with(fastpath(), "plexus", json!({"link": "netkit"}));
    let said = failed(&node.add(&pod, "net1", &netkit), Code::InvalidConfig);
    assert!(said.contains("plexus.link") && said.contains("CONFIG_NETKIT"), "{said}");
    node.assert_clean(&[&pod]);
    let auto = with(fastpath(), "plexus", json!({"link": "auto"}));
    let result = succeeded(&node.add(&pod, "net1", &auto));
    assert_eq!(link(&pod.netns, "net1").unwrap()["linkinfo"]["info_kind"], "veth");
    let shown = node.query(&Query::Ports)[0]["kind"]["fastpath"]["link"].clone();
    assert_eq!(shown["kind"], "veth");
    assert!(shown["why"].as_str().unwrap().contains("no netkit"), "{shown}");
    let explained = node.query(&Query::Explain { pod: "default/a".into() }).to_string();
    assert!(explained.contains("connected by veth: the kernel has no netkit"), "{explained}");
    succeeded(&node.check(&pod, "net1", &auto, &result));
    succeeded(&node.del(&pod, "net1", &auto));
    node.assert_clean(&[&pod]);
}
