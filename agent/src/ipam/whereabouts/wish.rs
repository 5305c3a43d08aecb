//! What somebody wants of a pool, judged against the pool as it is.

use crate::cluster::{Allocation, IpPool, PoolChange};

/// A wish for one address of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To hold this address.
    Hold {
        /// The address.
        offset: u128,
        /// Who wants it.
        holder: Allocation,
    },
    /// To give this address back, if it is still this interface's.
    Free {
        /// The address.
        offset: u128,
        /// The container that holds it.
        id: String,
        /// Its interface.
        ifname: String,
    },
}

/// What has to be done for a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The pool has to be changed so.
    Change(PoolChange),
    /// Nothing: the pool is as wished.
    Granted,
    /// The address is another's.
    Lost(Allocation),
}

impl Wish {
    /// Compares the wish with the pool.
    pub fn judge(&self, pool: &IpPool) -> Judgement {
        match self {
            Wish::Hold { offset, holder } => match pool.allocations.get(offset) {
                Some(held) if held == holder => Judgement::Granted,
                Some(held) if held.podref != holder.podref || held.ifname != holder.ifname => {
                    Judgement::Lost(held.clone())
                }
                // Free, or held by an earlier container of the same pod.
                _ => Judgement::Change(PoolChange { offset: *offset, to: Some(holder.clone()) }),
            },
            Wish::Free { offset, id, ifname } => match pool.allocations.get(offset) {
                Some(held) if is_of(held, id, ifname) => {
                    Judgement::Change(PoolChange { offset: *offset, to: None })
                }
                _ => Judgement::Granted,
            },
        }
    }
}

/// Whether this container's interface holds it; allocations of old versions name no interface.
pub fn is_of(held: &Allocation, id: &str, ifname: &str) -> bool {
    held.id == id && (held.ifname == ifname || held.ifname.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(id: &str, podref: &str, ifname: &str) -> Allocation {
        Allocation { id: id.into(), podref: podref.into(), ifname: ifname.into() }
    }

    #[test]
    fn a_wish_is_granted_lost_or_a_change() {
        let there = [(1, holder("c1", "n/p", "net1")), (2, holder("c2", "n/q", ""))];
        let pool = IpPool { allocations: there.into(), ..IpPool::default() };
        let hold = |offset, id: &str, podref: &str| {
            Wish::Hold { offset, holder: holder(id, podref, "net1") }.judge(&pool)
        };
        assert_eq!(hold(1, "c1", "n/p"), Judgement::Granted);
        assert_eq!(
            hold(1, "c9", "n/p"),
            Judgement::Change(PoolChange { offset: 1, to: Some(holder("c9", "n/p", "net1")) })
        );
        assert_eq!(hold(1, "c9", "n/other"), Judgement::Lost(holder("c1", "n/p", "net1")));
        assert!(matches!(hold(3, "c9", "n/other"), Judgement::Change(PoolChange { offset: 3, .. })));
        let free = |offset, id: &str, ifname: &str| {
            Wish::Free { offset, id: id.into(), ifname: ifname.into() }.judge(&pool)
        };
        assert_eq!(free(1, "c1", "net1"), Judgement::Change(PoolChange { offset: 1, to: None }));
        assert_eq!(free(1, "c1", "net2"), Judgement::Granted);
        assert_eq!(free(1, "c9", "net1"), Judgement::Granted);
        assert_eq!(free(2, "c2", "net1"), Judgement::Change(PoolChange { offset: 2, to: None }));
        assert_eq!(free(3, "c1", "net1"), Judgement::Granted);
    }
}
