//! One look-up in a hash map alone, with a key as long as that of the forwarding database.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    macros::{classifier, map},
    maps::HashMap,
    programs::TcContext,
};
use plexus_abi::FdbKey;

/// As many entries as the forwarding database has room for; the key of zeros is in it.
#[map]
static STATIONS: HashMap<[u8; size_of::<FdbKey>()], u32> =
    HashMap::with_max_entries(plexus_abi::MAX_PORTS_DEFAULT, 0);

#[classifier]
fn look_up(_ctx: TcContext) -> i32 {
    // SAFETY: the entry is only compared with nothing; nobody changes it meanwhile.
    match unsafe { STATIONS.get([0; size_of::<FdbKey>()]) } {
        Some(_) => TC_ACT_SHOT,
        None => TC_ACT_UNSPEC,
    }
}
