//! When a node takes another slice, and when it gives one back.

use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::book::{Book, Usage};
use super::spec::PoolSpec;

/// A slice must have been empty for this long before it is given back.
pub(super) const EMPTY_KEPT: Duration = Duration::from_mins(1);
/// The last slice of a pool that nobody uses is kept for this long.
pub(super) const LAST_KEPT: Duration = Duration::from_mins(10);

/// Whether another slice is to be taken before it is needed: three quarters are in use.
pub(super) fn wants_more(usage: Usage) -> bool {
    u128::from(usage.used).saturating_mul(4) >= usage.capacity.saturating_mul(3)
}

/// A slice that is to be given back now: empty for a while, and what remains is at most half used, well below what makes
/// [`wants_more`] take another one. The last slice goes when nothing has been held for longer.
pub(super) fn surplus(book: &Book, spec: &PoolSpec, now: Instant) -> Option<IpNet> {
    let confirmed = book.slices().iter().filter(|slice| slice.is_confirmed);
    let usage = book.usage(spec);
    // Of several the one that was taken last: the first ones fill first.
    let candidate = confirmed.rev().find(|slice| slice.used == 0)?;
    let empty_for = now.saturating_duration_since(candidate.empty_since?);
    let remaining = usage.capacity.saturating_sub(candidate.capacity(spec));
    let is_surplus = if usage.used == 0 && usage.slices == 1 {
        empty_for >= LAST_KEPT
    } else {
        usage.slices > 1 && empty_for >= EMPTY_KEPT && u128::from(usage.used).saturating_mul(2) <= remaining
    };
    is_surplus.then_some(candidate.kept.range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::book::Kept;
    use super::super::lease::tests::lease;
    use super::super::spec::tests::spec;
    use super::*;

    const SLICES: [&str; 3] = ["10.0.0.32/28", "10.0.0.48/28", "10.0.0.64/28"];

    fn filled(slices: usize, leases: usize, now: Instant) -> (Book, PoolSpec) {
        let (mut book, spec) = (Book::default(), spec("10.0.0.0/24", "/28"));
        for range in &SLICES[..slices] {
            book.own(Kept { range: range.parse().unwrap(), foreign: Vec::new() }, true, now);
        }
        for at in 0..leases {
            let address = book.next_free(&spec).unwrap();
            book.hold(address, lease(at));
        }
        (book, spec)
    }

    #[test]
    fn a_slice_is_taken_ahead_at_three_quarters() {
        let now = Instant::now();
        for (slices, leases, expected) in
            [(0, 0, true), (1, 11, false), (1, 12, true), (2, 12, false), (2, 24, true)]
        {
            let (book, spec) = filled(slices, leases, now);
            assert_eq!(wants_more(book.usage(&spec)), expected, "{leases} in {slices}");
        }
    }

    #[test]
    fn an_empty_slice_goes_when_the_rest_is_half_empty_and_the_last_one_later() {
        let now = Instant::now();
        for (slices, leases, after, expected) in [
            (2, 8, EMPTY_KEPT, Some(SLICES[1])),
            (2, 8, EMPTY_KEPT / 2, None),
            (2, 9, LAST_KEPT, None),
            (3, 16, EMPTY_KEPT, Some(SLICES[2])),
            (2, 0, EMPTY_KEPT, Some(SLICES[1])),
            (1, 0, EMPTY_KEPT, None),
            (1, 0, LAST_KEPT, Some(SLICES[0])),
            (1, 1, LAST_KEPT, None),
        ] {
            let (book, spec) = filled(slices, leases, now);
            let found = surplus(&book, &spec, now + after).map(|range| range.to_string());
            assert_eq!(found.as_deref(), expected, "{leases} in {slices} after {after:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_given_back_is_not_wanted_again_at_once(slices in 1..=3_usize, leases in 0..=40_usize) {
            let now = Instant::now();
            let (mut book, spec) = filled(slices, leases.min(slices * 16), now);
            for _ in 0..SLICES.len() {
                let Some(range) = surplus(&book, &spec, now + LAST_KEPT) else { break };
                let leases = book.leases().len();
                book.disown(range);
                let usage = book.usage(&spec);
                prop_assert_eq!(usage.used, leases as u64, "no lease was in it");
                prop_assert!(usage.slices == 0 || !wants_more(usage));
            }
        }
    }
}
