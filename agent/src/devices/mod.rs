//! Devices of the node: which ones a pod was given, and what is said of them.

mod checkpoint;
mod claims;
mod info;
mod pod_resources;

use std::path::{Path, PathBuf};
use std::time::Instant;

use plexus_cni::devices::PodDevices;
use plexus_cni::{CniError, Code};

use crate::cluster::PodId;

pub use checkpoint::{CheckpointError, devices_of as checkpointed_devices};
pub use claims::{ClaimSource, ResourceClaim, ResourceSlice, claimed};
pub use info::{DeviceInfoDir, DeviceInfoError};
pub use pod_resources::{
    ContainerDevices, ContainerResources, ListPodResourcesRequest, ListPodResourcesResponse, Listing,
    PodResources, PodResourcesError, PodResourcesLister,
};

/// Who knows the devices of this node's pods.
pub struct Devices {
    kubelet: PodResourcesLister,
    checkpoint: PathBuf,
    /// Without a cluster there may be no kubelet; with one its absence is a mistake.
    is_standalone: bool,
    /// What is said of devices.
    pub info: DeviceInfoDir,
}

impl Devices {
    /// The kubelet's socket and checkpoint, and the directory of device information; nothing is opened yet.
    pub fn new(socket: &Path, checkpoint: &Path, info_dir: &Path, is_standalone: bool) -> Self {
        Self {
            kubelet: PodResourcesLister::new(socket),
            checkpoint: checkpoint.to_owned(),
            is_standalone,
            info: DeviceInfoDir::new(info_dir),
        }
    }

    /// The devices of a pod whose ADD began at `began`; `None` on a standalone node without a kubelet.
    ///
    /// The kubelet's service is asked first. Where it is not there, or fails, its checkpoint counts, which knows pods by
    /// their UID.
    pub fn of_pod(
        &self,
        pod: PodId<'_>,
        began: Instant,
        deadline: Instant,
    ) -> Result<Option<PodDevices>, CniError> {
        let unanswered = if self.kubelet.socket().exists() {
            match self.kubelet.list(began, deadline) {
                Ok(listing) => {
                    let key = (pod.namespace.to_owned(), pod.name.to_owned());
                    return Ok(Some(listing.get(&key).cloned().unwrap_or_default()));
                }
                Err(error) => Some(error),
            }
        } else {
            None
        };
        let checkpoint = self.checkpoint.display();
        let held = match (pod.uid, self.checkpoint.exists()) {
            (_, false) => Err(format!("there is no checkpoint {checkpoint}")),
            (None, true) => {
                Err(format!("the checkpoint {checkpoint} needs the pod's UID, which is not known"))
            }
            (Some(uid), true) => checkpoint::devices_of(&self.checkpoint, uid)
                .map_err(|error| format!("the checkpoint {checkpoint} {error}")),
        };
        match (unanswered, held) {
            // A checkpoint without the pod proves nothing while the kubelet itself is silent.
            (Some(error), Ok(Some(held))) if held.is_empty() => {
                Err(unknown(&format!("{error}; the checkpoint {checkpoint} has no device of the pod")))
            }
            (_, Ok(Some(held))) => Ok(Some(held)),
            (Some(error), Ok(None)) => Err(unknown(&error.to_string())),
            (Some(error), Err(why)) => Err(unknown(&format!("{error}; {why}"))),
            (None, _) if self.is_standalone && !self.checkpoint.exists() => Ok(None),
            (None, held) => {
                let why = held.err().unwrap_or_else(|| format!("the checkpoint {checkpoint} has just gone"));
                let socket = self.kubelet.socket().display();
                Err(unknown(&format!(
                    "the kubelet's socket {socket} is not there (is its directory mounted?); {why}"
                )))
            }
        }
    }
}

/// A passing condition more often than not: the kubelet starts again.
fn unknown(why: &str) -> CniError {
    CniError::new(Code::TryAgain, "the pod's devices are not known").because(why)
}
