//! Captures of ports: which ports the programs show, and how much.

use aya::{
    maps::{MapError, PerCpuValues},
    util::nr_cpus,
};
use plexus_abi::{
    CAPTURE_BYTES_MAX, CAPTURES_MAX, Capture, FDB_CAPTURED, FdbEntry, FdbKey, PORT_CAPTURED, PORT_PRESENT,
    PortConfig,
};

use super::{
    Inner,
    error::{DatapathError, Result, map_error},
    spec::PortKind,
};

const MAP: &str = "CAPTURES";

/// What a capture did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureTotals {
    /// Frames written to the ring.
    pub frames: u64,
    /// Frames that were not: above the limits, or the ring was full.
    pub lost: u64,
}

/// The forwarding entry of a port.
pub(super) const fn fdb_entry(port: u32, config: &PortConfig) -> FdbEntry {
    FdbEntry { port, flags: if config.has(PORT_CAPTURED) { FDB_CAPTURED } else { 0 } }
}

impl Inner {
    pub(super) fn begin_capture(&mut self, id: u32, bytes_wanted: u32) -> Result<()> {
        let mut config = self.present(id)?;
        let refuse = |reason: String| Err(DatapathError::Port { port: id, reason });
        if self.capture_totals(id)?.is_some() {
            return refuse("it is being captured already; wait until that capture ends".into());
        }
        let running = self.maps.captures.keys().filter_map(std::result::Result::ok).count();
        if running >= CAPTURES_MAX as usize {
            return refuse(format!("{CAPTURES_MAX} ports of this node are being captured; end one of them"));
        }
        let failed = map_error(MAP, "change");
        let cpus = nr_cpus().map_err(|(_, error)| failed(MapError::from(error)))?;
        let capture = Capture { bytes_wanted: bytes_wanted.min(CAPTURE_BYTES_MAX), ..Capture::ZERO };
        let values = PerCpuValues::try_from(vec![capture; cpus]);
        let values = values.map_err(|error| failed(MapError::from(error)))?;
        self.maps.captures.insert(id, values, 0).map_err(failed)?;
        config.flags |= PORT_CAPTURED;
        self.show(id, &config)
    }

    pub(super) fn end_capture(&mut self, id: u32) -> Result<()> {
        if id < self.max_ports {
            let mut config = self.maps.ports.get(id)?;
            if config.has(PORT_PRESENT) && config.has(PORT_CAPTURED) {
                config.flags &= !PORT_CAPTURED;
                self.show(id, &config)?;
            }
        }
        self.forget_capture(id)
    }

    /// Ends what an earlier agent began.
    pub(super) fn end_captures(&mut self) -> Result<()> {
        let ports: Vec<u32> = self.maps.captures.keys().filter_map(std::result::Result::ok).collect();
        ports.into_iter().try_for_each(|id| self.end_capture(id))
    }

    /// Removes a capture whose port is gone; a missing one is fine.
    pub(super) fn forget_capture(&mut self, id: u32) -> Result<()> {
        match self.maps.captures.remove(&id) {
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(())
            }
            Err(MapError::KeyNotFound) | Ok(()) => Ok(()),
            Err(error) => Err(map_error(MAP, "change")(error)),
        }
    }

    pub(super) fn capture_totals(&self, id: u32) -> Result<Option<CaptureTotals>> {
        let of_cpus = match self.maps.captures.get(&id, 0) {
            Ok(of_cpus) => of_cpus,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(map_error(MAP, "read")(error)),
        };
        let mut totals = CaptureTotals::default();
        for capture in of_cpus.iter() {
            totals.frames += capture.frames;
            totals.lost += capture.lost;
        }
        Ok(Some(totals))
    }

    /// Writes a port's entry, and the mark of its capture where the port is found by its MAC.
    fn show(&mut self, id: u32, config: &PortConfig) -> Result<()> {
        self.maps.ports.set(id, *config)?;
        let Some(PortKind::Fastpath { network, vlan }) = PortKind::of(config) else { return Ok(()) };
        let key = FdbKey { network, vlan, mac: config.mac };
        match self.maps.fdb.get(&key)? {
            Some(entry) if entry.port == id => self.maps.fdb.set(&key, &fdb_entry(id, config)),
            _ => Ok(()),
        }
    }
}
