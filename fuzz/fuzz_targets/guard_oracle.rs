//! What a pod sends, judged twice: by the data plane's guard, and by the same rules on etherparse. They must agree.
//!
//! The first byte of an input chooses the guard, the rest is the frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexus_abi::{Address, PORT_GUARD_IP, PORT_GUARD_MAC, PORT_PRESENT, PortConfig};
use plexus_ebpf::pure::guard;

#[path = "../../ebpf/src/pure/oracle.rs"]
mod oracle;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const IP: [u8; 4] = [10, 0, 0, 2];
const IP6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

fuzz_target!(|input: &[u8]| {
    let Some((guards, frame)) = input.split_first() else { return };
    let guards = u32::from(*guards) & (PORT_GUARD_MAC | PORT_GUARD_IP);
    let mut port = PortConfig { flags: PORT_PRESENT | guards, mac: MAC, ..PortConfig::ZERO };
    (port.addresses[0], port.addresses[1]) = (Address::v4(IP), Address::v6(IP6));
    port.address_count = 2;
    assert_eq!(guard::accept(frame, &port).map(drop), oracle::verdict(frame, &port));
});
