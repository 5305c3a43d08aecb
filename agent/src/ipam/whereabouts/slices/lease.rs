//! Who holds an address.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The holder of an address: an interface of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// The container, as `CNI_CONTAINERID` names it.
    pub container_id: String,
    /// The interface inside the container.
    pub ifname: String,
    /// `namespace/name` of the pod; empty where the runtime named none.
    pub podref: String,
    /// The pod's UID; empty where the runtime named none.
    pub pod_uid: String,
    /// The CNI network's name, for GC: networks may share a pool.
    pub network: String,
}

impl Lease {
    /// Whether it is the same interface of the same container.
    pub(super) fn is_same(&self, container_id: &str, ifname: &str) -> bool {
        self.container_id == container_id && self.ifname == ifname
    }

    /// Whether it is the same interface of the same pod, whose sandbox may be another one by now.
    pub(super) fn is_of_same_pod(&self, other: &Self) -> bool {
        !self.pod_uid.is_empty()
            && (&self.podref, &self.pod_uid, &self.ifname) == (&other.podref, &other.pod_uid, &other.ifname)
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.podref.is_empty() {
            write!(formatter, "pod {} ", self.podref)?;
        }
        write!(formatter, "container {} interface {}", self.container_id, self.ifname)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The lease of the `at`-th container.
    pub(in super::super) fn lease(at: usize) -> Lease {
        Lease {
            container_id: format!("container-{at}"),
            ifname: "net1".into(),
            podref: format!("default/pod-{at}"),
            pod_uid: format!("uid-{at}"),
            network: "net".into(),
        }
    }

    #[test]
    fn a_pod_without_a_uid_is_no_other_sandboxs_pod() {
        let unnamed = Lease { pod_uid: String::new(), ..lease(1) };
        assert!(lease(1).is_of_same_pod(&lease(1)) && !unnamed.is_of_same_pod(&unnamed));
        assert_eq!(lease(1).to_string(), "pod default/pod-1 container container-1 interface net1");
    }
}
