//! Compile-time checks and the fingerprint of the shared structs.

/// Raised when a map changes its meaning, type or flags while the structs keep their layout.
const ABI_VERSION: u64 = 1;

/// Fingerprint of everything the kernel and the agent must agree on; it names the directory of the pins.
pub const ABI_HASH: u64 = {
    let layouts = [
        crate::Address::LAYOUT,
        crate::Capture::LAYOUT,
        crate::Counters::LAYOUT,
        crate::FdbEntry::LAYOUT,
        crate::FdbKey::LAYOUT,
        crate::HostKey::LAYOUT,
        crate::Members::LAYOUT,
        crate::MembersKey::LAYOUT,
        crate::NetworkConfig::LAYOUT,
        crate::PolicerConfig::LAYOUT,
        crate::PolicerState::LAYOUT,
        crate::PortConfig::LAYOUT,
        crate::CachedRoute::LAYOUT,
        crate::NextHop::LAYOUT,
        crate::RoutePort::LAYOUT,
        crate::SampleBudget::LAYOUT,
        crate::SeenHeader::LAYOUT,
        crate::Station::LAYOUT,
        crate::UplinkEntry::LAYOUT,
        crate::UplinkKey::LAYOUT,
        crate::Watch::LAYOUT,
    ];
    let mut hash = mix(FNV_OFFSET, ABI_VERSION);
    let mut index = 0;
    while index < layouts.len() {
        hash = mix(hash, layouts[index]);
        index += 1;
    }
    hash
};

/// Start value of the 64-bit FNV-1a hash.
pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a over the eight bytes of `word`.
pub(crate) const fn mix(hash: u64, word: u64) -> u64 {
    mix_bytes(hash, &word.to_le_bytes())
}

/// FNV-1a over `bytes`.
pub(crate) const fn mix_bytes(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(FNV_PRIME);
        index += 1;
    }
    hash
}

/// Declares a struct that crosses the border: `repr(C)`, no implicit padding, a `ZERO` value and a layout hash.
macro_rules! shared {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)+ }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)+ }

        const _: () = assert!(
            size_of::<$name>() == 0 $(+ size_of::<$type>())+,
            concat!(stringify!($name), " has implicit padding"),
        );

        impl $name {
            /// All fields zero: what an untouched slot of a map holds.
            // SAFETY: every field is an integer, an array of integers or another shared struct; zero is valid.
            pub const ZERO: Self = unsafe { core::mem::zeroed() };

            pub(crate) const LAYOUT: u64 = {
                let mut hash = $crate::layout::mix_bytes($crate::layout::FNV_OFFSET, stringify!($name).as_bytes());
                $(
                    hash = $crate::layout::mix_bytes(hash, stringify!($field: $type).as_bytes());
                    hash = $crate::layout::mix(hash, core::mem::offset_of!($name, $field) as u64);
                    hash = $crate::layout::mix(hash, size_of::<$type>() as u64);
                )+
                hash
            };
        }

        // SAFETY: repr(C), Copy, only integers, and the assertion above proves that no byte is padding.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $name {}
    };
}
