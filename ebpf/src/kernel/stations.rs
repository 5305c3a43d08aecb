//! Where stations were heard: learnt, moved, aged.

use plexus_abi::{FdbKey, HOLD_DOWN_NS, MAX_STATIONS_PER_PORT, OUTSIDE, PortConfig, Station};

use super::{
    fdb::{self, Key},
    maps::{STATION_COUNTS, STATIONS},
    word::Word,
};

/// No port, and not outside: for stations that nobody has heard.
pub(crate) const UNKNOWN: u32 = u32::MAX - 1;

/// A time stamp younger than this is left as it is, so that processors do not fight over a line of memory.
const REFRESH_NS: u64 = 50_000_000;

/// The port behind which a station is, `OUTSIDE` or `UNKNOWN`: where it was heard within the ageing time, else the port
/// that has the address by its record.
#[inline(always)]
pub(crate) fn locate(key: &FdbKey, ageing_s: u32, now_ns: u64) -> u32 {
    // SAFETY: two words are copied; a concurrent change shows the old or the new place.
    let heard = unsafe { STATIONS.get(key) }.filter(|station| station.is_fresh(ageing_s, now_ns));
    match heard.map(|station| station.port) {
        Some(OUTSIDE) => OUTSIDE,
        // The port's id may have been given to another network meanwhile.
        Some(port) if is_member(port, key) => port,
        _ => fdb::owner_of(key).map_or(UNKNOWN, |owner| owner.port),
    }
}

#[inline(always)]
fn is_member(port: u32, key: &FdbKey) -> bool {
    fdb::port(port).is_some_and(|port| port.network == key.network && port.vlan == key.vlan)
}

/// Notes who sent a frame from a pod. An address that another port has by its record stays there, and beyond its limit
/// a port's further stations are not learnt.
#[inline(always)]
pub(crate) fn hear_port(id: u32, port: &PortConfig, mac: u64, now_ns: u64) {
    let is_own = mac == port.mac_word();
    let key = Key::new(port.network, port.vlan, mac);
    let key = key.get();
    if !is_own && fdb::owner_of(key).is_some() {
        return;
    }
    if let Some(station) = STATIONS.get_ptr_mut(key) {
        // SAFETY: a map value that outlives the program; its words are written one by one, and any mix is valid.
        let station = unsafe { &mut *station };
        if station.port != id {
            if !is_own && !has_room(id) {
                return;
            }
            station.port = id;
            station.seen_ns = now_ns;
        } else if now_ns.wrapping_sub(station.seen_ns) > REFRESH_NS {
            station.seen_ns = now_ns;
        }
    } else if is_own || has_room(id) {
        // A full table makes room by itself; if the kernel refuses, the station is unknown until its next frame.
        STATIONS.insert(*key, Station { port: id, reserved: 0, seen_ns: now_ns }, 0).unwrap_or_default();
    }
}

/// Notes who sent a frame from outside. A station behind a port that has just spoken stays there, and an address that a
/// port has by its record moves away only if its new place announces it.
#[inline(always)]
pub(crate) fn hear_outside(key: &FdbKey, now_ns: u64, is_announcement: impl Fn() -> bool) {
    if key.mac[0] & 1 != 0 {
        return;
    }
    if let Some(station) = STATIONS.get_ptr_mut(key) {
        // SAFETY: as in `hear_port`.
        let station = unsafe { &mut *station };
        let age_ns = now_ns.wrapping_sub(station.seen_ns);
        if station.port == OUTSIDE {
            if age_ns > REFRESH_NS {
                station.seen_ns = now_ns;
            }
            return;
        }
        if age_ns < HOLD_DOWN_NS || !may_leave(key, is_announcement) {
            return;
        }
        station.port = OUTSIDE;
        station.seen_ns = now_ns;
    } else if may_leave(key, is_announcement) {
        STATIONS.insert(*key, Station { port: OUTSIDE, reserved: 0, seen_ns: now_ns }, 0).unwrap_or_default();
    }
}

#[inline(always)]
fn may_leave(key: &FdbKey, is_announcement: impl Fn() -> bool) -> bool {
    fdb::owner_of(key).is_none() || is_announcement()
}

/// Whether one more station may be learnt behind a port; counts it if so.
#[inline(always)]
fn has_room(port: u32) -> bool {
    let Some(count) = STATION_COUNTS.get_ptr_mut(port) else { return false };
    // SAFETY: the only word of a map value, touched through this type only.
    let count = unsafe { Word::new(count) };
    if count.load() >= MAX_STATIONS_PER_PORT {
        return false;
    }
    count.add(1);
    true
}
