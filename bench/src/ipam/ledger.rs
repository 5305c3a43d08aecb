//! Who holds which address, kept by the benchmark itself: no word of the allocators is taken for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The numbers of a pod's further sandboxes are this much higher each.
pub(super) const SANDBOX: usize = 1_000_000;

/// A simulated container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Container {
    /// Number of its node.
    pub(super) node: usize,
    /// Its own number on that node: its pod's, and on top of it [`SANDBOX`] for each sandbox before it.
    pub(super) number: usize,
}

impl Container {
    /// Its pod's name.
    pub(super) fn pod(self) -> String {
        format!("pod-{}-{}", self.node, self.number % SANDBOX)
    }

    /// Its `CNI_CONTAINERID`.
    pub(super) fn id(self) -> String {
        format!("{:024x}{:040x}", self.node, self.number)
    }
}

/// All addresses that are held now.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<IpAddr, Container>,
    duplicates: u64,
}

impl Ledger {
    /// Notes what a container was given. An address that somebody holds already is a duplicate.
    pub(super) fn took(&self, container: Container, addresses: &[IpAddr]) {
        let mut state = self.lock();
        for address in addresses {
            if state.held.insert(*address, container).is_some_and(|other| other != container) {
                state.duplicates += 1;
            }
        }
    }

    /// Notes that a container gives its addresses back; to be called before it does.
    pub(super) fn gives_back(&self, container: Container, addresses: &[IpAddr]) {
        let mut state = self.lock();
        for address in addresses {
            if state.held.get(address) == Some(&container) {
                state.held.remove(address);
            }
        }
    }

    /// Addresses that two held at the same time, so far.
    pub(super) fn duplicates(&self) -> u64 {
        self.lock().duplicates
    }

    /// Everything that is held now.
    pub(super) fn held(&self) -> HashMap<IpAddr, Container> {
        self.lock().held.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_duplicate_only_while_another_holds_it() {
        let (ledger, address) = (Ledger::default(), "10.0.0.1".parse().unwrap());
        let [one, other] = [0, 1].map(|node| Container { node, number: 7 });
        ledger.took(one, &[address]);
        ledger.took(one, &[address]);
        assert_eq!(ledger.duplicates(), 0);
        ledger.gives_back(one, &[address]);
        ledger.took(other, &[address]);
        assert_eq!(ledger.duplicates(), 0);
        ledger.took(one, &[address]);
        assert_eq!((ledger.duplicates(), ledger.held()[&address]), (1, one));
        ledger.gives_back(other, &[address]);
        assert_eq!(ledger.held().len(), 1);
    }
}
