//! `plexus.parent` on network cards.

use plexus_agent::lab::skip::require_binaries_or_skip;
use plexus_agent::lab::{DaemonSetup, Machine, Runtime, require_machine_or_skip, vm};
use serde_json::{Value, json};

use crate::ipvlan::ipvlan;
use crate::link_rig::support::kernel::link;
use crate::link_rig::support::{succeeded, with};
use crate::link_rig::traffic::address;

/// An ipvlan of the card that is known by this.
fn on(parent: Value) -> Value {
    let mut config = with(ipvlan("l2"), "plexus", json!({"parent": parent}));
    config.as_object_mut().unwrap().remove("master");
    config
}

#[test]
fn a_card_is_found_by_its_pci_address_and_by_the_address_that_it_was_built_with() {
    let test = "a_card_is_found_by_its_pci_address_and_by_the_address_that_it_was_built_with";
    if !require_machine_or_skip(test) {
        return;
    }
    let Some(binaries) = require_binaries_or_skip(test) else { return };
    let machine = Machine::enter().unwrap();
    let _plexusd = DaemonSetup::new(machine.host(), &binaries).start().unwrap();
    let runtime = Runtime::new(machine.host(), &binaries);
    let (a, b) = (machine.host().pod("a").unwrap(), machine.host().pod("b").unwrap());
    let [first, second] = machine.cards() else { panic!("two cards") };
    let built_in = link(machine.host().netns(), &second.ifname).unwrap();
    let built_in = built_in["permaddr"].as_str().or(built_in["address"].as_str()).unwrap().to_owned();
    let (by_pci, by_mac) = (on(json!({"pci": first.pci_address})), on(json!({"mac": built_in})));
    let at_a = succeeded(&runtime.add(&a, "net1", &by_pci).unwrap());
    let at_b = succeeded(&runtime.add(&b, "net1", &by_mac).unwrap());
    for (pod, card) in [(&a, first), (&b, second)] {
        let card = link(machine.host().netns(), &card.ifname).unwrap();
        assert_eq!(link(&pod.netns, "net1").unwrap()["link_index"], card["ifindex"]);
    }
    vm::wait_for_answer(&a.netns, address(&at_b, 0)).unwrap();
    vm::wait_for_answer(&b.netns, address(&at_a, 0)).unwrap();
    succeeded(&runtime.del(&a, "net1", &by_pci).unwrap());
    succeeded(&runtime.del(&b, "net1", &by_mac).unwrap());
}
