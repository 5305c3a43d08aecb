//! A running attachment gets another config: of its network, or of its pod's limits.

use std::time::{Duration, Instant};

use plexus_cni::env::Command;
use plexus_cni::meta::META_TYPE;
use plexus_cni::wire::{CniCall, WIRE_VERSION};
use plexus_cni::{CniError, Version};
use serde_json::json;

use super::chain::{Chain, join};
use super::request::Request;
use crate::agent::Agent;
use crate::delegate::NoShim;
use crate::netlink::Netlink;
use crate::plugin::Sandbox;
use crate::record::{Attachment, Owner, Record};

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Brings the attachment at `index` of `record` to `wanted`, which differs from it in what plugins follow
/// ([`Plugin::live_keys`](crate::plugin::Plugin::live_keys)). The container is ours meanwhile, by its lock.
///
/// All or nothing: the record says what is wanted before anything is touched; after a failure everything is brought
/// back to what was before, the record last.
pub fn change(
    agent: &Agent,
    host: &Netlink,
    record: &Record,
    index: usize,
    wanted: &Attachment,
) -> Result<(), CniError> {
    let Some(before) = record.attachments.get(index) else { return Ok(()) };
    let call = call_of(record, wanted);
    let sandbox = record.netns.as_ref().and_then(Sandbox::reopen);
    let request = Request::new(agent, host, &call, sandbox, &NoShim, Instant::now() + LIMIT)?;
    let chain = |attachment| Chain::new(&request, &record.container_id, attachment, request.sandbox.as_ref());
    let (from, to) = (chain(before)?, chain(wanted)?);
    let old_port = before.port_id.and_then(|id| record.port(id)).cloned();
    let port = to.wanted_port(old_port.clone()).map_err(|error| error.within(to.describe()))?;

    let mut intended = record.clone();
    intended.attachments[index] = wanted.clone();
    if let Some(port) = &port {
        intended.set_port(index, port.clone());
    }
    agent.records.put(intended.clone())?;
    let made = match to.change(&from, port) {
        Ok(made) => made,
        Err(error) => {
            let undone = from.change(&to, old_port).and_then(|_| agent.records.put(record.clone()));
            let error = match undone {
                Ok(()) => error,
                Err(second) => join(Err(error), second.within("undoing it failed too")),
            };
            return Err(error.within(to.describe()));
        }
    };
    let mut changed = intended.clone();
    changed.attachments[index].notes = to.notes();
    if let Some(port) = made {
        changed.set_port(index, port);
    }
    if changed == intended { Ok(()) } else { agent.records.put(changed) }
}

/// The call that such a change would be, if a runtime made it: a CHECK without the comparing.
fn call_of(record: &Record, attachment: &Attachment) -> CniCall {
    let ifname = match &attachment.owner {
        Owner::Meta { ifname } => ifname,
        Owner::Single { .. } => &attachment.ifname,
    };
    let version = Version::NEWEST.as_str();
    CniCall {
        wire_version: WIRE_VERSION,
        serves_sysctls: false,
        command: Command::Check,
        container_id: record.container_id.clone(),
        netns: None,
        ifname: ifname.clone(),
        args: String::new(),
        path: Vec::new(),
        config: json!({"cniVersion": version, "name": attachment.network, "type": META_TYPE}).to_string(),
    }
}
