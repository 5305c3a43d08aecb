//! What can go wrong in the data plane.

use std::{io, path::PathBuf};

use super::hook::Hook;

/// Why the data plane could not do something: what failed, on which port or network, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The binary was built before the eBPF object existed.
    #[error("this build carries no eBPF object; run `cargo xtask build` and build the agent again")]
    NoObject,
    /// The options make no sense.
    #[error("max_ports {max_ports} is not between 1 and {limit}; correct it in the agent's configuration")]
    MaxPorts {
        /// What was asked for.
        max_ports: u32,
        /// The most there may be.
        limit: u32,
    },
    /// The directory for pins is no BPF file system.
    #[error("{path} is not on a BPF file system; mount one: mount -t bpf bpf /sys/fs/bpf")]
    NoBpffs {
        /// The directory.
        path: PathBuf,
    },
    /// A pin or its directory could not be read, made or removed.
    #[error("cannot {action} {path}: {source}")]
    Pin {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The object could not be loaded.
    #[error(
        "cannot load the eBPF object: {0}; plexusd needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, Linux 6.6"
    )]
    Load(#[from] aya::EbpfError),
    /// The object lacks something that this build needs.
    #[error(
        "the eBPF object has no usable {what} `{name}`: {reason}; build object and agent from one source tree"
    )]
    Object {
        /// `program` or `map`.
        what: &'static str,
        /// Its name.
        name: &'static str,
        /// Why it is not usable.
        reason: String,
    },
    /// The kernel refused a program.
    #[error("the kernel refused program {program}: {source}")]
    Program {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        source: Box<aya::programs::ProgramError>,
    },
    /// The kernel refused to read or change a map.
    #[error("cannot {action} map {map}: {reason}")]
    Map {
        /// The map.
        map: &'static str,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// A program could not be attached to a device.
    #[error("cannot attach {} to ifindex {ifindex}: {reason}", hook.program())]
    Attach {
        /// The program.
        hook: Hook,
        /// The device.
        ifindex: u32,
        /// Why it failed.
        reason: String,
    },
    /// A specification of a port contradicts itself or the limits.
    #[error("port {port}: {reason}")]
    Port {
        /// The port's id.
        port: u32,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A specification of a network contradicts itself or what exists.
    #[error("network {network}: {reason}")]
    Network {
        /// The network's id.
        network: u32,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A table of routes cannot be as it was asked for.
    #[error("routes of table {table}: {reason}")]
    Routes {
        /// The table's number.
        table: u32,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A device could not be asked or set.
    #[error("cannot {action} of ifindex {ifindex}: {source}")]
    Device {
        /// What was tried.
        action: &'static str,
        /// The device.
        ifindex: u32,
        /// Why it failed.
        source: io::Error,
    },
    /// A netlink socket could not be opened.
    #[error("cannot open a netlink socket: {source}; plexusd needs CAP_NET_ADMIN and free file descriptors")]
    Socket {
        /// Why it failed.
        source: io::Error,
    },
    /// Adding failed, and so did taking back what had been done.
    #[error("{error}; taking it back failed too: {undo}")]
    Undo {
        /// Why adding failed.
        error: Box<DatapathError>,
        /// Why taking back failed.
        undo: Box<DatapathError>,
    },
}

impl From<DatapathError> for plexus_cni::CniError {
    fn from(error: DatapathError) -> Self {
        Self::new(plexus_cni::Code::Datapath, "the data plane refused").because(error.to_string())
    }
}

/// Shorthand of this module.
pub type Result<T> = std::result::Result<T, DatapathError>;

/// For `map_err` on map operations.
pub(super) fn map_error<E: std::fmt::Display>(
    map: &'static str,
    action: &'static str,
) -> impl Fn(E) -> DatapathError {
    move |error| DatapathError::Map { map, action, reason: error.to_string() }
}
