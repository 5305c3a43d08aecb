//! Devices that a node hands out to pods, and which network of a pod gets which.
//!
//! A NetworkAttachmentDefinition names a resource by `k8s.v1.cni.cncf.io/resourceName`; the kubelet gave the pod devices
//! of it before the first ADD. Each network takes the next one, in the order of their ids, as with Multus.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::authorize::Lookup;
use crate::error::{CniError, Code};

/// Ids that an error message shows.
const IDS_SHOWN: usize = 8;

/// The devices of one pod, by resource, over all its containers.
///
/// A device that several containers hold (an init container's is given on to the others) counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodDevices(BTreeMap<String, BTreeSet<String>>);

impl PodDevices {
    /// Adds a device.
    pub fn insert(&mut self, resource: &str, id: &str) {
        self.0.entry(resource.to_owned()).or_default().insert(id.to_owned());
    }

    /// Adds all devices of `other`.
    pub fn extend(&mut self, other: Self) {
        for (resource, ids) in other.0 {
            self.0.entry(resource).or_default().extend(ids);
        }
    }

    /// The ids of a resource's devices, sorted.
    pub fn of(&self, resource: &str) -> impl ExactSizeIterator<Item = &str> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        self.0.get(resource).unwrap_or(&NONE).iter().map(String::as_str)
    }

    /// Whether the pod has no device at all.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeSet::is_empty)
    }
}

/// A device that a network got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The resource, e.g. `intel.com/sriov_netdevice`.
    pub resource: String,
    /// Its id, often a PCI address.
    pub id: String,
}

/// What is known of the pod's devices.
enum Held {
    NotAsked,
    /// Nobody hands out devices on this node.
    NobodyKnows,
    These(PodDevices),
}

/// Hands the devices of one pod out, each once; asks for them only when a network needs one.
pub(crate) struct Allocator<'a> {
    lookup: &'a dyn Lookup,
    held: Held,
    used: BTreeMap<String, usize>,
}

impl<'a> Allocator<'a> {
    pub(crate) fn new(lookup: &'a dyn Lookup) -> Self {
        Self { lookup, held: Held::NotAsked, used: BTreeMap::new() }
    }

    /// The next device of `resource`. `selected` is the `deviceID` of the selection element: the person's word counts
    /// where no kubelet hands out devices, and nowhere else, so that no pod takes another one's device.
    pub(crate) fn take(&mut self, resource: &str, selected: Option<&str>) -> Result<Device, CniError> {
        let device = |id: &str| Device { resource: resource.to_owned(), id: id.to_owned() };
        if matches!(self.held, Held::NotAsked) {
            self.held = self.lookup.devices()?.map_or(Held::NobodyKnows, Held::These);
        }
        let Held::These(devices) = &self.held else {
            return selected.map(device).ok_or_else(|| {
                CniError::new(Code::DeviceUnavailable, format!("no device of resource {resource:?} is known"))
                    .because("no kubelet hands out devices on this node; name one by \"deviceID\" in the network's selection element")
            });
        };
        let used = self.used.entry(resource.to_owned()).or_default();
        let id = devices.of(resource).nth(*used);
        *used += 1;
        id.map(device).ok_or_else(|| too_few(resource, devices, *used))
    }
}

/// More networks want a device than there are.
fn too_few(resource: &str, devices: &PodDevices, wanted: usize) -> CniError {
    let ids: Vec<&str> = devices.of(resource).take(IDS_SHOWN).collect();
    let held = match devices.of(resource).len() {
        0 => "the pod has none".to_owned(),
        count => format!("the pod has {count} ({}), networks before this one use them", ids.join(", ")),
    };
    CniError::new(Code::DeviceUnavailable, format!("no device of resource {resource:?} is left")).because(format!(
        "{held}; it takes at least {wanted}, one for each network: request them by resources.limits of a container, or by a resource claim"
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::nad::NetworkAttachmentDefinition;

    /// A kubelet in memory that counts how often it is asked.
    struct Kubelet {
        devices: Option<PodDevices>,
        asked: Cell<usize>,
    }

    impl Lookup for Kubelet {
        fn nad(&self, _: &str, _: &str) -> Result<Option<NetworkAttachmentDefinition>, CniError> {
            Ok(None)
        }

        fn has_nad(&self, _: &str, _: &str) -> bool {
            false
        }

        fn file(&self, _: &str) -> Result<Option<String>, CniError> {
            Ok(None)
        }

        fn devices(&self) -> Result<Option<PodDevices>, CniError> {
            self.asked.set(self.asked.get() + 1);
            Ok(self.devices.clone())
        }
    }

    fn kubelet(held: &[(&str, &str)]) -> Kubelet {
        let mut devices = PodDevices::default();
        for (resource, id) in held {
            devices.insert(resource, id);
        }
        Kubelet { devices: Some(devices), asked: Cell::new(0) }
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_there() {
        let kubelet = kubelet(&[("v/vf", "0000:03:02.0"), ("v/other", "x")]);
        let mut allocator = Allocator::new(&kubelet);
        allocator.take("v/vf", None).unwrap();
        let error = allocator.take("v/vf", Some("0000:03:02.7")).unwrap_err();
        assert_eq!(error.code, Code::DeviceUnavailable);
        for part in ["v/vf", "has 1 (0000:03:02.0)", "at least 2", "resources.limits"] {
            assert!(error.to_string().contains(part), "{part} is not in {error}");
        }
        assert!(allocator.take("v/none", None).unwrap_err().details.contains("has none"));
        assert_eq!(kubelet.asked.get(), 1);
    }

    #[test]
    fn without_a_kubelet_the_selection_names_the_device() {
        let nobody = Kubelet { devices: None, asked: Cell::new(0) };
        let mut allocator = Allocator::new(&nobody);
        assert_eq!(allocator.take("v/vf", Some("a")).unwrap().id, "a");
        assert!(allocator.take("v/vf", None).unwrap_err().details.contains("deviceID"));
    }

    proptest! {
        #[test]
        fn devices_are_handed_out_in_order_once_and_to_the_last(
            held in proptest::collection::vec((0..3_usize, "[0-9a-f]{1,3}"), 0..12),
            wishes in proptest::collection::vec(0..3_usize, 0..16),
        ) {
            let resources = ["v/a", "v/b", "v/c"];
            let held: Vec<_> = held.iter().map(|(at, id)| (resources[*at], &**id)).collect();
            let kubelet = kubelet(&held);
            let mut allocator = Allocator::new(&kubelet);
            let mut given: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for wish in wishes {
                let resource = resources[wish];
                let mut ids: Vec<&str> = held.iter().filter(|(of, _)| *of == resource).map(|(_, id)| *id).collect();
                ids.sort_unstable();
                ids.dedup();
                let before = given.entry(resource).or_default();
                match allocator.take(resource, None) {
                    Ok(device) => {
                        prop_assert_eq!(&device.id, ids[before.len()]);
                        before.push(device.id);
                    }
                    Err(error) => {
                        prop_assert_eq!(error.code, Code::DeviceUnavailable);
                        prop_assert_eq!(before.len(), ids.len());
                    }
                }
            }
            prop_assert!(kubelet.asked.get() <= 1);
        }
    }
}
