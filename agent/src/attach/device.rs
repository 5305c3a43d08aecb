//! Devices of a pod, and the file that describes an attachment's device: planned, prepared before its plugins run, read
//! after them, removed.

use plexus_cni::CniError;
use plexus_cni::device_info::{DeviceInfo, attachment_file};
use plexus_cni::devices::PodDevices;
use plexus_cni::env::Command;
use plexus_cni::plan::PlannedAttachment;
use plexus_cni::pod::Pod;
use serde_json::json;

use super::Request;
use crate::cluster::PodId;
use crate::devices::{DeviceInfoError, claimed};
use crate::fault;
use crate::record::{Attachment, DeviceRecord};

/// The capability by which a plugin gets the file's path.
const CAPABILITY: &str = "CNIDeviceInfoFile";

/// What the kubelet and the claims give the pod; `None` on a node where nobody hands out devices.
pub(super) fn of_pod(request: &Request<'_>, pod: &Pod) -> Result<Option<PodDevices>, CniError> {
    let agent = request.agent;
    // Of a static pod the runtime's UID is the one that the kubelet goes by.
    let uid = request.args.get("K8S_POD_UID").or(Some(&*pod.uid).filter(|uid| !uid.is_empty()));
    let key = PodId { namespace: &pod.namespace, name: &pod.name, uid };
    let mut held = agent.devices.of_pod(key, request.began, request.deadline)?;
    if let Some(api) = &agent.api {
        held.get_or_insert_default().extend(claimed(pod, &**api, request.deadline)?);
    }
    Ok(held)
}

/// Gives the attachment a file, if it has a device or a plugin that may describe one. A path that the runtime chose for
/// the default network stays.
pub(super) fn plan(request: &Request<'_>, planned: &mut PlannedAttachment) -> Option<DeviceRecord> {
    let is_wanted = planned.network.plugins.iter().any(|plugin| plugin.has_capability(CAPABILITY));
    let is_runtimes = planned.runtime_config.contains_key(CAPABILITY);
    let is_ours = planned.device.is_some() || (is_wanted && !is_runtimes);
    if !is_ours || request.call.command != Command::Add {
        return None;
    }
    let info_file = attachment_file(&planned.status_name(), &request.call.container_id, &planned.ifname);
    let path = request.agent.devices.info.path(&info_file);
    planned.runtime_config.insert(CAPABILITY.into(), json!(path));
    Some(DeviceRecord { device: planned.device.clone(), info_file })
}

/// Copies the device plugin's description.
pub(super) fn prepare(request: &Request<'_>, attachment: &Attachment) {
    let Some(record) = &attachment.device else { return };
    if let Err(error) = request.agent.devices.info.prepare(&record.info_file, record.device.as_ref()) {
        warn(attachment, &error);
    }
    fault::point();
}

/// What is said of the attachment's device.
pub(super) fn info(request: &Request<'_>, attachment: &Attachment) -> Option<DeviceInfo> {
    let loaded = request.agent.devices.info.load(&attachment.device.as_ref()?.info_file);
    loaded.unwrap_or_else(|error| {
        warn(attachment, &error);
        None
    })
}

/// Removes the file.
pub(super) fn forget(request: &Request<'_>, attachment: &Attachment) {
    let Some(record) = &attachment.device else { return };
    if let Err(error) = request.agent.devices.info.remove(&record.info_file) {
        warn(attachment, &error);
    }
}

/// A description is no reason for a pod to fail, or to hang in its end.
fn warn(attachment: &Attachment, error: &DeviceInfoError) {
    let network = attachment.nad.as_ref().unwrap_or(&attachment.network);
    tracing::warn!(network, interface = attachment.ifname, %error, "a device's description is left out");
}
