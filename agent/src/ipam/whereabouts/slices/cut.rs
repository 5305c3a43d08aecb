//! How a range is cut into slices.

use ipnet::IpNet;
use plexus_cni::{CniError, Code};

/// Most slices of one range. All of them stand in one object, which each claim rewrites in the database.
const SLICES_MAX_BITS: u8 = 12;
/// Most slices where the size is meant for the other family, as a power of two.
const DERIVED_BITS: u8 = 10;

/// The prefix length of the slices of `range`, from a `node_slice_size` such as `/24` or `24`.
///
/// A network of both families has one size for all its ranges. Where it cannot be a prefix length of this range, it is
/// taken from the other family: slices with as many addresses, but no more than 1024 of them.
pub(super) fn slice_prefix(range: IpNet, size: &str) -> Result<u8, CniError> {
    let wrong = |why: String| {
        CniError::new(Code::InvalidConfig, format!("ipam.node_slice_size {size:?} cannot cut range {range}"))
            .because(why)
    };
    let text = size.trim();
    let prefix: u8 = text
        .strip_prefix('/')
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|prefix| *prefix <= 128)
        .ok_or_else(|| wrong("write a prefix length, such as \"/24\"".into()))?;
    let (whole, longest) = (range.prefix_len(), range.max_prefix_len());
    if prefix < whole || prefix > longest {
        let other = if longest == 32 { 128 } else { 32 };
        if prefix > other || (longest == 32 && prefix <= 32) {
            return Err(wrong(format!("a slice is part of the range: /{whole} to /{longest} are possible")));
        }
        let derived = longest.saturating_sub(other - prefix);
        return Ok(derived.clamp(whole, whole.saturating_add(DERIVED_BITS).min(longest)));
    }
    if prefix - whole > SLICES_MAX_BITS {
        return Err(wrong(format!(
            "that makes more than {} slices; /{} is the smallest size",
            1_u32 << SLICES_MAX_BITS,
            whole + SLICES_MAX_BITS
        )));
    }
    Ok(prefix)
}

/// The slices of `range` in order: at most 4096, for a prefix length that [`slice_prefix`] gave.
pub(super) fn cut(range: IpNet, prefix: u8) -> Vec<IpNet> {
    range.trunc().subnets(prefix).into_iter().flatten().take(1 << SLICES_MAX_BITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(range: &str, size: &str) -> Result<u8, CniError> {
        slice_prefix(range.parse().unwrap(), size)
    }

    #[test]
    fn a_range_is_cut_as_the_original_cuts_it() {
        assert_eq!(prefix("10.0.0.0/16", "/24"), Ok(24));
        assert_eq!(prefix("10.0.0.0/16", "24"), Ok(24));
        let slices = cut("10.0.0.0/16".parse().unwrap(), 24);
        assert_eq!(slices.len(), 256);
        assert_eq!(slices[0].to_string(), "10.0.0.0/24");
        assert_eq!(slices[255].to_string(), "10.0.255.0/24");
        assert_eq!(cut("fd00::/112".parse().unwrap(), 120)[1].to_string(), "fd00::100/120");
        assert_eq!(cut("10.0.0.0/24".parse().unwrap(), 24).len(), 1);
    }

    #[test]
    fn one_size_serves_both_families() {
        assert_eq!(prefix("fd00::/112", "/24"), Ok(120));
        assert_eq!(prefix("fd00::/64", "/24"), Ok(74));
        assert_eq!(prefix("fd00::/124", "/24"), Ok(124));
        assert_eq!(prefix("10.0.0.0/16", "/120"), Ok(24));
        assert_eq!(prefix("10.0.0.0/16", "/64"), Ok(16));
    }

    #[test]
    fn what_cannot_be_cut_is_refused_with_a_way_out() {
        for (range, size, advice) in [
            ("10.0.0.0/16", "/12", "/16 to /32"),
            ("10.0.0.0/8", "/24", "/20 is the smallest"),
            ("fd00::/64", "/60", "/64 to /128"),
            ("10.0.0.0/16", "/129", "\"/24\""),
            ("10.0.0.0/16", "many", "\"/24\""),
            ("10.0.0.0/16", "", "\"/24\""),
        ] {
            let error = prefix(range, size).unwrap_err();
            assert_eq!(error.code, Code::InvalidConfig);
            assert!(error.msg.contains(range) && error.details.contains(advice), "{error}");
        }
    }
}
