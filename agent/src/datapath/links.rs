//! Attaching to uplinks and taking their links over. A link lives by its pin alone, so it outlives the agent.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
    links::{FdLink, LinkError, PinnedLink},
    tc::{SchedClassifierLink, TcAttachOptions},
    xdp::XdpLink,
};

use super::{
    device,
    error::{DatapathError, Result},
    hook::{Hook, LinkName},
    load::Programs,
    pins::Pins,
    sys,
};
use crate::fault;

/// Whose program runs on a device now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what an older generation runs must be taken over later"]
pub(super) enum Running {
    /// This load's.
    Ours,
    /// An older generation's, until [`take_over`] replaces it.
    Old,
}

/// Makes sure that a program runs on the uplink, in the thread's network namespace.
///
/// A link of this generation gets the program of this load, and a missing one is made. A living link of an older
/// generation is left alone: its program works on the old maps, which are complete, while ours fill up.
pub(super) fn ensure(programs: &mut Programs, pins: &Pins, name: LinkName, ifindex: u32) -> Result<Running> {
    if adopt(programs, pins, name)? {
        return Ok(Running::Ours);
    }
    for old in pins.old_links(name) {
        if sys::pinned_link_info(&old).is_ok_and(|info| info.ifindex == ifindex) {
            return Ok(Running::Old);
        }
        remove(old)?;
    }
    let link = attach(programs, name.hook, ifindex)?;
    pin(link, pins, name)?;
    Ok(Running::Ours)
}

/// Replaces the program of an older generation's link and moves its pin to this generation. Nothing happens if the
/// link is gone.
pub(super) fn take_over(programs: &mut Programs, pins: &Pins, name: LinkName) -> Result<()> {
    for old in pins.old_links(name) {
        let replaced = replace(programs, name.hook, &old).map_err(|error| DatapathError::Object {
            what: "program",
            name: name.hook.program(),
            reason: error.to_string(),
        })?;
        if let Some(link) = replaced {
            pin(link, pins, name)?;
        }
        remove(old)?;
    }
    Ok(())
}

fn pin(link: FdLink, pins: &Pins, name: LinkName) -> Result<()> {
    let path = pins.link(name);
    let failed = |error: aya::pin::PinError| DatapathError::Pin {
        action: "create",
        path: path.clone(),
        source: io::Error::other(error),
    };
    link.pin(&path).map_err(failed)?;
    fault::point();
    Ok(())
}

fn remove(path: PathBuf) -> Result<()> {
    fs::remove_file(&path).map_err(|source| DatapathError::Pin { action: "remove", path, source })
}

/// Puts this load's program behind a link of this generation; whether there was a living one.
pub(super) fn adopt(programs: &mut Programs, pins: &Pins, name: LinkName) -> Result<bool> {
    let path = pins.link(name);
    if !path.exists() {
        return Ok(false);
    }
    match replace(programs, name.hook, &path) {
        Ok(Some(_)) => Ok(true),
        Ok(None) => {
            // The device is gone, and the pin holds nothing any more.
            remove(path)?;
            Ok(false)
        }
        Err(error) => Err(DatapathError::Object {
            what: "program",
            name: name.hook.program(),
            reason: error.to_string(),
        }),
    }
}

/// Replaces the program of a pinned link; nothing if the link's device is gone.
fn replace(
    programs: &mut Programs,
    hook: Hook,
    path: &Path,
) -> std::result::Result<Option<FdLink>, ReplaceError> {
    let link = FdLink::from(PinnedLink::from_pin(path)?);
    let replaced = if hook == Hook::UplinkTc {
        let program = programs.classifier(hook).map_err(Box::new)?;
        program
            .attach_to_link(SchedClassifierLink::try_from(link)?)
            .and_then(|id| program.take_link(id))
            .map(FdLink::try_from)
    } else {
        let program = programs.xdp(hook).map_err(Box::new)?;
        program
            .attach_to_link(XdpLink::try_from(link)?)
            .and_then(|id| program.take_link(id))
            .map(FdLink::try_from)
    };
    match replaced {
        Ok(link) => Ok(Some(link?)),
        Err(ProgramError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOLINK) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Why a link could not be taken over.
#[derive(Debug, thiserror::Error)]
enum ReplaceError {
    #[error("the pinned link cannot be used: {0}")]
    Link(#[from] LinkError),
    #[error("its program cannot be replaced: {0}")]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Object(#[from] Box<DatapathError>),
}

fn attach(programs: &mut Programs, hook: Hook, ifindex: u32) -> Result<FdLink> {
    let failed =
        |error: &dyn std::error::Error| DatapathError::Attach { hook, ifindex, reason: explain(error) };
    if hook == Hook::UplinkTc {
        let name = device::name(ifindex)?;
        let program: &mut SchedClassifier = programs.classifier(hook)?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::default());
        let link = program
            .attach_with_options(&name, TcAttachType::Ingress, options)
            .and_then(|id| program.take_link(id))
            .map_err(|error| failed(&error))?;
        return FdLink::try_from(link).map_err(|error| failed(&error));
    }
    // Never generic XDP: it is slower than tcx, which does the same work.
    let program: &mut Xdp = programs.xdp(hook)?;
    let link = program
        .attach_to_if_index(ifindex, XdpMode::Driver)
        .and_then(|id| program.take_link(id))
        .map_err(|error| failed(&error))?;
    FdLink::try_from(link).map_err(|error| failed(&error))
}

/// An error with its causes, which aya keeps apart.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
