//! One element of the network selection.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{as_config_error, field, wrong};
use crate::error::CniError;
use crate::json::{self, Object};
use crate::name::{check_ifname, is_dns_label, is_dns_subdomain};

/// A network that a pod asks for, every field checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSelectionElement {
    /// Name of the NetworkAttachmentDefinition.
    pub name: String,
    /// Its namespace; the pod's where the annotation names none.
    pub namespace: String,
    /// Name of the interface in the pod; `net<index>` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Requested addresses, each with or without a prefix length.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    /// Requested hardware address, as six octets with colons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Requested InfiniBand GUID, as eight octets with colons.
    #[serde(rename = "infiniband-guid", skip_serializing_if = "Option::is_none")]
    pub infiniband_guid: Option<String>,
    /// Requested port mappings, in the form of the capability `portMappings`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub port_mappings: Vec<Value>,
    /// Requested limits in bits per second and bits, in the form of the capability `bandwidth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Object>,
    /// Requested device.
    #[serde(rename = "deviceID", skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Pairs for `args.cni` of every plugin of the network.
    #[serde(rename = "cni-args", skip_serializing_if = "Option::is_none")]
    pub cni_args: Option<Object>,
    /// Gateways of the default routes that shall lead through this network; an empty list keeps the network's own.
    #[serde(rename = "default-route", skip_serializing_if = "Option::is_none")]
    pub default_route: Option<Vec<IpAddr>>,
    /// The claim that the address management shall use.
    #[serde(rename = "ipam-claim-reference", skip_serializing_if = "Option::is_none")]
    pub ipam_claim_reference: Option<String>,
}

/// The element as JSON has it; types are checked here, values in [`NetworkSelectionElement::from_object`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    name: Option<String>,
    namespace: Option<String>,
    interface: Option<String>,
    interface_request: Option<String>,
    ips: Option<Vec<String>>,
    mac: Option<String>,
    #[serde(rename = "infiniband-guid")]
    infiniband_guid: Option<String>,
    port_mappings: Option<Vec<Object>>,
    bandwidth: Option<Object>,
    #[serde(rename = "deviceID")]
    device_id: Option<String>,
    #[serde(rename = "cni-args")]
    cni_args: Option<Object>,
    #[serde(rename = "default-route")]
    default_route: Option<Vec<IpAddr>>,
    #[serde(rename = "ipam-claim-reference")]
    ipam_claim_reference: Option<String>,
}

impl NetworkSelectionElement {
    /// An element that asks for a network and nothing else.
    pub fn new(namespace: &str, name: &str, interface: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            interface: interface.map(str::to_owned),
            ..Self::default()
        }
    }

    /// The element as the annotation's JSON form has it.
    pub fn to_value(&self) -> Value {
        json!(self)
    }

    pub(super) fn from_object(object: &Object, what: &str, namespace: &str) -> Result<Self, CniError> {
        let written: Written = json::typed(object, what)?;
        let name = filled(written.name).ok_or_else(|| wrong(what, "field \"name\" is missing"))?;
        if !is_dns_subdomain(&name) {
            return Err(wrong(
                what,
                format!("field \"name\": {name:?} is not the name of a Kubernetes object"),
            ));
        }
        let what = format!("{what} ({name})");
        let namespace = filled(written.namespace).unwrap_or_else(|| namespace.to_owned());
        if !is_dns_label(&namespace) {
            return Err(wrong(
                &what,
                format!("field \"namespace\": {namespace:?} is not the name of a namespace"),
            ));
        }
        let interface = filled(written.interface).or(filled(written.interface_request));
        if let Some(interface) = &interface {
            check_ifname(interface, &format!("{what}: field \"interface\"")).map_err(as_config_error)?;
        }
        let text =
            |value: Option<String>, key| filled(value).map(|text| field::text(text, key, &what)).transpose();
        Ok(Self {
            interface,
            ips: field::ips(written.ips.unwrap_or_default(), &what)?,
            mac: filled(written.mac).map(|mac| field::mac(&mac, &what)).transpose()?,
            infiniband_guid: filled(written.infiniband_guid)
                .map(|guid| field::guid(&guid, &what))
                .transpose()?,
            port_mappings: field::port_mappings(written.port_mappings.unwrap_or_default(), &what)?,
            bandwidth: written.bandwidth.map(|limits| field::bandwidth(limits, &what)).transpose()?,
            device_id: text(written.device_id, "deviceID")?,
            cni_args: written.cni_args,
            default_route: written.default_route.map(|list| field::default_route(list, &what)).transpose()?,
            ipam_claim_reference: text(written.ipam_claim_reference, "ipam-claim-reference")?,
            name,
            namespace,
        })
    }
}

/// An empty text counts as absent, as it does for Multus.
fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
