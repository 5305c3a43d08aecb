//! The tables: one file per plugin.

mod bandwidth;
mod bridge;
mod bridge_vlan;
mod firewall;
mod host_device;
mod ipvlan;
mod loopback;
mod macvlan;
mod portmap;
mod ptp;
mod reason;
mod sbr;
mod tuning;
mod vlan;
mod vrf;

use super::row::{Difference, Row};

/// Where a table can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// In namespaces of the machine.
    Namespaces,
    /// On a kernel that has the kinds of links: a virtual machine.
    Vm,
}

/// The rows of one plugin.
pub(crate) struct Table {
    /// The plugin's type.
    pub(crate) plugin: &'static str,
    /// Where it is compared.
    pub(crate) ground: Ground,
    /// What differs in every row.
    pub(crate) differs: &'static [Difference],
    /// Its rows.
    pub(crate) rows: fn() -> Vec<Row>,
}

/// All tables.
pub(crate) const TABLES: &[Table] = &[
    macvlan::TABLE,
    bridge::TABLE,
    bridge_vlan::TABLE,
    ipvlan::TABLE,
    vlan::TABLE,
    ptp::TABLE,
    loopback::TABLE,
    host_device::TABLE,
    bandwidth::TABLE,
    portmap::TABLE,
    firewall::TABLE,
    tuning::TABLE,
    sbr::TABLE,
    vrf::TABLE,
];

/// Compares the tables of a plugin on this ground.
pub(crate) fn compare(plugin: &str, ground: Ground) {
    let tables: Vec<_> =
        TABLES.iter().filter(|table| table.plugin == plugin && table.ground == ground).collect();
    assert!(!tables.is_empty(), "there is no table of {plugin}");
    for table in tables {
        super::trial::compare(plugin, table);
    }
}
