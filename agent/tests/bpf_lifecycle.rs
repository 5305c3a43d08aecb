//! Adding, refusing, taking back and removing: what maps and pins hold afterwards.

mod bpf_rig;

use bpf_rig::{
    Rig, ifindex, ip,
    pod::{Machine, fastpath, tap},
    world::{NETWORK, VLAN, World, network},
};
use plexus_abi::port_ifindex;
use plexus_agent::datapath::{
    Datapath, DatapathOptions, NetworkSpec, PolicerSpec, PortKind, PortSpec, XdpChoice,
};

fn links(rig: &Rig) -> Vec<String> {
    let name = |pin: &String| pin.rsplit_once("/links/").map(|(_, name)| name.to_string());
    let mut names: Vec<_> = rig.pins().iter().filter_map(name).collect();
    names.sort();
    names
}

#[test]
fn adding_a_port_twice_changes_nothing() {
    let Some(world) = World::new("adding_a_port_twice_changes_nothing") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let [one, two] = &world.pods;
    one.reaches(two, two.v4());
    let (state, counters) = (datapath.port_state(1).expect("state"), datapath.counters(1).expect("counters"));
    world.populate(&datapath);
    assert_eq!(datapath.port_state(1).expect("state"), state);
    assert!(datapath.counters(1).expect("counters").tx_packets >= counters.tx_packets, "counters are kept");
    assert_eq!(datapath.networks().expect("networks")[0].ports, [1, 2]);
}

#[test]
fn another_specification_for_a_port_is_refused() {
    let Some(world) = World::new("another_specification_for_a_port_is_refused") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let other = PortSpec { mac: [2, 0, 0, 0, 0, 77], ..fastpath(1, &world.pods[0], NETWORK, VLAN) };
    let error = datapath.add_port(&other).expect_err("refused").to_string();
    assert!(error.contains("port 1") && error.contains("remove it first"), "{error}");
    assert!(datapath.port_state(1).expect("state").is_healthy());
}

#[test]
fn a_mac_that_another_port_has_is_refused() {
    let Some(world) = World::new("a_mac_that_another_port_has_is_refused") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let thief = PortSpec { id: 3, ifindex: port_ifindex(3), ..fastpath(1, &world.pods[0], NETWORK, VLAN) };
    let error = datapath.add_port(&thief).expect_err("refused").to_string();
    assert!(error.contains("port 3") && error.contains("port 1"), "{error}");
    assert_eq!(datapath.ports().expect("ports"), [1, 2]);
}

#[test]
fn a_vlan_that_another_network_has_is_refused() {
    let Some(world) = World::new("a_vlan_that_another_network_has_is_refused") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let error =
        datapath.upsert_network(&NetworkSpec { id: 8, ..network() }).expect_err("refused").to_string();
    assert!(error.contains("network 8") && error.contains("network 7"), "{error}");
    assert_eq!(datapath.networks().expect("networks").len(), 1);
}

#[test]
fn a_port_in_a_vlan_of_its_own_opens_and_closes_that_vlan() {
    let Some(world) = World::new("a_port_in_a_vlan_of_its_own_opens_and_closes_that_vlan") else { return };
    let datapath = world.rig.open();
    datapath.upsert_network(&network()).expect("network");
    let other = NetworkSpec { id: 8, vlan: 200, ..network() };
    datapath.add_port(&fastpath(1, &world.pods[0], NETWORK, 200)).expect("port");
    assert!(datapath.upsert_network(&other).is_err(), "network 7 uses VLAN 200");
    datapath.remove_port(1).expect("remove");
    datapath.upsert_network(&other).expect("VLAN 200 is free again");
}

#[test]
fn a_failed_attach_is_taken_back() {
    let Some(rig) = Rig::new("a_failed_attach_is_taken_back") else { return };
    let pod = Machine::new(1);
    let datapath = rig.open();
    datapath
        .upsert_network(&NetworkSpec {
            id: 1,
            uplink_ifindex: None,
            vlan: 0,
            xdp: XdpChoice::Auto,
            ..NetworkSpec::default()
        })
        .expect("network");
    for port in [fastpath(1, &pod, 1, 0), tap(1, &pod, PortKind::HostTap), tap(1, &pod, PortKind::PodTap)] {
        let error = datapath.add_port(&port).expect_err("there is no device").to_string();
        assert!(error.contains(&port_ifindex(1).to_string()), "{error}");
        assert!(datapath.ports().expect("ports").is_empty());
        assert_eq!(links(&rig), [""; 0]);
        assert!(datapath.networks().expect("networks")[0].ports.is_empty());
    }
    let gone = NetworkSpec {
        id: 2,
        uplink_ifindex: Some(4711),
        vlan: 0,
        xdp: XdpChoice::Auto,
        ..NetworkSpec::default()
    };
    assert!(datapath.upsert_network(&gone).is_err());
    assert_eq!(datapath.networks().expect("networks").len(), 1);
}

#[test]
fn removing_works_twice_and_without_the_device() {
    let Some(world) = World::new("removing_works_twice_and_without_the_device") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let police = Some(PolicerSpec { rate_bps: 1_000_000, burst_bits: 1_000_000 });
    datapath.set_policers(1, police, police).expect("policers");
    ip("link del pod1");
    let state = datapath.port_state(1).expect("state");
    assert!(!state.is_healthy(), "{state:?}");
    for _ in 0..2 {
        datapath.remove_port(1).expect("remove");
        assert_eq!(datapath.ports().expect("ports"), [2]);
    }
    datapath.remove_port(3).expect("never existed");
    datapath.remove_port(u32::MAX).expect("cannot exist");
    assert!(datapath.port_state(1).is_err() && datapath.counters(1).is_err());
    // The id is as good as new.
    let again = Machine::behind(1, "pod1", port_ifindex(1));
    datapath.add_port(&fastpath(1, &again, NETWORK, VLAN)).expect("again");
    let state = datapath.port_state(1).expect("state");
    assert!(state.is_healthy() && state.ingress.is_none(), "{state:?}");
    again.reaches(&world.pods[1], world.pods[1].v4());
}

#[test]
fn a_port_whose_device_was_replaced_is_attached_anew() {
    let Some(world) = World::new("a_port_whose_device_was_replaced_is_attached_anew") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    ip("link del pod1");
    let again = Machine::behind(1, "pod1", port_ifindex(1));
    datapath.add_port(&fastpath(1, &again, NETWORK, VLAN)).expect("repair");
    assert!(datapath.port_state(1).expect("state").is_healthy());
    again.reaches(&world.pods[1], world.pods[1].v4());
}

#[test]
fn the_uplink_is_released_by_its_last_network() {
    let Some(world) = World::new("the_uplink_is_released_by_its_last_network") else { return };
    let datapath = world.rig.open();
    let uplink = ifindex("uplink");
    let pins = [format!("uplink-{uplink}-tc"), format!("uplink-{uplink}-xdp")];
    datapath.upsert_network(&network()).expect("network");
    datapath.upsert_network(&NetworkSpec { id: 8, vlan: 200, ..network() }).expect("network");
    assert_eq!(links(&world.rig), pins);
    datapath.remove_network(NETWORK).expect("remove");
    assert_eq!(links(&world.rig), pins);
    for _ in 0..2 {
        datapath.remove_network(8).expect("remove");
        assert_eq!(links(&world.rig), [""; 0]);
    }
    assert!(datapath.networks().expect("networks").is_empty());
}

#[test]
fn a_network_with_ports_is_not_removed() {
    let Some(world) = World::new("a_network_with_ports_is_not_removed") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    let error = datapath.remove_network(NETWORK).expect_err("refused").to_string();
    assert!(error.contains("[1, 2]"), "{error}");
    world.pods[0].reaches(&world.pods[1], world.pods[1].v4());
}

#[test]
fn a_veth_uplink_goes_without_xdp_unless_asked_and_says_why() {
    let Some(world) = World::new("a_veth_uplink_goes_without_xdp_unless_asked_and_says_why") else { return };
    let datapath = world.rig.open();
    datapath.upsert_network(&NetworkSpec { xdp: XdpChoice::Auto, ..network() }).expect("network");
    for (id, pod) in (1..).zip(&world.pods) {
        datapath.add_port(&fastpath(id, pod, NETWORK, VLAN)).expect("port");
    }
    assert_eq!(links(&world.rig).iter().filter(|name| name.ends_with("xdp")).count(), 0);
    let hooks = &datapath.networks().expect("networks")[0].hooks;
    let reason = hooks[0].reason.as_deref().unwrap_or_default();
    assert!(
        hooks[0].name == "xdp" && hooks[0].attached == Some(false) && reason.contains("veth"),
        "{hooks:?}"
    );
    // tcx does the work.
    world.outside.reaches(&world.pods[0], world.pods[0].v4());
    world.pods[0].reaches(&world.outside, world.outside.v4());
}

#[test]
fn removing_everything_leaves_no_pin() {
    let Some(world) = World::new("removing_everything_leaves_no_pin") else { return };
    let datapath = world.rig.open();
    world.populate(&datapath);
    assert_ne!(world.rig.pins(), [""; 0]);
    datapath.remove_all().expect("remove");
    assert_eq!(world.rig.pins(), [""; 0]);
    assert!(!world.rig.bpffs().exists());
}

#[test]
fn a_directory_that_is_no_bpf_file_system_is_refused() {
    let Some(_rig) = Rig::new("a_directory_that_is_no_bpf_file_system_is_refused") else { return };
    let dir = tempfile::tempdir().expect("directory");
    let options = DatapathOptions { bpffs: dir.path().into(), max_ports: 16, ..DatapathOptions::default() };
    let error = Datapath::open(&options).err().expect("refused").to_string();
    assert!(error.contains("mount -t bpf"), "{error}");
}
