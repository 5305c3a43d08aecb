//! Routes: tables of prefixes, next hops that prefixes share, and the interfaces of a pod that next hops lead over.

use crate::Address;

/// Tables per node: one for each network with routes, and one for each pod with routes of its own.
pub const MAX_ROUTE_TABLES: u32 = 4096;

/// Places for tries: each table has one, and a new generation is built in another before it takes over.
pub const ROUTE_SLOTS: u32 = 2 * MAX_ROUTE_TABLES;

/// Next hops per node, shared by the prefixes of all tables.
pub const MAX_NEXT_HOPS: u32 = 16_384;

/// Places of a CPU's cache of decisions; a power of two.
pub const ROUTE_CACHE_SLOTS: u32 = 1024;

/// Interfaces of one pod that the next hops of one table may name; the first is the table's own.
pub const MAX_ROUTE_DEVICES: usize = 7;

/// `RoutePort::table` of a port without routes. Tables are numbered from 1.
pub const NO_TABLE: u32 = 0;

/// The next hop that is none: the packet goes as the pod's own routes say.
pub const HOP_NONE: u32 = 0;

/// `NextHop::kind`: as the pod's own routes say.
pub const HOP_PASS: u32 = 0;
/// `NextHop::kind`: by way of a gateway.
pub const HOP_GATEWAY: u32 = 1;
/// `NextHop::kind`: the destination itself is on the link.
pub const HOP_ON_LINK: u32 = 2;
/// `NextHop::kind`: dropped.
pub const HOP_BLACKHOLE: u32 = 3;

shared! {
    /// The routes of one port.
    pub struct RoutePort {
        /// The table's number, or `NO_TABLE`.
        pub table: u32,
        /// The ifindexes, in the pod, of the interfaces that the table's next hops name; 0 for one that is not there.
        pub devices: [u32; MAX_ROUTE_DEVICES],
    }
}

shared! {
    /// A next hop.
    pub struct NextHop {
        /// `HOP_*`.
        pub kind: u32,
        /// Index into `RoutePort::devices`.
        pub device: u32,
        /// The gateway of `HOP_GATEWAY`.
        pub gateway: Address,
    }
}

shared! {
    /// A decision that one CPU remembers.
    pub struct CachedRoute {
        /// The table's number and generation when it was made; 0 in an unused place.
        pub version: u64,
        /// The destination.
        pub address: Address,
        /// The next hop's number, or `HOP_NONE`.
        pub hop: u32,
        /// Zero.
        pub reserved: u32,
    }
}

/// A table's word: the place of its tries in the lower half, the count of its changes in the upper. It changes in one
/// write, so that a packet sees all of a table's routes as they were before a change, or all as they are after it.
#[inline]
pub const fn route_word(generation: u32, slot: u32) -> u64 {
    (generation as u64) << 32 | slot as u64
}

/// The place of the tries that a table's word names.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
pub const fn route_slot(word: u64) -> u32 {
    word as u32
}

/// How often the table of this word has changed.
#[inline]
pub const fn route_generation(word: u64) -> u32 {
    (word >> 32) as u32
}
