//! Netfilter rules of attachments: masquerading, and the check of source hardware addresses on a bridge.
//!
//! Rules live in tables of our own. Each attachment has one chain, named after container and interface, and elements
//! of verdict maps that lead to it: adding and removing are single transactions that need no listing first, and the
//! lookup of a packet does not grow with the number of pods. Behind its last word each chain jumps to the empty chain
//! `in-use`, which no packet reaches: the kernel refuses to delete that one, and the table in the same transaction, as
//! long as any attachment is there.
//!
//! ```text
//! table inet plexus           postrouting ── ip saddr vmap @masquerade4 ──▶ masq-CONTAINER-IFNAME
//! table bridge plexus         prerouting ─── iifname vmap @checked ───────▶ spoof-CONTAINER-IFNAME
//! table inet plexus-hostport  prerouting ─── protocol . port vmap @any4 ──▶ port-CONTAINER-IFNAME
//! table inet plexus-firewall  forward ────── ip saddr vmap @pods4 ────────▶ pass-CONTAINER-IFNAME
//! ```

mod claim;
mod command;
mod firewall;
mod host_ports;
mod listing;
mod masquerade;
mod name;
mod script;
mod spoof_check;
mod table;

use std::time::Duration;

use plexus_cni::{CniError, Code};

pub use firewall::{Firewall, IngressPolicy, is_firewalld_there};
pub use host_ports::{HostPort, HostPorts, Protocol, Translation};
pub use masquerade::Masquerade;
pub use spoof_check::SpoofCheck;

/// How long one run of `nft` may take; it waits for other users of the ruleset.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why a ruleset could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program is not there, or cannot be started.
    #[error("nft cannot be started: {0}; install package nftables on the node")]
    Start(#[source] std::io::Error),
    /// It did not end in time.
    #[error("nft did not end within {} ms; see which process holds the ruleset", .0.as_millis())]
    Deadline(Duration),
    /// It refused the script; nothing was changed.
    #[error("nft refused the rules: {0}")]
    Refused(String),
    /// What an attachment asks for belongs to another one.
    #[error("{what} is held by {owner}")]
    Taken {
        /// The map's key.
        what: String,
        /// Who has it.
        owner: String,
    },
}

impl From<NftError> for CniError {
    fn from(error: NftError) -> Self {
        let code = match error {
            NftError::Deadline(_) => Code::TryAgain,
            NftError::Start(_) | NftError::Refused(_) => Code::Kernel,
            NftError::Taken { .. } => Code::AddressUnavailable,
        };
        CniError::new(code, "cannot change the firewall rules").because(error.to_string())
    }
}

/// Removes the table of this family unless an attachment is left in it.
fn remove_unused_table(family: &str) -> Result<(), NftError> {
    let script = format!("delete chain {family} plexus in-use\ndelete table {family} plexus\n");
    ignore_refusal(command::run(&script, DEADLINE))
}

fn ignore_refusal(outcome: Result<String, NftError>) -> Result<(), NftError> {
    match outcome {
        Ok(_) | Err(NftError::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
