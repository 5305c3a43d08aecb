//! Names of chains: one for each container and interface, made so that nothing in them can be read as nft syntax.

/// `PREFIX-CONTAINER-IFNAME`, at most 255 bytes as the kernel allows: a container id has at most 200 bytes of letters,
/// digits, `_`, `.` and `-`, an interface name 15 of any kind.
pub(super) fn chain(prefix: &str, container_id: &str, ifname: &str) -> String {
    // The dash is escaped too, so the last one ends the container id.
    format!("{prefix}-{container_id}-{}", escaped(ifname))
}

/// An interface's name as a part of a chain's.
pub(super) fn escaped(ifname: &str) -> String {
    let escaped = ifname.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("_{byte:02x}") }
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use plexus_cni::limits::CONTAINER_ID_BYTES_MAX;

    use super::*;

    #[test]
    fn a_hostile_interface_name_stays_a_name() {
        assert_eq!(chain("masq", "abc", "net1"), "masq-abc-net1");
        assert_eq!(chain("masq", "abc", "};\"é"), "masq-abc-_7d_3b_22_c3_a9");
        assert_ne!(chain("masq", "a-b", "c"), chain("masq", "a", "b-c"));
        assert!(chain("spoof", &"a".repeat(CONTAINER_ID_BYTES_MAX), &"-".repeat(15)).len() < 256);
    }
}
