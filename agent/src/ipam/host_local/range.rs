//! Ranges of addresses: what a config may say, and which address comes next.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use plexus_cni::{CniError, Code};
use serde::Deserialize;

/// A range as it stands in a config.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RangeText {
    pub(super) subnet: Option<String>,
    range_start: Option<String>,
    range_end: Option<String>,
    gateway: Option<String>,
}

/// Addresses from `start` to `end`, both included, in `subnet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) subnet: IpNet,
    pub(super) start: IpAddr,
    pub(super) end: IpAddr,
    /// Never handed out; the subnet's first address unless configured.
    pub(super) gateway: IpAddr,
}

impl Range {
    /// Fills in what is not configured, and refuses what is impossible; `field` names the range in errors.
    pub(super) fn new(text: &RangeText, field: &str) -> Result<Self, CniError> {
        let subnet = subnet(text.subnet.as_deref(), &format!("{field}.subnet"))?;
        let first = number(subnet.network()) + 1;
        let last = match subnet {
            IpNet::V4(_) => number(subnet.broadcast()) - 1,
            IpNet::V6(_) => number(subnet.broadcast()),
        };
        let address = |key: &str, text: &Option<String>, default: u128| {
            let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else {
                return Ok(address_like(subnet, default));
            };
            parse_address(text).ok_or_else(|| wrong(format!("{field}.{key} {text:?} is not an address")))
        };
        let gateway = address("gateway", &text.gateway, first)?;
        let start = address("rangeStart", &text.range_start, first)?;
        let end = address("rangeEnd", &text.range_end, last)?;
        for (key, address) in [("rangeStart", start), ("rangeEnd", end)] {
            if !subnet.contains(&address) {
                return Err(wrong(format!("{field}.{key} {address} lies outside subnet {subnet}")));
            }
        }
        if number(start) > number(end) {
            return Err(wrong(format!("{field}: rangeStart {start} comes after rangeEnd {end}")));
        }
        Ok(Self { subnet, start, end, gateway })
    }

    /// Whether `address` lies between start and end.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.subnet.contains(&address) && (number(self.start)..=number(self.end)).contains(&number(address))
    }

    /// How many addresses can be handed out.
    fn capacity(&self) -> u128 {
        let all = (number(self.end) - number(self.start)).saturating_add(1);
        if self.contains(self.gateway) { all - 1 } else { all }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{}-{}", self.start, self.end)
    }
}

/// Ranges of one family that together give one address to an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeSet(Vec<Range>);

impl RangeSet {
    /// Refuses an empty set and a mix of families.
    pub(super) fn new(ranges: Vec<Range>, field: &str) -> Result<Self, CniError> {
        let Some(first) = ranges.first() else {
            return Err(wrong(format!("{field} is empty")));
        };
        if let Some(other) = ranges.iter().find(|range| range.start.is_ipv4() != first.start.is_ipv4()) {
            return Err(wrong(format!("{field} mixes IPv4 and IPv6: {first} and {other}"))
                .because("a range set gives one address; write a second set for the other family"));
        }
        Ok(Self(ranges))
    }

    /// The range that holds `address`.
    pub(super) fn range_for(&self, address: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(address))
    }

    /// How many addresses can be handed out.
    pub(super) fn capacity(&self) -> u128 {
        self.0.iter().fold(0, |sum: u128, range| sum.saturating_add(range.capacity()))
    }

    /// The first free address after `last`, walking round through all ranges and ending with `last` itself.
    ///
    /// A step that finds no free address meets a taken one or a gateway, so the walk is no longer than `taken`,
    /// however large an IPv6 range is.
    pub(super) fn next_free(
        &self,
        last: Option<IpAddr>,
        taken: &HashSet<IpAddr>,
    ) -> Option<(&Range, IpAddr)> {
        let at = last.and_then(|last| {
            let index = self.0.iter().position(|range| range.contains(last))?;
            Some((index, number(last)))
        });
        let whole = |range: &Range| (number(range.start), number(range.end));
        let mut spans: Vec<(&Range, (u128, u128))> = Vec::with_capacity(self.0.len() + 1);
        let (index, head) = match at {
            None => (0, None),
            Some((index, last)) => {
                let range = &self.0[index];
                if let Some(after) = last.checked_add(1) {
                    spans.push((range, (after, number(range.end))));
                }
                (index + 1, Some((range, (number(range.start), last))))
            }
        };
        let before = if head.is_some() { index - 1 } else { 0 };
        spans.extend(self.0[index..].iter().map(|range| (range, whole(range))));
        spans.extend(self.0[..before].iter().map(|range| (range, whole(range))));
        spans.extend(head);
        spans.into_iter().find_map(|(range, (from, to))| {
            (from..=to)
                .map(|at| address_like(range.subnet, at))
                .find(|address| *address != range.gateway && !taken.contains(address))
                .map(|address| (range, address))
        })
    }

    fn ranges(&self) -> &[Range] {
        &self.0
    }
}

impl std::fmt::Display for RangeSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            write!(formatter, "{}{range}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Refuses ranges that share an address, inside one set or between two.
pub(super) fn refuse_overlap(sets: &[RangeSet]) -> Result<(), CniError> {
    let mut all: Vec<(usize, &Range)> = sets
        .iter()
        .enumerate()
        .flat_map(|(at, set)| set.ranges().iter().map(move |range| (at, range)))
        .collect();
    all.sort_by_key(|(_, range)| (range.start.is_ipv6(), number(range.start)));
    for pair in all.windows(2) {
        let ((one, left), (other, right)) = (pair[0], pair[1]);
        if left.start.is_ipv4() == right.start.is_ipv4() && number(right.start) <= number(left.end) {
            return Err(wrong(format!("range {left} of set {one} overlaps range {right} of set {other}"))
                .because("every address may belong to one range only"));
        }
    }
    Ok(())
}

/// An address in the form that the reference plugin uses: IPv4 mapped into IPv6 is IPv4.
pub(super) fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn subnet(text: Option<&str>, field: &str) -> Result<IpNet, CniError> {
    let Some(text) = text else {
        return Err(wrong(format!("{field} is missing")));
    };
    let subnet: IpNet = text
        .parse()
        .map_err(|_| wrong(format!("{field} {text:?} is not a subnet")).because("write it as 10.0.0.0/24"))?;
    if subnet.addr() != subnet.network() {
        return Err(wrong(format!("{field} {text} has host bits set"))
            .because(format!("for this prefix length write {}", subnet.trunc())));
    }
    if subnet.prefix_len() > subnet.max_prefix_len() - 2 {
        return Err(wrong(format!("{field} {text} is too small to allocate from")));
    }
    if let IpAddr::V6(address) = subnet.addr()
        && address.to_ipv4_mapped().is_some()
    {
        return Err(wrong(format!("{field} {text} is IPv4 mapped into IPv6")).because("write it as IPv4"));
    }
    Ok(subnet)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address with this number in the family of `subnet`.
fn address_like(subnet: IpNet, number: u128) -> IpAddr {
    match subnet {
        // Every number here lies between two addresses of this family, so it fits.
        IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

fn wrong(what: String) -> CniError {
    CniError::new(Code::InvalidConfig, what)
}

#[cfg(test)]
mod tests;
