//! Attaching, taking over and detaching programs. A link lives by its pin alone, so it outlives the agent.

use std::{fs, path::Path};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, Xdp, XdpMode,
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
};

/// Makes sure that the hook's program of this load runs on the device, in the thread's network namespace.
///
/// A link of this or an older generation is taken over by replacing its program, which loses no packet; only where
/// there is none, or its device is gone, a new one is made. Returns whether an older generation's link was taken over.
pub(super) fn ensure(programs: &mut Programs, pins: &Pins, name: LinkName, ifindex: u32) -> Result<bool> {
    if adopt(programs, pins, name)? {
        return Ok(false);
    }
    let failed = |reason: String| DatapathError::Attach { hook: name.hook(), ifindex, reason };
    let path = pins.link(name);
    for old in pins.old_links(name) {
        if let Some(link) = replace(programs, name.hook(), &old).map_err(|error| failed(error.to_string()))? {
            link.pin(&path).map_err(|error| failed(error.to_string()))?;
            fs::remove_file(&old).map_err(|source| DatapathError::Pin {
                action: "remove",
                path: old,
                source,
            })?;
            return Ok(true);
        }
    }
    let link = attach(programs, name.hook(), ifindex)?;
    link.pin(&path).map_err(|error| failed(error.to_string()))?;
    Ok(false)
}

/// Puts this load's program behind a link of this generation; whether there was a living one.
pub(super) fn adopt(programs: &mut Programs, pins: &Pins, name: LinkName) -> Result<bool> {
    let path = pins.link(name);
    if !path.exists() {
        return Ok(false);
    }
    match replace(programs, name.hook(), &path) {
        Ok(Some(_)) => Ok(true),
        Ok(None) => {
            // The device is gone, and the pin holds nothing any more.
            fs::remove_file(&path).map_err(|source| DatapathError::Pin { action: "remove", path, source })?;
            Ok(false)
        }
        Err(error) => Err(DatapathError::Object {
            what: "program",
            name: name.hook().program(),
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
    let replaced = match hook.side() {
        Some(_) => {
            let program = programs.classifier(hook).map_err(Box::new)?;
            program
                .attach_to_link(SchedClassifierLink::try_from(link)?)
                .and_then(|id| program.take_link(id))
                .map(FdLink::try_from)
        }
        None => {
            let program = programs.xdp(hook).map_err(Box::new)?;
            program
                .attach_to_link(XdpLink::try_from(link)?)
                .and_then(|id| program.take_link(id))
                .map(FdLink::try_from)
        }
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
    match hook.side() {
        Some(side) => {
            let name = device::name(ifindex)?;
            let program: &mut SchedClassifier = programs.classifier(hook)?;
            let options = TcAttachOptions::TcxOrder(LinkOrder::default());
            let link = program
                .attach_with_options(&name, side, options)
                .and_then(|id| program.take_link(id))
                .map_err(|error| failed(&error))?;
            FdLink::try_from(link).map_err(|error| failed(&error))
        }
        None => {
            let program: &mut Xdp = programs.xdp(hook)?;
            // Never generic XDP: it is slower than tcx, which does the same work.
            let link = program
                .attach_to_if_index(ifindex, XdpMode::Driver)
                .and_then(|id| program.take_link(id))
                .map_err(|error| failed(&error))?;
            FdLink::try_from(link).map_err(|error| failed(&error))
        }
    }
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
