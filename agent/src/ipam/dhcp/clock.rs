//! Time and chance.

use std::hash::{BuildHasher as _, RandomState};

use nix::time::{ClockId, clock_gettime};

/// Milliseconds since the node booted, suspend included: leases run on while it sleeps, and nobody sets this clock.
pub(super) fn now_ms() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return 0 };
    let (seconds, nanoseconds) = (now.tv_sec().unsigned_abs(), now.tv_nsec().unsigned_abs());
    seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
}

/// Random numbers for transaction ids and jitter (SplitMix64); nothing secret depends on them.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice that fall differently in each process.
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(now_ms()))
    }

    /// Dice that fall the same way for the same seed.
    #[cfg(test)]
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A transaction id of 24 bits, as DHCPv6 has them.
    pub(super) fn xid(&mut self) -> u32 {
        u32::try_from(self.bits() >> 40).unwrap_or_default()
    }

    /// A number below `bound`; 0 where the bound is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.bits().checked_rem(bound).unwrap_or_default()
    }

    /// `whole`, give or take a quarter.
    pub(super) fn about(&mut self, whole: u64) -> u64 {
        (whole - whole / 4).saturating_add(self.below(whole / 2 + 1))
    }
}
