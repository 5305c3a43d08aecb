//! What people are told of a function: where its programs stand, that they work there, and what its driver lacks.

use plexus_cni::wire::Query;
use serde_json::json;

use crate::node::{Node, sriov};
use crate::outcome::succeeded;

#[test]
fn a_function_without_xdp_is_counted_all_the_same_and_explain_says_what_it_lacks() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let pod = node.pod("a");
    succeeded(&node.add(&pod, &sriov(&vfs[0])));
    let ports = node.plexusd.ask(&Query::Ports).unwrap();
    let port = &ports[0];
    assert!(port["reason"].as_str().is_some_and(|why| why.contains("no other place")), "{port}");
    let hooks = port["state"]["hooks"].as_array().unwrap();
    assert!(hooks.iter().all(|hook| hook["mode"] == "tc" && hook["ours"] == true), "{port}");
    let explained = node.plexusd.ask(&Query::Explain { pod: pod.container_id.clone() }).unwrap().to_string();
    // A kernel before 6.3 does not say what drivers can do.
    let says = plexus_agent::lab::vm::series().is_some_and(|series| series != "6.1");
    assert_eq!(port["lacks"].to_string().contains("no native XDP"), says, "{port}");
    assert_eq!(explained.contains("no native XDP"), says, "{explained}");
    // Whatever it sends is counted: the solicitations of its link-local address at the least.
    let counted = || node.plexusd.ask(&Query::Counters).unwrap()[0]["counters"]["txPackets"].as_u64();
    let before = counted().unwrap();
    pod.netns.ip(&["neigh", "add", "10.6.0.99", "lladdr", "02:00:00:00:00:99", "dev", "net1"]).unwrap();
    pod.netns
        .within(|| {
            let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).unwrap();
            for _ in 0..5 {
                socket.send_to(b"x", "10.6.0.99:9").unwrap();
            }
        })
        .unwrap();
    assert!(counted().unwrap() >= before + 5, "{:?} after {before}", counted());
    assert_eq!(port["error"], json!(null));
}
