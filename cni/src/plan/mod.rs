//! Planning: which networks a call attaches, under which names, with which parameters. No I/O, nothing is touched.
//!
//! ```text
//! meta config ─ default network ─┐
//!             ─ defaultNetworks ─┼→ Resolver → AuthorizedNad ─┐
//! pod annotations ─ selection ───┘                            ├→ PlannedAttachment, in ADD order
//! runtime's runtimeConfig and CNI_ARGS, devices of the pod ────┘
//! ```

mod auxiliary;
mod demand;
mod parameters;

use crate::annotation::{DEFAULT_NETWORK, NETWORKS};
use crate::args::CniArgs;
use crate::authorize::{Asker, AuthorizedNad, Lookup, Resolver};
use crate::config::NetworkConfigList;
use crate::default_route::DefaultRoutePlan;
use crate::devices::{Allocator, Device};
use crate::env::Command;
use crate::error::{CniError, Code};
use crate::json::Object;
use crate::limits::NETWORKS_MAX;
use crate::meta::{DefaultNetwork, MetaConfig};
use crate::name::check_ifname;
use crate::pod::Pod;
use crate::selection::{NetworkSelectionElement, parse_selection};
use crate::wire::CniCall;

/// What one call attaches, in ADD order; DEL goes backwards.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The attachments; the first is the default network's.
    pub attachments: Vec<PlannedAttachment>,
}

/// One network on one interface. Only [`plan`] makes these, from [`AuthorizedNad`]s.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlannedAttachment {
    /// The network, with `args.cni` merged into every plugin.
    pub network: NetworkConfigList,
    /// Namespace and name of the NetworkAttachmentDefinition; `None` for an inline config or a file.
    pub nad: Option<(String, String)>,
    /// The interface's name in the pod.
    pub ifname: String,
    /// Whether its result is the call's result.
    pub is_default: bool,
    /// What the network is asked for; each plugin gets what it declares in `capabilities`.
    pub runtime_config: Object,
    /// `CNI_ARGS` for its plugins, in order.
    pub cni_args: Vec<(String, String)>,
    /// The device that it got, where its NetworkAttachmentDefinition names a resource; in an ADD only.
    pub device: Option<Device>,
    /// What happens to its default routes.
    pub default_route: DefaultRoutePlan,
    /// The element that selected it; `None` for the administrator's networks.
    pub selection: Option<NetworkSelectionElement>,
}

impl PlannedAttachment {
    /// The network's name in network-status and events: `<namespace>/<name>`, or the config's name.
    pub fn status_name(&self) -> String {
        match &self.nad {
            Some((namespace, name)) => format!("{namespace}/{name}"),
            None => self.network.name.clone(),
        }
    }
}

/// Plans the attachments of `call`; `pod` is `None` where the call is about no pod.
///
/// Everything is checked here: a plan that comes out can be carried out without another look at its inputs. Errors name
/// the pod, and the annotation, element and field, or the key of the config.
pub fn plan(
    meta: &MetaConfig,
    pod: Option<&Pod>,
    lookup: &dyn Lookup,
    call: &CniCall,
) -> Result<Plan, CniError> {
    let planned = plan_networks(meta, pod, lookup, call);
    planned.map_err(|error| match pod {
        Some(pod) => error.within(format!("pod {}/{}", pod.namespace, pod.name)),
        None => error,
    })
}

/// A network that was asked for, and the element that asked.
struct Chosen {
    nad: AuthorizedNad,
    selection: Option<NetworkSelectionElement>,
}

fn plan_networks(
    meta: &MetaConfig,
    pod: Option<&Pod>,
    lookup: &dyn Lookup,
    call: &CniCall,
) -> Result<Plan, CniError> {
    let args = CniArgs::parse(&call.args)?;
    let chosen = choose(meta, pod, lookup)?;
    if chosen.len() > NETWORKS_MAX {
        return Err(CniError::new(Code::InvalidConfig, format!("{} networks are selected", chosen.len()))
            .because(format!("at most {NETWORKS_MAX} are allowed, the default network included")));
    }
    let requests: Vec<_> = chosen
        .iter()
        .map(|chosen| chosen.selection.as_ref().and_then(|element| element.default_route.as_deref()))
        .collect();
    let routes = DefaultRoutePlan::of_all(&requests)?;
    let mut planner = Planner { meta, pod, call, args, devices: Allocator::new(lookup) };
    let mut attachments: Vec<PlannedAttachment> = Vec::with_capacity(chosen.len());
    for ((index, chosen), default_route) in chosen.into_iter().enumerate().zip(routes) {
        let attachment = planner.attach(index, chosen, default_route)?;
        if let Some(other) = attachments.iter().find(|other| other.ifname == attachment.ifname) {
            return Err(CniError::new(
                Code::InvalidConfig,
                format!("field \"interface\": {:?} is used twice", attachment.ifname),
            )
            .because(format!(
                "by networks {} and {}; give one of them another name, in the annotation {NETWORKS}",
                other.status_name(),
                attachment.status_name()
            )));
        }
        attachments.push(attachment);
    }
    Ok(Plan { attachments })
}

/// All networks in order: the default one, the administrator's further ones, the pod's.
fn choose(meta: &MetaConfig, pod: Option<&Pod>, lookup: &dyn Lookup) -> Result<Vec<Chosen>, CniError> {
    let resolver = Resolver::new(meta, lookup, pod.map(|pod| &*pod.namespace));
    let administrators = |nad| Chosen { nad, selection: None };
    let mut chosen = Vec::new();
    let override_element = pod.map(|pod| default_override(pod, meta)).transpose()?.flatten();
    let further_inline: &[NetworkConfigList] = match &meta.default_network {
        DefaultNetwork::Inline(list) => list.get(1..).unwrap_or_default(),
        DefaultNetwork::Cluster(_) => &[],
    };
    chosen.push(match (override_element, &meta.default_network) {
        (Some(element), _) => by_pod(&resolver, Asker::PodForDefault, element, DEFAULT_NETWORK, 0, 0)?,
        (None, DefaultNetwork::Cluster(reference)) => {
            administrators(resolver.reference(reference, "clusterNetwork")?)
        }
        (None, DefaultNetwork::Inline(list)) => match list.first() {
            Some(network) => administrators(resolver.inline(network)),
            None => return Err(CniError::new(Code::InvalidConfig, "key \"delegates\" holds no network")),
        },
    });
    chosen.extend(further_inline.iter().map(|network| administrators(resolver.inline(network))));
    let is_system = pod.is_some_and(|pod| meta.system_namespaces.contains(&pod.namespace));
    for reference in meta.default_networks.iter().filter(|_| !is_system) {
        chosen.push(administrators(resolver.reference(reference, "defaultNetworks")?));
    }
    if let Some(pod) = pod {
        let text = pod.annotation(NETWORKS).unwrap_or_default();
        for (at, element) in parse_selection(NETWORKS, text, &pod.namespace)?.into_iter().enumerate() {
            chosen.push(by_pod(&resolver, Asker::Pod, element, NETWORKS, at, chosen.len())?);
        }
    }
    let auxiliary = auxiliary::chain(meta, lookup)?;
    chosen.extend(auxiliary.map(|chain| administrators(resolver.inline(&chain))));
    Ok(chosen)
}

/// The one element of the annotation that replaces the default network.
fn default_override(pod: &Pod, meta: &MetaConfig) -> Result<Option<NetworkSelectionElement>, CniError> {
    let text = pod.annotation(DEFAULT_NETWORK).unwrap_or_default();
    let mut elements = parse_selection(DEFAULT_NETWORK, text, &meta.multus_namespace)?;
    let element = elements.pop();
    if elements.is_empty() {
        return Ok(element);
    }
    Err(CniError::new(Code::InvalidConfig, format!("annotation {DEFAULT_NETWORK} cannot be used"))
        .because(format!("it selects {} networks, a pod has one default network", elements.len() + 1)))
}

fn by_pod(
    resolver: &Resolver<'_>,
    asker: Asker,
    element: NetworkSelectionElement,
    annotation: &str,
    at: usize,
    index: usize,
) -> Result<Chosen, CniError> {
    let wanted = element.interface.clone().filter(|_| index != 0);
    let ifname = wanted.unwrap_or_else(|| {
        if index == 0 { "of the pod's default network".into() } else { format!("net{index}") }
    });
    let named =
        |error: CniError| error.within(format!("annotation {annotation}: element {at}, interface {ifname}"));
    let nad = resolver.nad(asker, &element.namespace, &element.name).map_err(named)?;
    demand::check(&element, &nad).map_err(named)?;
    Ok(Chosen { nad, selection: Some(element) })
}

/// What all attachments of a plan share.
struct Planner<'a> {
    meta: &'a MetaConfig,
    pod: Option<&'a Pod>,
    call: &'a CniCall,
    args: CniArgs,
    devices: Allocator<'a>,
}

impl Planner<'_> {
    fn attach(
        &mut self,
        index: usize,
        chosen: Chosen,
        default_route: DefaultRoutePlan,
    ) -> Result<PlannedAttachment, CniError> {
        let is_default = index == 0;
        let Chosen { nad, selection } = chosen;
        let ifname = match selection.as_ref().and_then(|element| element.interface.clone()) {
            _ if is_default => self.call.ifname.clone(),
            Some(name) => name,
            None => format!("net{index}"),
        };
        check_ifname(&ifname, "interface")?;
        let device = self.device(&nad, selection.as_ref(), &ifname)?;
        let (mut network, nad) = nad.into_parts();
        if let Some(device) = &device {
            parameters::put_device(&mut network, device);
        }
        if let Some(pairs) = selection.as_ref().and_then(|element| element.cni_args.as_ref()) {
            parameters::merge_cni_args(&mut network, pairs)?;
        }
        let wishes = selection.as_ref();
        let runtimes = &self.meta.runtime_config;
        let container_id = &self.call.container_id;
        Ok(PlannedAttachment {
            runtime_config: parameters::runtime_config(runtimes, wishes, device.as_ref(), is_default),
            cni_args: parameters::cni_args(&self.args, self.pod, container_id, wishes, is_default),
            network,
            nad,
            ifname,
            is_default,
            device,
            default_route,
            selection,
        })
    }

    /// The device that the network needs. Only an ADD hands devices out: DEL and CHECK work from the record, and STATUS
    /// and GC are about no pod.
    fn device(
        &mut self,
        nad: &AuthorizedNad,
        selection: Option<&NetworkSelectionElement>,
        ifname: &str,
    ) -> Result<Option<Device>, CniError> {
        let Some(resource) = nad.resource().filter(|_| self.call.command == Command::Add) else {
            return Ok(None);
        };
        let taken = match self.pod {
            Some(_) => {
                self.devices.take(resource, selection.and_then(|element| element.device_id.as_deref()))
            }
            None => Err(CniError::new(
                Code::DeviceUnavailable,
                format!("no device of resource {resource:?} can be given to it"),
            )
            .because("devices are given to pods, and this call names none")),
        };
        taken.map(Some).map_err(|error| {
            let network = nad.nad().map(|(namespace, name)| format!("{namespace}/{name}"));
            let network = network.unwrap_or_else(|| nad.network().name.clone());
            error.within(format!("network {network}, interface {ifname}"))
        })
    }
}

#[cfg(test)]
mod tests;
