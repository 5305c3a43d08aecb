//! The settings of a virtual function: made, compared, put back.

use plexus_cni::{CniError, Code};

use super::function::Function;
use crate::netlink::{Netlink, VfChange, VfState};
use crate::plugin::device::{Loan, MacBefore, VfBefore};
use crate::sysfs::DeviceId;

/// Some drivers change one setting with another, so what was put back is looked at, at most so often.
const ROUNDS_MAX: usize = 3;

/// Makes `wanted` of what the function has now; what was done before a failure is undone from the loan.
pub(super) fn make(host: &Netlink, function: &Function, wanted: &VfState) -> Result<(), CniError> {
    let current = function.state(host)?.unwrap_or_default();
    for change in wanted.changes_from(&current) {
        function.change(host, change)?;
    }
    Ok(())
}

/// Compares; the first difference is told.
pub(super) fn check(host: &Netlink, function: &Function, wanted: &VfState) -> Result<(), CniError> {
    let name = format!("virtual function {} of {}", function.number, function.pf.name);
    if !function.pf.is_up {
        return Err(differs(
            format!("{} is down", function.pf.name),
            "set it up; its virtual functions have no link",
        ));
    }
    let Some(state) = function.state(host)? else {
        return Err(differs(
            format!("{name} is gone"),
            "the number of virtual functions was changed; restart the pod",
        ));
    };
    match wanted.changes_from(&state).first() {
        None => Ok(()),
        Some(change) => Err(differs(
            format!("{name} is not as the config says"),
            &format!("expected {change:?}; restart the pod"),
        )),
    }
}

/// Gives the function's address back to the function, so that its link can have its own one again. Everything else stays:
/// trust is what may let the link change its address. What is refused here is seen by [`restore`].
pub(super) fn release(host: &Netlink, loan: &Loan) {
    let Some(VfBefore { mac: MacBefore::Own | MacBefore::Assigned, .. }) = &loan.vf else { return };
    if let Ok(Some((function, _))) = function(host, loan)
        && let Err(error) = function.change(host, VfChange::Mac([0; 6]))
    {
        tracing::debug!(%error, "the address stays assigned for now");
    }
}

/// Puts back what the loan says. A function, or a physical one, that does not exist any more has nothing to put back.
pub(super) fn restore(host: &Netlink, loan: &Loan) -> Result<(), CniError> {
    let Some((function, before)) = function(host, loan)? else { return Ok(()) };
    let mut outcome = Ok(());
    if before.mac == MacBefore::Assigned && before.state.mac != [0; 6] {
        // Even where it looks as it should: that it is assigned does not show.
        outcome = function.change(host, VfChange::Mac(before.state.mac));
    }
    for _ in 0..ROUNDS_MAX {
        let Some(current) = function.state(host)? else { return Ok(()) };
        let changes = before.state.changes_from(&current);
        if changes.is_empty() {
            return Ok(());
        }
        // One that is refused keeps none of the others from being put back.
        let done = changes.into_iter().map(|change| function.change(host, change));
        outcome = done.fold(Ok(()), Result::and);
    }
    outcome
}

/// The function of a loan, if both it and its physical one are there.
fn function<'a>(host: &Netlink, loan: &'a Loan) -> Result<Option<(Function, &'a VfBefore)>, CniError> {
    let (Some(before), Some(DeviceId::Pci(address))) = (&loan.vf, &loan.device) else { return Ok(None) };
    let function = Function::of(host, *address, before.pf, before.number)?;
    if function.is_none() {
        tracing::warn!(
            device = loan.describe(),
            "its physical function has no netdev: its settings stay as they are"
        );
    }
    Ok(function.map(|function| (function, before)))
}

fn differs(what: String, why: &str) -> CniError {
    CniError::new(Code::CheckFailed, what).because(why.to_owned())
}
