//! How the children of one parent reach each other.

use netlink_packet_route::link::MacVlanMode;

/// How siblings of one parent reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Directly.
    #[default]
    Bridge,
    /// Not at all.
    Private,
    /// Through the switch that the parent is attached to.
    Vepa,
    /// There is one child, which takes the parent over.
    Passthru,
}

impl MacvlanMode {
    pub(super) fn from_kernel(mode: MacVlanMode) -> Option<Self> {
        match mode {
            MacVlanMode::Bridge => Some(Self::Bridge),
            MacVlanMode::Private => Some(Self::Private),
            MacVlanMode::Vepa => Some(Self::Vepa),
            MacVlanMode::Passthrough => Some(Self::Passthru),
            _ => None,
        }
    }
}

impl From<MacvlanMode> for MacVlanMode {
    fn from(mode: MacvlanMode) -> Self {
        match mode {
            MacvlanMode::Bridge => Self::Bridge,
            MacvlanMode::Private => Self::Private,
            MacvlanMode::Vepa => Self::Vepa,
            MacvlanMode::Passthru => Self::Passthrough,
        }
    }
}
