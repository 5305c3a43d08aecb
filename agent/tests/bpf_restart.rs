//! Restarts and upgrades of the agent while packets flow.

mod bpf_rig;

use std::{
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, Ordering},
};

use bpf_rig::{
    MAX_PORTS, Rig,
    pod::{Machine, tap},
    world::{NETWORK, World},
};
use plexus_abi::port_ifindex;
use plexus_agent::datapath::{Datapath, DatapathOptions, PortKind, PortSpec};

/// Runs `work` while pod one talks to pod two and the outside machine talks to nobody else; then nothing may be lost.
fn under_traffic(world: &World, work: impl FnOnce()) {
    let [one, two] = &world.pods;
    one.reaches(two, two.v4());
    let stop = AtomicBool::new(false);
    let (sent, lost) = std::thread::scope(|scope| {
        let traffic = scope.spawn(|| one.exchange(two, &stop));
        work();
        stop.store(true, Ordering::Relaxed);
        traffic.join().expect("traffic")
    });
    assert!(sent > 0 && lost == 0, "{lost} of {sent} lost");
}

/// The same for traffic that enters and leaves by the uplink.
fn under_uplink_traffic(world: &World, work: impl FnOnce()) {
    let [one, _] = &world.pods;
    world.outside.reaches(one, one.v4());
    let stop = AtomicBool::new(false);
    let (sent, lost) = std::thread::scope(|scope| {
        let traffic = scope.spawn(|| world.outside.exchange(one, &stop));
        work();
        stop.store(true, Ordering::Relaxed);
        traffic.join().expect("traffic")
    });
    assert!(sent > 0 && lost == 0, "{lost} of {sent} lost");
}

#[test]
fn a_restart_loses_no_packet_and_keeps_ports_and_counters() {
    let Some(world) = World::new("a_restart_loses_no_packet_and_keeps_ports_and_counters") else { return };
    let first = world.rig.open();
    world.populate(&first);
    let pins = world.rig.pins();
    drop(first);
    // No agent runs now, and traffic goes on.
    let restart = || {
        for _ in 0..5 {
            let datapath = world.rig.open();
            assert_eq!(datapath.ports().expect("ports"), [1, 2]);
            for id in [1, 2] {
                let state = datapath.port_state(id).expect("state");
                assert!(state.is_healthy(), "{state:?}");
            }
            assert!(datapath.networks().expect("networks")[0].hooks.iter().all(|hook| hook.ours));
            // An agent applies its records at start.
            world.populate(&datapath);
        }
    };
    under_traffic(&world, restart);
    under_uplink_traffic(&world, restart);
    assert_eq!(world.rig.pins(), pins);
    let counters = world.rig.open().counters(1).expect("counters");
    assert!(counters.tx_packets > 0 && counters.drops.values().all(|drops| *drops == 0), "{counters:?}");
}

#[test]
fn a_new_generation_takes_over_without_losing_a_packet() {
    let Some(world) = World::new("a_new_generation_takes_over_without_losing_a_packet") else { return };
    let old = world.rig.open();
    world.populate(&old);
    let before = old.counters(1).expect("counters").tx_packets;
    drop(old);
    let upgrade = |max_ports| {
        let options = DatapathOptions { bpffs: world.rig.bpffs(), max_ports, ..DatapathOptions::default() };
        let new = Datapath::open(&options).expect("open");
        assert!(new.ports().expect("ports").is_empty(), "records fill the new maps");
        world.populate(&new);
        assert!(!new.port_state(1).expect("state").is_healthy(), "the old program still runs");
        new.finish_migration().expect("finish");
        for id in [1, 2] {
            let state = new.port_state(id).expect("state");
            assert!(state.is_healthy(), "{state:?}");
        }
        assert!(new.counters(1).expect("counters").tx_packets >= before, "counters are inherited");
        assert_eq!(new.networks().expect("networks")[0].id, NETWORK);
    };
    under_traffic(&world, || upgrade(2 * MAX_PORTS));
    under_uplink_traffic(&world, || upgrade(4 * MAX_PORTS));
    let pins = world.rig.pins();
    let maps = pins.iter().filter(|pin| pin.ends_with("/maps/PORTS")).count();
    let links = pins.iter().filter(|pin| pin.contains("/links/")).count();
    assert_eq!((maps, links), (1, 2), "only the last generation is left: {pins:?}");
}

#[test]
fn an_uplink_that_went_away_is_forgotten_at_the_next_start() {
    let Some(world) = World::new("an_uplink_that_went_away_is_forgotten_at_the_next_start") else { return };
    let first = world.rig.open();
    world.populate(&first);
    drop(first);
    bpf_rig::ip("link del uplink");
    let second = world.rig.open();
    assert!(!world.rig.pins().iter().any(|pin| pin.contains("/links/")), "{:?}", world.rig.pins());
    let network = &second.networks().expect("networks")[0];
    assert!(network.hooks.iter().all(|hook| hook.attached == Some(false)), "{network:?}");
    assert!(second.port_state(1).expect("state").is_healthy());
    let [one, two] = &world.pods;
    one.reaches(two, two.v4());
}

#[test]
fn a_restart_needs_no_way_into_a_tapped_pod() {
    let Some(rig) = Rig::new("a_restart_needs_no_way_into_a_tapped_pod") else { return };
    let outside = Machine::behind(9, "parent", 0);
    let pod = Machine::on_macvlan(1, "parent", port_ifindex(1));
    rig.open().add_port(&tap(1, &pod, PortKind::PodTap)).expect("port");
    outside.reaches(&pod, pod.v4());
    for max_ports in [MAX_PORTS, 2 * MAX_PORTS] {
        let datapath =
            Datapath::open(&DatapathOptions { bpffs: rig.bpffs(), max_ports, ..DatapathOptions::default() })
                .expect("open");
        let spec = PortSpec { socket: None, ..tap(1, &pod, PortKind::PodTap) };
        datapath.restore_port(&spec).expect("restore");
        datapath.finish_migration().expect("finish");
        let before = datapath.counters(1).expect("counters");
        assert!(before.rx_packets > 0, "counters are kept");
        outside.reaches(&pod, pod.v4());
        pod.reaches(&outside, outside.v4());
        let after = datapath.counters(1).expect("counters");
        assert!(after.rx_packets > before.rx_packets && after.tx_packets > before.tx_packets, "{after:?}");
        let state = datapath.port_state_in(1, pod.control.as_fd()).expect("state");
        assert!(state.is_healthy(), "{state:?}");
    }
}
