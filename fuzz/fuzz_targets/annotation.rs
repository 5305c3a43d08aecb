//! What the owner of a pod writes into its network annotation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexus_cni::limits::NETWORKS_MAX;
use plexus_cni::selection::parse_selection;

fuzz_target!(|text: &str| {
    let Ok(elements) = parse_selection("networks", text, "default") else { return };
    assert!(elements.len() <= NETWORKS_MAX);
    // The short form and the long form of a selection mean the same.
    let printed = serde_json::Value::from_iter(elements.iter().map(|element| element.to_value())).to_string();
    assert_eq!(parse_selection("networks", &printed, "default").expect("our own text is read"), elements);
});
