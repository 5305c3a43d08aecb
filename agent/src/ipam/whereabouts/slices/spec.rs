//! What a config says about one slice pool.

use ipnet::IpNet;
use plexus_cni::{CniError, Code};
use serde::{Deserialize, Serialize};

use super::cut::{cut, slice_prefix};
use super::span::{Span, without_all};

/// Longest name of an object, which is a file's name too.
const NAME_BYTES_MAX: usize = 253;

/// One range of a network in fast mode. It is kept with the leases, so that slices can be given back without a config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolSpec {
    /// The NodeSlicePool's name.
    pub name: String,
    /// `network_name`: networks of different names may use the same addresses.
    pub network_name: String,
    /// The whole range.
    pub range: IpNet,
    /// `node_slice_size` as configured.
    pub slice_size: String,
    /// What may be handed out of the range at all.
    pub usable: Span,
    /// `exclude`
    pub excludes: Vec<Span>,
    /// `enable_overlapping_ranges`: other pools' holdings inside of our slices are kept out.
    pub checks_overlaps: bool,
}

impl PoolSpec {
    /// Refuses a name that no file can have, and a size that cannot cut the range.
    pub fn check(&self) -> Result<(), CniError> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if self.name.is_empty()
            || self.name.len() > NAME_BYTES_MAX
            || self.name.starts_with('.')
            || !self.name.bytes().all(is_fine)
        {
            let what = format!("{:?} cannot be the name of a NodeSlicePool", self.name);
            return Err(CniError::new(Code::InvalidConfig, what)
                .because("it comes from ipam.network_name, or else the network's name: lower case letters, digits, \"-\" and \".\""));
        }
        slice_prefix(self.range, &self.slice_size).map(drop)
    }

    /// The slices of the range.
    pub(super) fn slices(&self) -> Result<Vec<IpNet>, CniError> {
        Ok(cut(self.range, slice_prefix(self.range, &self.slice_size)?))
    }

    /// The size as it stands in the object.
    pub(super) fn slice_size_text(&self) -> Result<String, CniError> {
        Ok(format!("/{}", slice_prefix(self.range, &self.slice_size)?))
    }

    /// What of a slice can be handed out, without `foreign` addresses.
    pub(super) fn usable_in(&self, slice: Span, foreign: &[Span]) -> Vec<Span> {
        let whole = slice.meet(self.usable).into_iter().collect();
        without_all(whole, self.excludes.iter().chain(foreign).copied())
    }

    /// How many addresses of a slice can be handed out.
    pub(super) fn capacity(&self, slice: Span, foreign: &[Span]) -> u128 {
        self.usable_in(slice, foreign).into_iter().fold(0, |sum: u128, span| sum.saturating_add(span.count()))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A pool named `net` that hands out all of `range` but its first and last address.
    pub(in super::super) fn spec(range: &str, size: &str) -> PoolSpec {
        let range: IpNet = range.parse().unwrap();
        let whole = Span::of_net(range);
        let ends = [whole.first(), whole.last()].map(Span::of);
        let usable = without_all(vec![whole], ends)[0];
        PoolSpec {
            name: "net".into(),
            network_name: String::new(),
            range,
            slice_size: size.into(),
            usable,
            excludes: Vec::new(),
            checks_overlaps: true,
        }
    }

    #[test]
    fn exclusions_and_the_ends_of_the_range_leave_their_slices_smaller() {
        let mut spec = spec("10.0.0.0/22", "/24");
        spec.excludes =
            vec![Span::of_net("10.0.1.0/24".parse().unwrap()), Span::of("10.0.2.7".parse().unwrap())];
        let slices = spec.slices().unwrap();
        let capacities: Vec<u128> = slices.iter().map(|net| spec.capacity(Span::of_net(*net), &[])).collect();
        assert_eq!(capacities, [255, 0, 255, 255]);
        let foreign = [Span::of_net("10.0.3.128/25".parse().unwrap())];
        assert_eq!(spec.capacity(Span::of_net(slices[3]), &foreign), 128);
    }

    #[test]
    fn a_name_that_would_leave_the_directory_is_refused() {
        for name in ["", "..", ".hidden", "a/b", "../x", "ä", &"x".repeat(254)] {
            let spec = PoolSpec { name: name.into(), ..spec("10.0.0.0/16", "/24") };
            assert_eq!(spec.check().unwrap_err().code, Code::InvalidConfig, "{name:?}");
        }
        assert_eq!(spec("10.0.0.0/16", "/24").check(), Ok(()));
    }
}
