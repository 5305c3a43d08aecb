//! DEL, CHECK and GC of what Multus attached, from its cache.
//!
//! Everything of a container goes or stays together: its files are removed when the last network is gone, and a DEL that
//! failed half-way starts again, which every step allows.

use std::path::Path;
use std::time::Duration;

use plexus_cni::{CniError, Code};
use serde_json::Value;

use super::chain::{Chain, join};
use super::request::Request;
use crate::plugin::Sandbox;
use crate::takeover::{Cache, Container, Given, attachments};

/// Lists younger than this are left alone by GC: Multus may still run, and writes them at the beginning of an ADD.
const YOUNG: Duration = Duration::from_mins(2);
/// The interface of the default network, where no call says it.
const IFNAME_DEFAULT: &str = "eth0";
/// Multus' `binDir`, where a config has none.
const BIN_DIR_DEFAULT: &str = "/opt/cni/bin";
/// Where a runtime keeps namespaces under names that it uses once only.
const NETNS_DIRS: [&str; 2] = ["/run/netns/cni-", "/var/run/netns/cni-"];

/// Detaches a container that no record knows; one that Multus does not know either is a success.
pub(super) fn del(request: &Request<'_>) -> Result<(), CniError> {
    let id = &request.call.container_id;
    match cache(request).container(id)? {
        Some(container) => remove(request, id, &request.call.ifname, container),
        None => Ok(()),
    }
}

/// Whether Multus attached the container, and its interfaces are there.
pub(super) fn check(request: &Request<'_>) -> Result<bool, CniError> {
    let Some(container) = cache(request).container(&request.call.container_id)? else { return Ok(false) };
    let sandbox = request.sandbox()?;
    for attachment in
        attachments(&container, &given(request, &request.call.container_id, &request.call.ifname))
    {
        if attachment.result.is_some() && sandbox.netlink.link_by_name(&attachment.ifname)?.is_none() {
            return Err(CniError::new(
                Code::CheckFailed,
                format!("network {}: interface {} is gone", attachment.network, attachment.ifname),
            )
            .because("Multus made it before this node changed to Plexus; restart the pod"));
        }
    }
    Ok(true)
}

/// Releases every container of the cache that is not in `valid` (container id, interface).
pub(super) fn gc(request: &Request<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
    let cache = cache(request);
    let mut outcome = Ok(());
    for id in cache.containers(YOUNG)? {
        if valid.iter().any(|(known, _)| *known == id) {
            continue;
        }
        tracing::info!(container = id, "Multus attached it, and the runtime does not know it any more");
        let removed = cache.container(&id).and_then(|container| {
            container.map_or(Ok(()), |container| remove(request, &id, IFNAME_DEFAULT, container))
        });
        if let Err(error) = removed {
            outcome = Err(join(outcome, error));
        }
    }
    outcome
}

/// Every network in reverse, then the files; all errors are reported, and then the files stay for the next DEL.
fn remove(request: &Request<'_>, id: &str, ifname: &str, container: Container) -> Result<(), CniError> {
    let opened = sandbox_of(request, &container);
    let sandbox = request.sandbox.as_ref().or(opened.as_ref());
    let mut outcome = Ok(());
    for attachment in attachments(&container, &given(request, id, ifname)).iter().rev() {
        let chain = Chain::new(request, id, attachment, sandbox).map(Chain::taken_over);
        let gone = chain.and_then(|chain| chain.del(None).map_err(|error| error.within(chain.describe())));
        match gone {
            Ok(()) => tracing::info!(
                container = id,
                network = attachment.network,
                interface = attachment.ifname,
                "released what Multus attached"
            ),
            Err(error) => outcome = Err(join(outcome, error)),
        }
    }
    outcome?;
    container.forget()
}

/// The namespace that libcni noted, where the call passed none. Only a path that is never used for another one counts.
fn sandbox_of(request: &Request<'_>, container: &Container) -> Option<Sandbox> {
    if request.sandbox.is_some() {
        return None;
    }
    let path = container.entries.iter().find_map(|entry| entry.netns.as_deref())?;
    let is_unique = NETNS_DIRS.iter().any(|dir| path.starts_with(dir)) && !path.contains("..");
    is_unique.then(|| Sandbox::at(path)).flatten()
}

/// The cache that the node's config or the call's names, else the operator's.
fn cache(request: &Request<'_>) -> Cache {
    let named = key(request, "cniDir").map(Path::new).filter(|dir| dir.is_absolute());
    Cache::at(named.unwrap_or(&request.agent.settings.multus_cache_dir))
}

fn given<'a>(request: &'a Request<'_>, container_id: &'a str, ifname: &'a str) -> Given<'a> {
    // As for an ADD: the config's own directories first.
    let own = key(request, "binDir").unwrap_or(BIN_DIR_DEFAULT);
    let path = own.split(':').filter(|dir| !dir.is_empty()).map(str::to_owned).chain(request.path());
    Given {
        container_id,
        ifname,
        args: &request.call.args,
        path: path.collect(),
        version: request.config.version,
    }
}

/// A text of the config; one that cannot be used must not stop a DEL.
fn key<'a>(request: &'a Request<'_>, name: &str) -> Option<&'a str> {
    let overlay = &request.agent.settings.meta_overlay;
    overlay.get(name).or_else(|| request.config.document.get(name)).and_then(Value::as_str)
}
