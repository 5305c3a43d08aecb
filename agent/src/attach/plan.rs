//! From a call to the attachments that it means.

use plexus_cni::json::Object;
use plexus_cni::{CniError, Code};

use super::Request;
use crate::plugin::{Plugin, native};
use crate::record::{Attachment, Owner, Record};

/// The attachments of an ADD, each with its port id reserved; `record` is what the container has already.
pub(super) fn attachments(request: &Request<'_>, record: &Record) -> Result<Vec<Attachment>, CniError> {
    Ok(vec![single(request, record)?])
}

/// A call for one native plugin.
fn single(request: &Request<'_>, record: &Record) -> Result<Attachment, CniError> {
    let attachment = without_port(request)?;
    let owns_port = native(request.plugin_type()).is_some_and(Plugin::creates_interface);
    let port_id = if owns_port {
        Some(request.agent.ports.take()?)
    } else {
        let same = record.attachments.iter().filter(|attachment| attachment.ifname == request.call.ifname);
        same.filter_map(|attachment| attachment.port.as_ref()).map(|port| port.id).next()
    };
    Ok(Attachment { port_id, owns_port, ..attachment })
}

/// The attachments that a STATUS asks about.
pub(super) fn for_status(request: &Request<'_>) -> Result<Vec<Attachment>, CniError> {
    Ok(vec![without_port(request)?])
}

/// The attachment of a call for one native plugin, as its config alone gives it.
pub(super) fn without_port(request: &Request<'_>) -> Result<Attachment, CniError> {
    let plugin_type = request.plugin_type();
    if native(plugin_type).is_none() {
        return Err(CniError::new(
            Code::InvalidConfig,
            format!("key \"type\" is {plugin_type:?}, which Plexus does not have natively"),
        )
        .because("call that plugin's own binary, or the meta-plugin with type \"plexus\""));
    }
    Ok(Attachment {
        owner: Owner::Single { plugin_type: plugin_type.to_owned() },
        network: request.config.name.clone(),
        nad: None,
        ifname: request.call.ifname.clone(),
        is_default: false,
        config: request.config.document.clone(),
        cni_version: request.config.version.as_str().to_owned(),
        runtime_config: Object::new(),
        args: request.call.args.clone(),
        path: request.path(),
        port_id: None,
        owns_port: false,
        result: None,
        port: None,
        status: None,
    })
}

/// Whether `attachment` is one that this call made, or would make.
pub(super) fn is_of(request: &Request<'_>, attachment: &Attachment) -> bool {
    match &attachment.owner {
        Owner::Meta { ifname } => request.is_meta() && *ifname == request.call.ifname,
        Owner::Single { plugin_type } => {
            !request.is_meta()
                && plugin_type == request.plugin_type()
                && attachment.network == request.config.name
                && attachment.ifname == request.call.ifname
        }
    }
}

/// Whether `attachment` belongs to the network that this call is about, whichever container it hangs on.
pub(super) fn is_of_network(request: &Request<'_>, attachment: &Attachment) -> bool {
    match &attachment.owner {
        Owner::Meta { .. } => request.is_meta(),
        Owner::Single { plugin_type } => {
            !request.is_meta() && plugin_type == request.plugin_type() && attachment.network == request.config.name
        }
    }
}
