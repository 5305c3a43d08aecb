//! A lease that is another one, or none: interface, data plane, record, network-status, event.

use std::time::{Duration, Instant};

use plexus_cni::status::of_attachment;
use plexus_cni::{CniError, CniResult};
use serde_json::{Value, json};

use super::counts::count;
use super::held::{Held, Key};
use super::terms::Terms;
use crate::agent::Agent;
use crate::cluster::PodKey;
use crate::plugin::Sandbox;
use crate::record::{Attachment, Record};
use crate::status::Event;

/// So long a container that a call works on is waited for; other leases wait meanwhile.
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The interface is as the lease says.
    Done,
    /// There is nothing to change any more.
    Gone,
    /// Another call works on the container, or its ADD has not ended.
    Busy,
}

/// Makes the interface of a lease what the lease says.
pub(super) fn settle(agent: &Agent, key: &Key) -> Result<Settled, CniError> {
    let Ok(_ours) = agent.locks.container(&key.container_id, Instant::now() + LOCK_WAIT) else {
        return Ok(Settled::Busy);
    };
    let found = agent
        .dhcp
        .table()
        .get(key)
        .map(|entry| (entry.held.clone(), entry.machine.lease().map(|lease| lease.terms.clone())));
    let Some((held, wanted)) = found else { return Ok(Settled::Gone) };
    let Some(record) = agent.records.get(&key.container_id) else { return Ok(Settled::Busy) };
    let is_ours = |attachment: &Attachment| {
        attachment.network == key.network && attachment.ifname == key.ifname && attachment.is_complete()
    };
    let Some(index) = record.attachments.iter().position(is_ours) else { return Ok(Settled::Busy) };
    let Some(sandbox) = Sandbox::reopen(&held.netns) else { return Ok(Settled::Busy) };
    configure(&sandbox, &held, wanted.as_ref())?;
    let mut held = held;
    if let Some(wanted) = &wanted {
        let mut record = (*record).clone();
        rewrite(agent, &mut record, index, held.told.as_ref(), wanted, held.wishes.priority)?;
        agent.records.put(record)?;
        agent.publisher.later(&key.container_id);
        held.told = Some(wanted.clone());
    }
    tell(agent, &record, key, held.applied.as_ref(), wanted.as_ref());
    count(&agent.dhcp.counts.changed);
    let mut table = agent.dhcp.table();
    if let Some(entry) = table.get_mut(key) {
        (entry.held.applied, entry.held.told) = (wanted, held.told);
        agent.dhcp.store.put(&entry.held)?;
    }
    Ok(Settled::Done)
}

/// Takes the old address and routes from the interface and gives it the new ones; what is the same stays.
fn configure(sandbox: &Sandbox, held: &Held, wanted: Option<&Terms>) -> Result<(), CniError> {
    let (netlink, link) = (&sandbox.netlink, held.link);
    let routes = |terms: Option<&Terms>| {
        terms.map(|terms| terms.result_routes(held.wishes.priority)).unwrap_or_default()
    };
    let (before, after) = (routes(held.applied.as_ref()), routes(wanted));
    for route in before.iter().filter(|route| !after.contains(route)) {
        netlink.delete_route(link, route)?;
    }
    let address = |terms: Option<&Terms>| terms.map(|terms| terms.ip().address);
    let (old, new) = (address(held.applied.as_ref()), address(wanted));
    if let Some(old) = old.filter(|old| Some(*old) != new) {
        netlink.delete_address(link, old)?;
    }
    let Some(new) = new else { return Ok(()) };
    netlink.add_address(link, new)?;
    for route in &after {
        netlink.add_route(link, route)?;
    }
    // A hardware address that is set makes the kernel announce the addresses (arp_notify).
    netlink.set_arp_notify(link)?;
    Ok(netlink.set_mac(link, held.mac)?)
}

/// Puts the new address and routes into the attachment's result, its port and its elements of network-status.
fn rewrite(
    agent: &Agent,
    record: &mut Record,
    index: usize,
    told: Option<&Terms>,
    wanted: &Terms,
    priority: u32,
) -> Result<(), CniError> {
    let attachment = &mut record.attachments[index];
    let mut result = attachment.cni_result()?.unwrap_or_default();
    replace(&mut result, &attachment.ifname, told, wanted, priority);
    attachment.result = Some(result.to_value(attachment.cni_version()));
    attachment.status = elements(attachment, &result);
    let old = told.map(|told| told.ip().address.addr());
    if let Some(port) = &mut attachment.port {
        port.ips.retain(|ip| Some(*ip) != old);
        port.ips.push(wanted.ip().address.addr());
        agent.datapath.set_addresses(port.id, &port.ips)?;
    }
    Ok(())
}

/// The result with another lease in it.
fn replace(result: &mut CniResult, ifname: &str, told: Option<&Terms>, wanted: &Terms, priority: u32) {
    let interface = result.container_interface(ifname);
    let old = told.map(|told| told.ip().address);
    result.ips.retain(|ip| Some(ip.address) != old);
    let mut ip = wanted.ip();
    ip.interface = interface;
    result.ips.push(ip);
    let old_routes = told.map(|told| told.result_routes(priority)).unwrap_or_default();
    result.routes.retain(|route| !old_routes.contains(route));
    result.routes.extend(wanted.result_routes(priority));
}

/// The attachment's elements of network-status; what is said of its device stays.
fn elements(attachment: &Attachment, result: &CniResult) -> Vec<Value> {
    const DEVICE: &str = "device-info";
    if attachment.status.is_empty() {
        return Vec::new();
    }
    let name = attachment.nad.as_ref().unwrap_or(&attachment.network);
    let fresh = of_attachment(name, &attachment.ifname, result, attachment.is_default, None);
    let with_device = |(at, element): (usize, _)| {
        let mut element = json!(element);
        let device = attachment.status.get(at).and_then(|known| known.get(DEVICE));
        if let (Some(device), Some(fields)) = (device, element.as_object_mut()) {
            fields.insert(DEVICE.into(), device.clone());
        }
        element
    };
    fresh.into_iter().enumerate().map(with_device).collect()
}

fn tell(agent: &Agent, record: &Record, key: &Key, before: Option<&Terms>, after: Option<&Terms>) {
    let text = |terms: Option<&Terms>| terms.map_or("none".to_owned(), |terms| terms.address.to_string());
    let (old, new) = (text(before), text(after));
    let (ifname, network) = (&key.ifname, &key.network);
    let (is_warning, reason, message) = match after {
        Some(_) => (
            before.is_some(),
            "LeaseChanged",
            format!(
                "the DHCP server gave {ifname} of network {network} the address {new}; before it was {old}"
            ),
        ),
        None => (
            true,
            "LeaseLost",
            format!(
                "{ifname} of network {network} lost its address {old}: the DHCP server refused it or was silent until \
                 the lease ended; another one is being asked for"
            ),
        ),
    };
    tracing::warn!(container = key.container_id, ifname, network, old, new, reason, "an address has changed");
    let Some(pod) = &record.pod else { return };
    let uid = pod.uid.clone().unwrap_or_default();
    let pod = PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid };
    agent.publisher.tell(Event { pod, is_warning, reason, message });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::dhcp::terms::tests::terms;

    #[test]
    fn another_lease_takes_the_old_ones_place_in_the_result_and_nothing_else_does() {
        let (old, new) = (terms([10, 1, 0, 7], 60), terms([10, 1, 0, 9], 60));
        let mut result = CniResult::from_value(
            &json!({"cniVersion": "1.1.0",
                "interfaces": [{"name": "h"}, {"name": "net1", "sandbox": "/run/netns/a"}],
                "ips": [{"address": "10.1.0.7/24", "interface": 1}, {"address": "fd00::7/64", "interface": 1}],
                "routes": [{"dst": "10.9.0.0/16", "gw": "10.1.0.1"}]}),
            "test",
        )
        .unwrap();
        replace(&mut result, "net1", Some(&old), &new, 0);
        let ips: Vec<_> = result.ips.iter().map(|ip| (ip.address.to_string(), ip.interface)).collect();
        assert_eq!(ips, [("fd00::7/64".to_owned(), Some(1)), ("10.1.0.9/24".to_owned(), Some(1))]);
        assert_eq!(result.routes.len(), 1);
    }
}
