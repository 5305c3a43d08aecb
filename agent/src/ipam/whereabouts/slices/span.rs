//! Addresses without a gap: what slices, exclusions and foreign holdings are made of.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The addresses from one to another of the same family, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(IpAddr, IpAddr)", into = "(IpAddr, IpAddr)")]
pub struct Span {
    is_ipv4: bool,
    first: u128,
    last: u128,
}

impl Span {
    /// `None` where the families differ or `last` comes before `first`.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let span = Self { is_ipv4: first.is_ipv4(), first: number(first), last: number(last) };
        (first.is_ipv4() == last.is_ipv4() && span.first <= span.last).then_some(span)
    }

    /// Every address of a network, its first and last one included.
    pub fn of_net(net: IpNet) -> Self {
        Self { is_ipv4: net.addr().is_ipv4(), first: number(net.network()), last: number(net.broadcast()) }
    }

    /// One address.
    pub fn of(address: IpAddr) -> Self {
        Self { is_ipv4: address.is_ipv4(), first: number(address), last: number(address) }
    }

    /// Its first address.
    pub fn first(self) -> IpAddr {
        self.address(self.first)
    }

    /// Its last address.
    pub fn last(self) -> IpAddr {
        self.address(self.last)
    }

    /// How many addresses; a span of all IPv6 addresses counts one too few.
    pub fn count(self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether `address` is one of them.
    pub fn contains(self, address: IpAddr) -> bool {
        self.meet(Self::of(address)).is_some()
    }

    /// What both have.
    pub fn meet(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (self.is_ipv4 == other.is_ipv4 && first <= last).then_some(Self { first, last, ..self })
    }

    /// What is left without `hole`: nothing, one span or two.
    pub fn without(self, hole: Self) -> impl Iterator<Item = Self> {
        let cut = self.meet(hole);
        let whole = cut.is_none().then_some(self);
        let below = cut.filter(|cut| cut.first > self.first).map(|cut| Self { last: cut.first - 1, ..self });
        let above = cut.filter(|cut| cut.last < self.last).map(|cut| Self { first: cut.last + 1, ..self });
        [whole, below, above].into_iter().flatten()
    }

    /// The part of it that comes after `address`, if `address` is one of its own but the last.
    pub fn after(self, address: IpAddr) -> Option<Self> {
        let at = number(address);
        (self.contains(address) && at < self.last).then(|| Self { first: at + 1, ..self })
    }

    /// Whether `other` begins where it ends.
    pub(super) fn is_next_to(self, other: Self) -> bool {
        self.is_ipv4 == other.is_ipv4 && self.last.checked_add(1) == Some(other.first)
    }

    /// It and a span that [`Span::is_next_to`] it.
    pub(super) fn joined(self, other: Self) -> Self {
        Self { last: other.last, ..self }
    }

    /// Its addresses in order.
    pub fn addresses(self) -> impl Iterator<Item = IpAddr> {
        (self.first..=self.last).map(move |at| self.address(at))
    }

    fn address(self, number: u128) -> IpAddr {
        if self.is_ipv4 {
            // Numbers of an IPv4 span lie between two IPv4 addresses.
            IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)))
        } else {
            IpAddr::V6(Ipv6Addr::from(number))
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.first(), self.last())
    }
}

impl TryFrom<(IpAddr, IpAddr)> for Span {
    type Error = String;

    fn try_from((first, last): (IpAddr, IpAddr)) -> Result<Self, String> {
        Self::new(first, last).ok_or_else(|| format!("{first} to {last} is no span of addresses"))
    }
}

impl From<Span> for (IpAddr, IpAddr) {
    fn from(span: Span) -> Self {
        (span.first(), span.last())
    }
}

/// What is left of `spans` without `holes`.
pub(super) fn without_all(spans: Vec<Span>, holes: impl IntoIterator<Item = Span>) -> Vec<Span> {
    holes
        .into_iter()
        .fold(spans, |spans, hole| spans.into_iter().flat_map(|span| span.without(hole)).collect())
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(first: u8, last: u8) -> Span {
        Span::new([10, 0, 0, first].into(), [10, 0, 0, last].into()).unwrap()
    }

    #[test]
    fn families_do_not_meet() {
        let all_v6 = Span::of_net("::/0".parse().unwrap());
        assert_eq!(span(0, 9).meet(all_v6), None);
        assert!(!all_v6.contains("10.0.0.1".parse().unwrap()));
        assert_eq!(span(0, 9).without(all_v6).collect::<Vec<_>>(), [span(0, 9)]);
        assert_eq!(Span::new("10.0.0.1".parse().unwrap(), "::1".parse().unwrap()), None);
    }

    #[test]
    fn a_span_is_kept_as_its_two_ends() {
        let text = serde_json::to_string(&span(1, 9)).unwrap();
        assert_eq!(text, r#"["10.0.0.1","10.0.0.9"]"#);
        assert_eq!(serde_json::from_str::<Span>(&text).unwrap(), span(1, 9));
        assert!(serde_json::from_str::<Span>(r#"["10.0.0.9","10.0.0.1"]"#).is_err());
    }

    proptest! {
        #[test]
        fn holes_take_away_what_they_cover_and_nothing_else(
            first in 0..=255_u8, last in 0..=255_u8,
            holes in proptest::collection::vec((0..=255_u8, 0..=255_u8), 0..6),
        ) {
            let whole = span(first.min(last), first.max(last));
            let holes: Vec<Span> = holes.into_iter().map(|(a, b)| span(a.min(b), a.max(b))).collect();
            let left = without_all(vec![whole], holes.iter().copied());
            let expected: Vec<IpAddr> =
                whole.addresses().filter(|at| !holes.iter().any(|hole| hole.contains(*at))).collect();
            prop_assert_eq!(left.iter().flat_map(|span| span.addresses()).collect::<Vec<_>>(), expected);
        }
    }
}
