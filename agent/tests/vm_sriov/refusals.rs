//! What is refused before anything is touched.

use plexus_cni::Code;
use serde_json::json;

use crate::node::{Node, sriov, with};
use crate::outcome::{failed, succeeded};

#[test]
fn a_function_that_a_pod_has_is_refused_to_another() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let (first, second) = (node.pod("first"), node.pod("second"));
    succeeded(&node.add(&first, &sriov(&vfs[0])));
    let text = failed(&node.add(&second, &sriov(&vfs[0])), Code::DeviceUnavailable);
    assert!(text.contains("default/first") && text.contains(&vfs[0].pci_address), "{text}");
    succeeded(&node.del(&second, &sriov(&vfs[0])));
    succeeded(&node.del(&first, &sriov(&vfs[0])));
    succeeded(&node.add(&second, &sriov(&vfs[0])));
    succeeded(&node.del(&second, &sriov(&vfs[0])));
}

#[test]
fn two_pods_that_want_one_function_at_once_are_not_both_given_it() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let pods: Vec<_> = (0..4).map(|number| node.pod(&format!("p{number}"))).collect();
    let config = sriov(&vfs[0]);
    let runtime = &node.runtime;
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let adding: Vec<_> =
            pods.iter().map(|pod| scope.spawn(|| runtime.add(pod, "net1", &config).unwrap().code)).collect();
        adding.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    for pod in &pods {
        succeeded(&node.del(pod, &config));
    }
}

#[test]
fn what_is_no_virtual_function_is_refused_with_the_reason() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let card = node.machine.cards()[0].pci_address.clone();
    let pod = node.pod("a");
    for (device, named) in [(card.as_str(), "host-device"), ("0000:7f:00.0", "no such device")] {
        let config = with(sriov(&vfs[0]), &json!({"deviceID": device}));
        let text = failed(&node.add(&pod, &config), Code::DeviceUnavailable);
        assert!(text.contains(named) && text.contains(device), "{text}");
    }
    std::fs::write("/sys/bus/pci/drivers/igbvf/unbind", &vfs[0].pci_address).unwrap();
    let text = failed(&node.add(&pod, &sriov(&vfs[0])), Code::DeviceUnavailable);
    assert!(text.contains("no driver"), "{text}");
}
