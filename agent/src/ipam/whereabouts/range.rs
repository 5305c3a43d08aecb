//! A range of addresses, counted in offsets from its network's first address, as an IPPool's allocations are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use plexus_cni::{CniError, Code};
use serde::Deserialize;

/// The largest offset: the original reads offsets as signed 64-bit numbers, and drops the allocations of larger ones.
pub const OFFSET_MAX: u128 = i64::MAX as u128;
/// Most excludes of one range.
const EXCLUDES_MAX: usize = 1024;

/// A range as it stands in a config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RangeText {
    /// CIDR notation, `10.0.0.0/24`, or `10.0.0.10-10.0.0.20/24`.
    #[serde(default)]
    pub range: String,
    /// First address to give.
    pub range_start: Option<String>,
    /// Last address to give.
    pub range_end: Option<String>,
    /// Addresses and subnets that are not given.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// Addresses `first` to `last`, both included, without the excluded ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The whole network; its first address has offset 0.
    pub network: IpNet,
    /// Lowest offset that is given.
    pub first: u128,
    /// Highest offset that is given.
    pub last: u128,
    /// Offsets that are not given: `(from, to)`, both included, in order, apart from one another.
    pub excluded: Vec<(u128, u128)>,
}

impl Range {
    /// Reads a range as the original does: its network and broadcast address are never given, and a start or end that
    /// lies outside of the rest counts as absent. `field` names the range in errors.
    pub fn new(text: &RangeText, field: &str) -> Result<Self, CniError> {
        let wrong = |what: String| Err(CniError::new(Code::InvalidConfig, format!("{field}.{what}")));
        let (from, cidr) = match text.range.split_once('-') {
            Some((from, cidr)) => (Some(from), cidr),
            None => (None, &*text.range),
        };
        let Ok(written) = cidr.trim().parse::<IpNet>() else {
            return wrong(format!("range {:?} is no range such as 10.0.0.0/24", text.range));
        };
        let network = written.trunc();
        if is_mapped(network.addr()) {
            return wrong(format!("range {} is an IPv4 range written as IPv6", text.range));
        }
        let host_bits = network.max_prefix_len() - network.prefix_len();
        if host_bits < 2 {
            return wrong(format!(
                "range {network} is too small: it has no address beside its first and last"
            ));
        }
        let broadcast = u128::MAX >> (128 - u32::from(host_bits));
        let mut range =
            Self { network, first: 1, last: (broadcast - 1).min(OFFSET_MAX), excluded: Vec::new() };
        let address = |key: &str, text: &str| {
            let parsed = text.trim().parse::<IpAddr>().map(|address| address.to_canonical());
            parsed.map_err(|_| {
                CniError::new(Code::InvalidConfig, format!("{field}.{key} {text:?} is not an address"))
            })
        };
        let (mut start, mut end) = (None, None);
        if let Some(from) = from {
            start = Some(address("range", from)?);
            end = Some(written.addr());
            if start.is_some_and(|start| !network.contains(&start)) {
                return wrong(format!("range {:?} begins outside of {network}", text.range));
            }
        } else {
            if let Some(text) = text.range_start.as_deref().filter(|text| !text.is_empty()) {
                start = Some(address("range_start", text)?);
            }
            if let Some(text) = text.range_end.as_deref().filter(|text| !text.is_empty()) {
                end = Some(address("range_end", text)?);
            }
        }
        let inside = |range: &Self, address: Option<IpAddr>| {
            address
                .and_then(|address| range.offset(address))
                .filter(|at| (range.first..=range.last).contains(at))
        };
        range.first = inside(&range, start).unwrap_or(range.first);
        range.last = inside(&range, end).unwrap_or(range.last);
        if text.exclude.len() > EXCLUDES_MAX {
            return wrong(format!(
                "exclude has {} entries; at most {EXCLUDES_MAX} are possible",
                text.exclude.len()
            ));
        }
        for item in &text.exclude {
            let net = item.trim().parse::<IpNet>().or_else(|_| address("exclude", item).map(IpNet::from))?;
            range.exclude(net.trunc());
        }
        Ok(range)
    }

    /// Takes out the addresses of `net`, as far as they lie in the network.
    pub fn exclude(&mut self, net: IpNet) {
        let (Some(from), Some(to)) = (self.clamped(net.network()), self.clamped(net.broadcast())) else {
            return;
        };
        let is_apart = !self.network.contains(&net.network()) && !net.contains(&self.network.network());
        if !is_apart {
            self.exclude_offsets(from, to);
        }
    }

    /// Takes out the offsets `from` to `to`, both included.
    pub fn exclude_offsets(&mut self, from: u128, to: u128) {
        self.excluded.push((from, to));
        self.excluded.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(self.excluded.len());
        for (from, to) in self.excluded.drain(..) {
            match merged.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        self.excluded = merged;
    }

    /// The address's offset, if it lies in the network.
    pub fn offset(&self, address: IpAddr) -> Option<u128> {
        let address = address.to_canonical();
        self.network.contains(&address).then(|| number(address) - number(self.network.network()))
    }

    /// The address at `offset`, if that lies in the network.
    pub fn address(&self, offset: u128) -> Option<IpAddr> {
        let sum = number(self.network.network()).checked_add(offset)?;
        let address = match self.network {
            IpNet::V4(_) => IpAddr::from(Ipv4Addr::from(u32::try_from(sum).ok()?)),
            IpNet::V6(_) => IpAddr::from(Ipv6Addr::from(sum)),
        };
        self.network.contains(&address).then_some(address)
    }

    /// Whether this offset may be given.
    pub fn gives(&self, offset: u128) -> bool {
        (self.first..=self.last).contains(&offset) && self.exclude_end(offset).is_none()
    }

    /// Last offset of the exclude in which `offset` lies.
    pub fn exclude_end(&self, offset: u128) -> Option<u128> {
        let after = self.excluded.partition_point(|(from, _)| *from <= offset);
        let (_, to) = self.excluded.get(after.checked_sub(1)?)?;
        (offset <= *to).then_some(*to)
    }

    /// How many addresses may be given.
    pub fn capacity(&self) -> u128 {
        let without = self.excluded.iter().map(|(from, to)| {
            let (from, to) = ((*from).max(self.first), (*to).min(self.last));
            if from > to { 0 } else { to - from + 1 }
        });
        (self.last - self.first + 1) - without.sum::<u128>()
    }

    /// The offset next to `address` inside of the network; none for the other family.
    fn clamped(&self, address: IpAddr) -> Option<u128> {
        if address.is_ipv4() != self.network.addr().is_ipv4() {
            return None;
        }
        let (first, last) = (number(self.network.network()), number(self.network.broadcast()));
        Some(number(address).clamp(first, last) - first)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address(self.first), self.address(self.last)) {
            (Some(first), Some(last)) => write!(f, "{} ({first} to {last})", self.network),
            _ => write!(f, "{}", self.network),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests;
