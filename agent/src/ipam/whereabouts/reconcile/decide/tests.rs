//! What is a leak, and what is kept whatever anybody says.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::super::hold::Place;
use super::*;

const NODE: &str = "node-1";

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn hold(container_id: &str, podref: &str, last: u8) -> Hold {
    Hold {
        place: Place::Pool { pool: "10.0.0.0-24".into(), offset: last.into() },
        address: Some(address(last)),
        container_id: container_id.into(),
        podref: podref.into(),
        ifname: "net1".into(),
    }
}

fn lives(node: &str, shown: Option<&[u8]>) -> PodNow {
    let shown = shown.map(|shown| shown.iter().map(|last| address(*last)).collect());
    PodNow::Lives { uid: "u".into(), node: node.into(), shown }
}

fn attached(container_id: &str, ifname: &str) -> Attached {
    Attached { container_id: container_id.into(), podref: "n/p".into(), ifname: ifname.into() }
}

fn verdict(known: &Known, is_leader: bool, hold: &Hold, pod: &PodNow) -> Option<Leak> {
    Judge { node: NODE, known, is_leader }.leak(hold, pod)
}

#[test]
fn what_a_pod_held_that_is_gone_or_has_ended_is_the_leaders_to_free() {
    let (known, held) = (Known::default(), hold("c", "n/p", 1));
    assert_eq!(verdict(&known, true, &held, &PodNow::Gone), Some(Leak::PodGone));
    assert_eq!(verdict(&known, true, &held, &PodNow::Ended), Some(Leak::PodEnded));
    for pod in [PodNow::Gone, PodNow::Ended] {
        assert_eq!(verdict(&known, false, &held, &pod), None);
    }
}

#[test]
fn a_container_that_is_gone_under_a_living_pod_is_its_nodes_to_free() {
    let (known, held) = (Known::default(), hold("old", "n/p", 1));
    for is_leader in [true, false] {
        assert_eq!(verdict(&known, is_leader, &held, &lives(NODE, Some(&[2]))), Some(Leak::ContainerGone));
        for pod in
            [lives(NODE, Some(&[1])), lives(NODE, None), lives("node-2", Some(&[2])), lives("", Some(&[2]))]
        {
            assert_eq!(verdict(&known, is_leader, &held, &pod), None, "{pod:?}");
        }
    }
}

#[test]
fn what_this_node_recorded_or_multus_attached_is_kept_whatever_the_pod() {
    let recorded = Known { attachments: [attached("c", "net1")].into(), foreign: BTreeSet::new() };
    let foreign = Known { foreign: ["c".into()].into(), attachments: BTreeSet::new() };
    for known in [&recorded, &foreign] {
        for pod in [PodNow::Gone, PodNow::Ended, lives(NODE, Some(&[]))] {
            assert_eq!(verdict(known, true, &hold("c", "n/p", 1), &pod), None);
        }
    }
    let of_old_release = Hold { ifname: String::new(), ..hold("c", "n/p", 1) };
    assert_eq!(verdict(&recorded, true, &of_old_release, &PodNow::Gone), None);
    let of_the_original = Hold { container_id: String::new(), ..hold("", "n/p", 1) };
    assert_eq!(verdict(&recorded, true, &of_the_original, &PodNow::Gone), None);
    let other_interface = Hold { ifname: "net2".into(), ..hold("c", "n/p", 1) };
    assert_eq!(verdict(&recorded, true, &other_interface, &PodNow::Gone), Some(Leak::PodGone));
}

#[test]
fn what_cannot_be_understood_is_kept() {
    let known = Known::default();
    for podref in ["", "p", "/p", "n/", "a/b/c"] {
        assert_eq!(verdict(&known, true, &hold("c", podref, 1), &PodNow::Gone), None, "{podref:?}");
    }
    let without_address = Hold { address: None, ..hold("c", "n/p", 1) };
    assert_eq!(verdict(&known, true, &without_address, &lives(NODE, Some(&[]))), None);
}

prop_compose! {
    fn any_known()(
        attachments in proptest::collection::btree_set(("[ab]", "net[12]"), 0..4),
        foreign in proptest::collection::btree_set("[ab]", 0..2),
    ) -> Known {
        let attachments = attachments.iter().map(|(container_id, ifname)| attached(container_id, ifname)).collect();
        Known { attachments, foreign }
    }
}

fn any_pod() -> impl Strategy<Value = PodNow> {
    prop_oneof![
        Just(PodNow::Unknown),
        Just(PodNow::Gone),
        Just(PodNow::Ended),
        (
            prop_oneof![Just(""), Just(NODE), Just("node-2")],
            proptest::option::of(proptest::collection::btree_set(0_u8..4, 0..4)),
        )
            .prop_map(|(node, shown)| PodNow::Lives {
                uid: "u".into(),
                node: node.into(),
                shown: shown.map(|shown| shown.into_iter().map(address).collect()),
            }),
    ]
}

prop_compose! {
    fn any_hold()(container_id in "[ab]", podref in "(n/p|n/q|bad)", last in 0_u8..4, ifname in "(net[12])?") -> Hold {
        Hold { ifname, ..hold(&container_id, &podref, last) }
    }
}

proptest! {
    /// The one promise: whatever a living pod shows, and whatever a container of this node holds, is kept.
    #[test]
    fn what_a_living_pod_holds_is_never_a_leak(
        known in any_known(), held in any_hold(), pod in any_pod(), is_leader: bool,
    ) {
        let leak = verdict(&known, is_leader, &held, &pod);
        let shows = |shown: &BTreeSet<IpAddr>| held.address.is_some_and(|address| shown.contains(&address));
        let is_alive = match &pod {
            PodNow::Unknown | PodNow::Lives { shown: None, .. } => true,
            PodNow::Lives { shown: Some(shown), .. } => shows(shown),
            PodNow::Gone | PodNow::Ended => false,
        };
        let is_recorded = known.foreign.contains(&held.container_id)
            || known.attachments.contains(&attached(&held.container_id, &held.ifname));
        if is_alive || is_recorded {
            prop_assert_eq!(leak, None);
        }
    }

    /// Nothing stays for ever: what nobody holds is a leak for the leader or for the pod's node.
    #[test]
    fn what_nobody_holds_is_somebodys_to_free(held in any_hold(), pod in any_pod()) {
        let known = Known::default();
        let of_node = |node: &str| Judge { node, known: &known, is_leader: true }.leak(&held, &pod);
        let is_leak = match &pod {
            PodNow::Gone | PodNow::Ended => true,
            PodNow::Lives { node, shown: Some(shown), .. } => {
                !node.is_empty() && held.address.is_some_and(|address| !shown.contains(&address))
            }
            _ => false,
        };
        let is_freed = [NODE, "node-2"].iter().any(|node| of_node(node).is_some());
        prop_assert_eq!(is_freed, is_leak && held.pod().is_some());
    }
}
