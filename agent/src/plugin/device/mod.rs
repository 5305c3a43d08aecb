//! A device of the host that a pod borrows: reserved, taken into the pod, given back as it was.
//!
//! What it was is written down as a [`Loan`] before it is touched. Giving back starts from the loan alone and from
//! wherever the device is by now: in the pod, back in the host because the kernel ended the pod's namespace, bound to
//! its driver anew, or never taken.

mod announce;
mod finish;
mod free;
mod holder;
mod loan;
mod locate;
mod result;
mod return_link;
mod take;

pub(super) use holder::{Borrowed, in_use};
pub(super) use loan::{LinkBefore, Loan, MacBefore, VfBefore};
pub(super) use result::pci_id;
