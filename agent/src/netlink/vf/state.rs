//! The settings of a virtual function, and what leads from one state to another.

use serde::{Deserialize, Serialize};

/// Everything that a physical function lets set of a virtual one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VfState {
    /// The hardware address that the administrator gave it; zero for none.
    pub mac: [u8; 6],
    /// The VLAN that its frames are put into.
    pub vlan: VfVlan,
    /// How fast it may send.
    pub rates: VfRates,
    /// Frames with another source address are dropped.
    pub spoof_check: bool,
    /// It may change its address and be promiscuous.
    pub trust: bool,
    /// Its link.
    pub link_state: VfLinkState,
}

/// A port VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfVlan {
    /// 1 to 4094; 0 for none.
    pub id: u16,
    /// Priority, 0 to 7.
    pub qos: u8,
    /// The tag's kind.
    pub protocol: VlanProtocol,
}

/// The kind of a VLAN tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VlanProtocol {
    /// 802.1Q
    #[default]
    #[serde(rename = "802.1q")]
    Dot1q,
    /// 802.1ad
    #[serde(rename = "802.1ad")]
    Dot1ad,
}

/// Limits on sending, in megabits per second; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VfRates {
    /// Guaranteed.
    pub min_mbps: u32,
    /// At most.
    pub max_mbps: u32,
}

/// What a virtual function sees as its link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VfLinkState {
    /// As the physical one's.
    #[default]
    Auto,
    /// Always up.
    Enable,
    /// Always down.
    Disable,
}

/// One request to the physical function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VfChange {
    /// Hardware address.
    Mac([u8; 6]),
    /// VLAN.
    Vlan(VfVlan),
    /// Rates.
    Rates(VfRates),
    /// Spoof check.
    SpoofCheck(bool),
    /// Trust.
    Trust(bool),
    /// Link state.
    LinkState(VfLinkState),
}

impl VfState {
    /// The requests that make `self` from `current`, in the order in which drivers take them: an untrusted function
    /// cannot have its address changed by itself, so trust is given first and taken last.
    pub fn changes_from(&self, current: &Self) -> Vec<VfChange> {
        let mut changes = Vec::new();
        let mut add = |differs: bool, change| changes.extend(differs.then_some(change));
        add(self.trust && !current.trust, VfChange::Trust(true));
        add(self.vlan != current.vlan, VfChange::Vlan(self.vlan));
        add(self.mac != current.mac, VfChange::Mac(self.mac));
        add(self.rates != current.rates, VfChange::Rates(self.rates));
        add(self.spoof_check != current.spoof_check, VfChange::SpoofCheck(self.spoof_check));
        add(!self.trust && current.trust, VfChange::Trust(false));
        add(self.link_state != current.link_state, VfChange::LinkState(self.link_state));
        changes
    }

    /// The state after a request.
    #[must_use]
    pub fn after(mut self, change: VfChange) -> Self {
        match change {
            VfChange::Mac(mac) => self.mac = mac,
            VfChange::Vlan(vlan) => self.vlan = vlan,
            VfChange::Rates(rates) => self.rates = rates,
            VfChange::SpoofCheck(is_on) => self.spoof_check = is_on,
            VfChange::Trust(is_on) => self.trust = is_on,
            VfChange::LinkState(state) => self.link_state = state,
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_state() -> impl Strategy<Value = VfState> {
        let vlan = (0_u16..4095, 0_u8..8, any::<bool>()).prop_map(|(id, qos, is_ad)| VfVlan {
            id,
            qos,
            protocol: if is_ad { VlanProtocol::Dot1ad } else { VlanProtocol::Dot1q },
        });
        let rates = (0_u32..4, 0_u32..4).prop_map(|(min_mbps, max_mbps)| VfRates { min_mbps, max_mbps });
        let link_state =
            prop_oneof![Just(VfLinkState::Auto), Just(VfLinkState::Enable), Just(VfLinkState::Disable)];
        let mac = prop_oneof![Just([0; 6]), Just([2, 0, 0, 0, 0, 1])];
        (mac, vlan, rates, any::<bool>(), any::<bool>(), link_state).prop_map(
            |(mac, vlan, rates, spoof_check, trust, link_state)| VfState {
                mac,
                vlan,
                rates,
                spoof_check,
                trust,
                link_state,
            },
        )
    }

    proptest! {
        #[test]
        fn the_changes_lead_there_and_back(before in any_state(), wanted in any_state()) {
            let there = wanted.changes_from(&before).into_iter().fold(before, VfState::after);
            prop_assert_eq!(there, wanted);
            let back = before.changes_from(&there).into_iter().fold(there, VfState::after);
            prop_assert_eq!(back, before);
        }

        /// plexusd may have died, or the driver refused, after any of them.
        #[test]
        fn any_part_of_the_changes_is_undone(before in any_state(), wanted in any_state(), done in 0_usize..7) {
            let half = wanted.changes_from(&before).into_iter().take(done).fold(before, VfState::after);
            let back = before.changes_from(&half).into_iter().fold(half, VfState::after);
            prop_assert_eq!(back, before);
        }

        #[test]
        fn what_is_as_wanted_is_not_touched(state in any_state()) {
            prop_assert_eq!(state.changes_from(&state), []);
        }
    }
}
