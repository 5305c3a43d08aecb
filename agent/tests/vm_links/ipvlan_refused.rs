//! `ipvlan`: what cannot work, and who is in the way.

use plexus_cni::Code;
use plexus_cni::env::Command;
use serde_json::json;

use crate::ipvlan::ipvlan;
use crate::link_rig::support::kernel::link;
use crate::link_rig::support::{failed, macvlan, succeeded, with};
use crate::start;

#[test]
fn another_mode_on_the_same_master_is_refused_and_names_the_child_that_has_it() {
    let test = "another_mode_on_the_same_master_is_refused_and_names_the_child_that_has_it";
    let Some(node) = start(test, &["ipvlan"]) else { return };
    let (a, b) = (node.pod("a"), node.pod("b"));
    succeeded(&node.add(&a, "net1", &ipvlan("l2")));
    let said = failed(&node.add(&b, "net1", &ipvlan("l3")), Code::InvalidConfig);
    assert!(said.contains("children are in mode l2") && said.contains("net1 of "), "{said}");
    assert_eq!(link(&a.netns, "net1").unwrap()["linkinfo"]["info_data"]["mode"], "l2");
    succeeded(&node.del(&b, "net1", &ipvlan("l3")));
    succeeded(&node.del(&a, "net1", &ipvlan("l2")));
    succeeded(&node.add(&b, "net1", &ipvlan("l3")));
    succeeded(&node.del(&b, "net1", &ipvlan("l3")));
    node.assert_clean(&[&a, &b]);
}

#[test]
fn c014_what_a_master_cannot_have_is_refused_and_leaves_nothing() {
    let Some(node) = start("c014_what_a_master_cannot_have_is_refused_and_leaves_nothing", &["ipvlan"])
    else {
        return;
    };
    let (a, b) = (node.pod("a"), node.pod("b"));
    succeeded(&node.add(&a, "net1", &macvlan()));
    let said = failed(&node.add(&b, "net1", &ipvlan("l2")), Code::Kernel);
    assert!(said.contains("macvlan children"), "{said}");
    succeeded(&node.del(&a, "net1", &macvlan()));
    let mac = json!({"mac": "02:00:00:00:00:01"});
    for (config, code, named) in [
        (with(ipvlan("l2"), "runtimeConfig", mac), Code::UnsupportedField, "02:00:00:00:00:01"),
        (with(ipvlan("l2"), "mtu", json!(9000)), Code::InvalidConfig, "\"mtu\" is 9000"),
        (with(ipvlan("l2"), "master", json!("none0")), Code::InvalidConfig, "none0"),
        (ipvlan("l4"), Code::InvalidConfig, "mode"),
    ] {
        let said = failed(&node.add(&b, "net1", &config), code);
        assert!(said.contains(named), "{said}");
    }
    succeeded(&node.ask(Command::Status, &ipvlan("l2")));
    node.assert_clean(&[&a, &b]);
}
