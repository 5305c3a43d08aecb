//! Who can talk to whom: pods, and the machine outside, with an address on each network.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use plexus_agent::lab::NetNs;

use super::attach::Attached;
use super::stage::{OUTSIDE, Stage};

/// One machine or pod.
pub(super) struct Station {
    pub(super) name: String,
    pub(super) netns: NetNs,
    /// Network and address, in the order of the interfaces.
    pub(super) addresses: Vec<(String, IpAddr)>,
}

impl Station {
    /// The first address on a network.
    pub(super) fn address_on(&self, network: &str) -> Result<IpAddr> {
        let found = self.addresses.iter().find(|(name, _)| name == network);
        found.map(|(_, ip)| *ip).with_context(|| format!("{} has no address on {network}", self.name))
    }
}

/// All stations; pods first.
pub(super) fn all(stage: &Stage, pods: &[Attached]) -> Vec<Station> {
    let mut stations: Vec<_> = pods
        .iter()
        .map(|one| Station {
            name: one.pod.name.clone(),
            netns: one.pod.netns.clone(),
            addresses: one
                .interfaces
                .iter()
                .flat_map(|interface| {
                    let parsed = interface.ips.iter().filter_map(|ip| ip.parse().ok());
                    parsed.map(|ip| (interface.network.clone(), ip))
                })
                .collect(),
        })
        .collect();
    let outside = OUTSIDE.iter().filter_map(|(network, _, address)| {
        Some(((*network).to_owned(), address.split('/').next()?.parse().ok()?))
    });
    stations.push(Station {
        name: "outside".into(),
        netns: stage.outside.clone(),
        addresses: outside.collect(),
    });
    stations
}

/// The station called `name`.
pub(super) fn named<'a>(stations: &'a [Station], name: &str) -> Result<&'a Station> {
    stations.iter().find(|station| station.name == name).with_context(|| format!("no station {name}"))
}
