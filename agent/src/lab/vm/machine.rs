//! The virtual machine's own network as a host.

use super::{PhysicalFunction, sysfs};
use crate::lab::link::{interface_names, ip};
use crate::lab::{Host, LabError};

/// The runner gives a machine so many igb cards.
const CARDS: usize = 2;

/// A host in the machine's initial network namespace, where devices come back to when a pod's namespace ends.
///
/// On drop, cards are whole and quiet again, and all links that are no devices are gone.
#[derive(Debug)]
pub struct Machine {
    // Dropped after our own drop has cleaned up with the host's sysfs.
    host: Host,
    cards: Vec<PhysicalFunction>,
}

impl Machine {
    /// Moves the calling thread into a private mount namespace. Call it only where
    /// [`super::require_machine_or_skip`] was true.
    pub fn enter() -> Result<Self, LabError> {
        if super::series().is_none() {
            return Err(LabError::Unexpected {
                what: "the lab's machine".into(),
                expected: "a virtual machine of `cargo xtask test vm`".into(),
                seen: "a real one, whose network is not ours".into(),
            });
        }
        let host = Host::enter_in_place()?;
        let cards = PhysicalFunction::all(CARDS)?;
        for card in &cards {
            card.remove_vfs()?;
            ip(&["link", "set", &card.ifname, "up"])?;
        }
        Ok(Self { host, cards })
    }

    /// The host: its network namespace is the machine's.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The two igb cards, up and joined by a cable.
    pub fn cards(&self) -> &[PhysicalFunction] {
        &self.cards
    }

    fn clean_up(&self) -> Result<(), LabError> {
        for card in &self.cards {
            card.remove_vfs()?;
        }
        let physical = sysfs::physical_interfaces()?;
        for name in interface_names()? {
            if physical.contains(&name) {
                ip(&["link", "set", &name, "down"])?;
                ip(&["addr", "flush", "dev", &name])?;
            } else if name != "lo" && ip(&["link", "del", &name]).is_err() {
                // The other end of one that went already, or a tunnel's end that the kernel keeps.
                eprintln!("lab: {name} stays in this machine");
            }
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = self.clean_up() {
            eprintln!("lab: this machine is not as it was: {error}");
        }
    }
}
