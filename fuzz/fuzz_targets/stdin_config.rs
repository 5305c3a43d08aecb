//! What a container runtime, or whoever poses as one, writes to the shim's stdin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexus_cni::config::NetworkConfigList;

fuzz_target!(|text: &str| {
    if let Ok(network) = NetworkConfigList::parse(text, None, None) {
        // What was accepted is printed as it was read, and is accepted again.
        let printed = serde_json::to_string(&network.document).expect("a parsed document can be printed");
        let again =
            NetworkConfigList::parse(&printed, None, None).expect("an accepted document is accepted again");
        assert_eq!(network, again);
    }
});
