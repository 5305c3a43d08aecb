//! `plexus-bench pair`: sender and receiver are processes of their own, in two pods or on two machines.
//!
//! ```text
//!   sender ── control: TCP, one JSON document a line ──▶ receiver      over any network
//!          ── measured frames, and datagrams that come back ──▶        over --interface of both
//! ```

mod control;
mod receiver;
mod sender;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use super::topology;
use crate::args::{PairOptions, Role};
use crate::packets::end::End;
use crate::screen::Screen;

/// Where the receiver sends datagrams back.
const ECHO_PORT: u16 = 20_001;
/// Stands for an interface without an address.
const NONE: [u8; 4] = [0; 4];

/// Serves, or measures and reports.
pub(crate) fn verb(options: &PairOptions, screen: &mut Screen) -> Result<ExitCode> {
    match options.role {
        Role::Receiver => receiver::serve(options, screen),
        Role::Sender => sender::measure(options, screen),
    }
}

/// The interface that is measured.
fn interface(name: &str) -> Result<End> {
    let end = topology::device(name, NONE).with_context(|| format!("--interface {name}"))?;
    ensure!(!end.ip.is_unspecified(), "--interface {name}: it has no IPv4 address");
    Ok(end)
}
