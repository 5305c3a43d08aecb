//! From a call to the attachments that it means.

use std::time::Instant;

use plexus_abi::PORT_IFINDEX_BASE;
use plexus_cni::annotation::{EGRESS_BANDWIDTH, INGRESS_BANDWIDTH};
use plexus_cni::authorize::Lookup;
use plexus_cni::config::NetworkConfigList;
use plexus_cni::default_route::DefaultRoutePlan;
use plexus_cni::devices::PodDevices;
use plexus_cni::json::Object;
use plexus_cni::meta::MetaConfig;
use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::plan::{PlannedAttachment, plan};
use plexus_cni::pod::Pod;
use plexus_cni::wire::CniCall;
use plexus_cni::{CniError, Code};
use serde_json::{Value, json};

use super::{Request, device};
use crate::cluster::{Found, Patience, PodId, chain_files, network_file};
use crate::netlink::Netlink;
use crate::plugin::{Plugin, chosen, native};
use crate::record::{Attachment, Notes, Owner, PodRef, Record, Source};

/// The attachments of a call, and what happens to the default routes of each.
pub(super) struct Planned {
    pub(super) attachments: Vec<Attachment>,
    pub(super) default_routes: Vec<DefaultRoutePlan>,
    pub(super) pod: Option<PodRef>,
}

/// Plans an ADD; nothing is touched, and no port id is reserved yet. `record` is what the container has already, `found`
/// becomes the pod that is planned for.
pub(super) fn add(
    request: &Request<'_>,
    record: &Record,
    found: &mut Option<Found>,
) -> Result<Planned, CniError> {
    if request.is_meta() {
        return meta(request, found);
    }
    let mut attachment = single(request)?;
    if !attachment.owns_port {
        let same = record.attachments.iter().filter(|attachment| attachment.ifname == request.call.ifname);
        attachment.port_id =
            same.filter_map(|attachment| attachment.port.as_ref()).map(|port| port.id).next();
    }
    Ok(Planned {
        attachments: vec![attachment],
        default_routes: vec![DefaultRoutePlan::default()],
        pod: None,
    })
}

/// Reserves a port id for each attachment that needs one; all or none.
pub(super) fn reserve_ports(request: &Request<'_>, attachments: &mut [Attachment]) -> Result<(), CniError> {
    for index in 0..attachments.len() {
        if !attachments[index].owns_port {
            continue;
        }
        match free_port(request) {
            Ok(id) => attachments[index].port_id = Some(id),
            Err(error) => {
                release_ports(request, &attachments[..index]);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// A port id whose index nobody in the host has: a device that came back from a pod's namespace keeps the index of its
/// port where plexusd may not move it once more. Such an id stays taken.
fn free_port(request: &Request<'_>) -> Result<u32, CniError> {
    loop {
        let id = request.agent.ports.take()?;
        if !Netlink::has_host_index(PORT_IFINDEX_BASE + id) {
            return Ok(id);
        }
        tracing::warn!(port = id, "a device of the host has the index of a port");
    }
}

/// Gives the port ids back.
pub(super) fn release_ports(request: &Request<'_>, attachments: &[Attachment]) {
    attachments.iter().filter_map(Attachment::own_port_id).for_each(|id| request.agent.ports.give_back(id));
}

/// The attachments that STATUS and GC ask about: a pod's selection is not known then.
pub(super) fn for_status(request: &Request<'_>) -> Result<Vec<Attachment>, CniError> {
    if !request.is_meta() {
        return Ok(vec![single(request)?]);
    }
    let config = meta_config(request)?;
    // These verbs are about no interface, but a plan needs a name.
    let call = CniCall { ifname: "eth0".into(), ..request.call.clone() };
    let planned = plan(&config, None, &Networks { request, config: &config, pod: None }, &call)?;
    Ok(planned.attachments.into_iter().map(|planned| of_meta(request, &config, planned)).collect())
}

/// The runtime's config, with the node's own over it.
fn meta_config(request: &Request<'_>) -> Result<MetaConfig, CniError> {
    MetaConfig::parse(&request.call.config, &request.agent.settings.meta_overlay)
}

fn meta(request: &Request<'_>, found: &mut Option<Found>) -> Result<Planned, CniError> {
    let config = meta_config(request)?;
    *found = pod(request)?;
    let pod = found.as_ref().map(|found| &*found.pod);
    let planned = plan(&config, pod, &Networks { request, config: &config, pod }, request.call)?;
    let default_routes = planned.attachments.iter().map(|planned| planned.default_route.clone()).collect();
    let mut elements = 0;
    let mut attach = |planned: PlannedAttachment| {
        let source = source(&config, pod, &planned, &mut elements);
        Attachment { source, ..of_meta(request, &config, planned) }
    };
    let attachments = planned.attachments.into_iter().map(&mut attach).collect();
    let pod = pod.map(|pod| PodRef {
        uid: request
            .args
            .get("K8S_POD_UID")
            .map(str::to_owned)
            .or_else(|| Some(pod.uid.clone()).filter(|uid| !uid.is_empty())),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
    });
    Ok(Planned { attachments, default_routes, pod })
}

/// Where the limits of a planned attachment come from; `elements` counts those of the pod's selection.
fn source(
    config: &MetaConfig,
    pod: Option<&Pod>,
    planned: &PlannedAttachment,
    elements: &mut usize,
) -> Source {
    let element = planned.selection.as_ref().map(|_| {
        let next = if planned.is_default { 0 } else { *elements };
        *elements += usize::from(!planned.is_default);
        next
    });
    let is_annotated = pod.is_some_and(|pod| {
        [INGRESS_BANDWIDTH, EGRESS_BANDWIDTH].iter().any(|key| pod.annotation(key).is_some())
    });
    let runtime_limits = config.runtime_config.get("bandwidth").filter(|_| !is_annotated).cloned();
    Source { element, runtime_limits }
}

/// The pod that the call names, waited for if the cache lacks it.
fn pod(request: &Request<'_>) -> Result<Option<Found>, CniError> {
    let (Some(id), Some(catalog)) = (PodId::of(&request.args), &request.agent.catalog) else {
        return Ok(None);
    };
    let settings = &request.agent.settings;
    let until = request.deadline.min(Instant::now() + settings.pod_wait);
    let places = (settings.workers / 2).max(1);
    catalog.pod(&id, &Patience { until, places, deadline: request.deadline }).map(Some)
}

/// Where the planner finds networks and devices.
struct Networks<'a> {
    request: &'a Request<'a>,
    config: &'a MetaConfig,
    pod: Option<&'a Pod>,
}

impl Lookup for Networks<'_> {
    fn nad(&self, namespace: &str, name: &str) -> Result<Option<NetworkAttachmentDefinition>, CniError> {
        let Some(catalog) = &self.request.agent.catalog else { return Ok(None) };
        let found = catalog.nad(namespace, name, self.request.deadline)?;
        Ok(found.map(|nad| (*nad).clone()))
    }

    fn has_nad(&self, namespace: &str, name: &str) -> bool {
        let catalog = self.request.agent.catalog.as_ref();
        catalog.is_some_and(|catalog| catalog.nads.get(namespace, name).is_some())
    }

    fn file(&self, reference: &str) -> Result<Option<String>, CniError> {
        network_file(&self.config.conf_dir, reference)
    }

    fn auxiliary(&self, cluster_network: &str, name: &str) -> Result<Vec<Object>, CniError> {
        chain_files(cluster_network, name)
    }

    fn devices(&self) -> Result<Option<PodDevices>, CniError> {
        self.pod.map_or(Ok(None), |pod| device::of_pod(self.request, pod))
    }
}

fn of_meta(request: &Request<'_>, config: &MetaConfig, mut planned: PlannedAttachment) -> Attachment {
    let device = device::plan(request, &mut planned);
    let args = planned.cni_args.iter().map(|(key, value)| format!("{key}={value}"));
    Attachment {
        owner: Owner::Meta { ifname: request.call.ifname.clone() },
        network: planned.network.name.clone(),
        nad: planned.nad.as_ref().map(|(namespace, name)| format!("{namespace}/{name}")),
        owns_port: makes_interface(&planned.network),
        config: as_list(&planned.network),
        cni_version: planned.network.version.as_str().to_owned(),
        runtime_config: planned.runtime_config,
        args: args.collect::<Vec<_>>().join(";"),
        path: config.bin_dir.iter().cloned().chain(request.path()).collect(),
        ifname: planned.ifname,
        device,
        is_default: planned.is_default,
        port_id: None,
        result: None,
        port: None,
        notes: Notes::default(),
        source: Source::default(),
        status: Vec::new(),
    }
}

/// Whether a native plugin of the chain makes the interface.
fn makes_interface(network: &NetworkConfigList) -> bool {
    network.plugins.iter().filter_map(chosen).any(Plugin::creates_interface)
}

/// The network as a conflist, with what planning merged into its plugins.
fn as_list(network: &NetworkConfigList) -> Object {
    let mut list = Object::new();
    list.insert("cniVersion".into(), network.version.as_str().into());
    list.insert("name".into(), network.name.clone().into());
    list.insert("disableCheck".into(), network.disable_check.into());
    list.insert("disableGC".into(), network.disable_gc.into());
    list.insert("plugins".into(), json!(network.plugins));
    list
}

/// The attachment of a call for one native plugin, as its config alone gives it.
pub(super) fn single(request: &Request<'_>) -> Result<Attachment, CniError> {
    let plugin_type = request.plugin_type();
    let native = native(plugin_type).ok_or_else(|| {
        CniError::new(
            Code::InvalidConfig,
            format!("key \"type\" is {plugin_type:?}, which Plexus does not have natively"),
        )
        .because("call that plugin's own binary, or the meta-plugin with type \"plexus\"")
    })?;
    Ok(Attachment {
        owner: Owner::Single { plugin_type: plugin_type.to_owned() },
        network: request.config.name.clone(),
        nad: None,
        ifname: request.call.ifname.clone(),
        device: None,
        is_default: false,
        config: request.config.document.clone(),
        cni_version: request.config.version.as_str().to_owned(),
        runtime_config: Object::new(),
        args: request.call.args.clone(),
        path: request.path(),
        port_id: None,
        owns_port: native.creates_interface(),
        result: None,
        port: None,
        notes: Notes::default(),
        source: Source::default(),
        status: Vec::<Value>::new(),
    })
}

/// Whether `attachment` is one that this call made, or would make.
pub(super) fn is_of(request: &Request<'_>, attachment: &Attachment) -> bool {
    match &attachment.owner {
        Owner::Meta { ifname } => request.is_meta() && *ifname == request.call.ifname,
        Owner::Single { .. } => {
            is_of_network(request, attachment) && attachment.ifname == request.call.ifname
        }
    }
}

/// Whether `attachment` belongs to the network that this call is about, whichever container it hangs on.
pub(super) fn is_of_network(request: &Request<'_>, attachment: &Attachment) -> bool {
    match &attachment.owner {
        Owner::Meta { .. } => request.is_meta(),
        Owner::Single { plugin_type } => {
            !request.is_meta()
                && plugin_type == request.plugin_type()
                && attachment.network == request.config.name
        }
    }
}
