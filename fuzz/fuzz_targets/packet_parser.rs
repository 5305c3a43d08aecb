//! What a pod sends: the parser and the anti-spoofing guard of the data plane, as they run in the kernel.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexus_abi::{Address, PORT_GUARD_IP, PORT_GUARD_MAC, PORT_PRESENT, PortConfig};
use plexus_ebpf::pure::ethernet::{ETHERTYPE_IPV4, Ethernet};
use plexus_ebpf::pure::{guard, ip, wire};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const IP: [u8; 4] = [10, 0, 0, 2];

fuzz_target!(|frame: &[u8]| {
    let mut port =
        PortConfig { flags: PORT_PRESENT | PORT_GUARD_MAC | PORT_GUARD_IP, mac: MAC, ..PortConfig::ZERO };
    port.addresses[0] = Address::v4(IP);
    port.address_count = 1;

    if let Some(ethernet) = Ethernet::parse(frame) {
        let _ = wire::header_bytes(frame, &ethernet);
    }
    if let Ok(ethernet) = guard::accept(frame, &port) {
        assert_eq!(ethernet.source, port.mac_word());
        assert!(!ethernet.is_tagged());
        if ethernet.ethertype == ETHERTYPE_IPV4 {
            let header = ip::V4::parse(frame, ethernet.payload).expect("the guard has read the header");
            assert!(header.source == Address::v4(IP) || header.is_dhcp_request(frame));
        }
    }
});
