//! Members of a VRF: in, out, and what must survive it.

use plexus_cni::{CniError, Code};

use crate::netlink::{KernelRoute, Link, Netlink, TABLE_MAIN};

/// The highest table that is looked at; the kernel's own begin above it (linux/rtnetlink.h).
const TABLE_MAX: u32 = 252;

/// Makes the link a member; its addresses stay, its routes move to the VRF's table.
pub(super) fn join(netlink: &Netlink, link: &Link, vrf: &Link) -> Result<(), CniError> {
    change(netlink, link, vrf.index, [TABLE_MAIN, vrf.vrf_table.unwrap_or(TABLE_MAIN)])
}

/// Takes the link out; its addresses stay, its routes move to the main table.
pub(super) fn leave(netlink: &Netlink, link: &Link, vrf: &Link) -> Result<(), CniError> {
    change(netlink, link, 0, [vrf.vrf_table.unwrap_or(TABLE_MAIN), TABLE_MAIN])
}

/// The kernel takes the link down and up when its controller changes (`cycle_netdev`, drivers/net/vrf.c), and with it go
/// IPv6 addresses and all routes but those that it makes itself.
fn change(netlink: &Netlink, link: &Link, controller: u32, [from, to]: [u32; 2]) -> Result<(), CniError> {
    let addresses = netlink.addresses(link.index)?;
    let mut routes = netlink.routes_in_table(link.index, from)?;
    routes.retain(|route| !route.is_of_address);
    routes.sort_by_key(|route| route.gateway.is_some());
    netlink.set_controller(link.index, controller)?;
    let present = netlink.addresses(link.index)?;
    for address in addresses.into_iter().filter(|address| !present.contains(address)) {
        netlink.add_address(link.index, address)?;
    }
    routes
        .into_iter()
        .map(|route| KernelRoute::in_table(route, to))
        .try_for_each(|route| netlink.put_route(&route))?;
    Ok(())
}

/// The first table that no VRF, rule or route of the pod uses.
pub(super) fn free_table(netlink: &Netlink) -> Result<u32, CniError> {
    let mut used = netlink.route_tables()?;
    used.extend(netlink.rules()?.iter().map(|rule| rule.table));
    used.extend(netlink.links()?.iter().filter_map(|link| link.vrf_table));
    (1..=TABLE_MAX).find(|table| !used.contains(table)).ok_or_else(|| {
        CniError::new(Code::InvalidConfig, "vrf: no routing table is free in the pod")
            .because(format!("1 to {TABLE_MAX} are used; set \"table\" to a higher number"))
    })
}
