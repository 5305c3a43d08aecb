//! What becomes of a frame.

use crate::DropReason;

/// What a program decided about a frame; an entry point turns it into the return code of its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a verdict that nobody returns lets the frame pass"]
pub enum Verdict {
    /// Not ours, or only counted: the next program and the host's own stack see it.
    Pass,
    /// Every receiver got a copy: the original ends here, and this is no drop.
    Consumed,
    /// Dropped, and counted under its reason.
    Drop(DropReason),
    /// Into the pod behind this port.
    ToPort(u32),
    /// Out of the device with this ifindex.
    ToDevice(u32),
    /// The redirect has been prepared already, with its next hop.
    Redirected,
}
