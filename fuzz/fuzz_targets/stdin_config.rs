//! What a container runtime, or whoever poses as one, writes to the shim's stdin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexus_cni::config::NetworkConfigList;
use plexus_cni::env::Command;
use plexus_cni::meta::MetaConfig;
use plexus_cni::stdin::{StdinConfig, version_answer};

fuzz_target!(|bytes: &[u8]| {
    assert!(version_answer(bytes).contains("supportedVersions"));
    if let Ok(config) = StdinConfig::parse(bytes, Command::Add) {
        // The agent gets what the runtime wrote, and reads it in its turn.
        assert_eq!(config.text.as_bytes(), bytes);
        let _ = MetaConfig::parse(&config.text, &plexus_cni::json::Object::new());
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(network) = NetworkConfigList::parse(text, None, None) {
        // What was accepted is printed as it was read, and is accepted again.
        let printed = serde_json::to_string(&network.document).expect("a parsed document can be printed");
        let again =
            NetworkConfigList::parse(&printed, None, None).expect("an accepted document is accepted again");
        assert_eq!(network, again);
    }
});
