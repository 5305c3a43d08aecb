//! Only frames with the attachment's own source hardware address pass its bridge port (`macspoofchk`).

use super::{DEADLINE, NftError, command, name, remove_unused_table};

/// What exists once for all attachments. The check comes before everything else that looks at bridged frames.
const BASE: &str = "\
add table bridge plexus
add map bridge plexus checked { type ifname : verdict; }
add chain bridge plexus prerouting { type filter hook prerouting priority dstnat; policy accept; }
flush chain bridge plexus prerouting
add rule bridge plexus prerouting iifname vmap @checked
add chain bridge plexus in-use
";

/// What a removal needs, so that it can name things that were never there.
const BASE_TO_REMOVE: &str = "\
add table bridge plexus
add map bridge plexus checked { type ifname : verdict; }
add chain bridge plexus in-use
";

/// The check of one attachment.
#[derive(Clone, Copy, Debug)]
pub struct SpoofCheck<'a> {
    /// The container.
    pub container_id: &'a str,
    /// The interface inside it.
    pub ifname: &'a str,
    /// The bridge port: the host's end of the veth pair, whose name Plexus made of letters and digits.
    pub port: &'a str,
}

impl SpoofCheck<'_> {
    /// Puts the check in place, in one transaction; that of an earlier port of this name is replaced.
    pub fn install(&self, mac: [u8; 6]) -> Result<(), NftError> {
        let script = self.install_script(mac);
        match command::run(&script, DEADLINE) {
            Err(NftError::Refused(_)) => {
                let take = format!("delete element bridge plexus checked {{ \"{}\" }}\n", self.port);
                command::run(&format!("{take}{script}"), DEADLINE).map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    /// Takes the check away; one that is not there is fine, and that of another attachment is left alone.
    pub fn remove(&self) -> Result<(), NftError> {
        match command::run(&self.remove_script(true), DEADLINE) {
            Err(NftError::Refused(_)) => drop(command::run(&self.remove_script(false), DEADLINE)?),
            outcome => drop(outcome?),
        }
        remove_unused_table("bridge")
    }

    /// Whether the check is in place (C090).
    pub fn is_installed(&self) -> Result<bool, NftError> {
        let chain = self.chain();
        let query = format!(
            "list chain bridge plexus {chain}\nget element bridge plexus checked {{ \"{}\" }}\n",
            self.port
        );
        match command::run(&query, DEADLINE) {
            Ok(listing) => Ok(listing.contains(&format!("jump {chain} }}")) && listing.contains("drop")),
            Err(NftError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn chain(&self) -> String {
        name::chain("spoof", self.container_id, self.ifname)
    }

    fn install_script(&self, mac: [u8; 6]) -> String {
        let (chain, port) = (self.chain(), self.port);
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        format!(
            "{BASE}add chain bridge plexus {chain}\nflush chain bridge plexus {chain}\n\
             add rule bridge plexus {chain} ether saddr {mac} return\nadd rule bridge plexus {chain} drop\n\
             add rule bridge plexus {chain} jump in-use\n\
             add element bridge plexus checked {{ \"{port}\" : jump {chain} }}\n"
        )
    }

    fn remove_script(&self, with_element: bool) -> String {
        let (chain, port) = (self.chain(), self.port);
        let element = if with_element {
            format!(
                "add element bridge plexus checked {{ \"{port}\" : jump {chain} }}\n\
                 delete element bridge plexus checked {{ \"{port}\" }}\n"
            )
        } else {
            String::new()
        };
        format!(
            "{BASE_TO_REMOVE}add chain bridge plexus {chain}\n{element}flush chain bridge plexus {chain}\n\
             delete chain bridge plexus {chain}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_with_another_source_are_dropped_at_this_port_only() {
        let check = SpoofCheck { container_id: "c", ifname: "net1", port: "veth1" };
        let script = check.install_script([2, 0, 0, 0, 0, 10]);
        let own: Vec<&str> = script.strip_prefix(BASE).unwrap().lines().collect();
        assert_eq!(
            own,
            [
                "add chain bridge plexus spoof-c-net1",
                "flush chain bridge plexus spoof-c-net1",
                "add rule bridge plexus spoof-c-net1 ether saddr 02:00:00:00:00:0a return",
                "add rule bridge plexus spoof-c-net1 drop",
                "add rule bridge plexus spoof-c-net1 jump in-use",
                "add element bridge plexus checked { \"veth1\" : jump spoof-c-net1 }",
            ]
        );
        assert!(!check.remove_script(true).contains("delete table"));
    }
}
