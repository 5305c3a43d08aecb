//! Loading the object, once per start of the agent.

use std::os::fd::AsFd as _;

use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, ProgramArray},
    programs::{Program, ProgramError, ProgramFd, ProgramInfo, SchedClassifier, Xdp},
};

use super::{
    error::{DatapathError, Result, map_error},
    hook::Hook,
    maps::{self, MAPS, Maps, PROGRAMS},
    pins::Pins,
    route::Routes,
    sys,
};

/// The eBPF object that this build carries; empty if it was built without one.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/plexus-datapath.o"));

/// The loaded programs.
pub(super) struct Programs {
    ebpf: Ebpf,
    /// What the gates lead to.
    doors: ProgramArray<MapData>,
    /// The same map once more: aya's ProgramArray cannot be read.
    door_fd: MapData,
}

impl Programs {
    /// Loads the object on the pinned maps of this generation, and makes those that are missing.
    pub(super) fn load(pins: &Pins, max_ports: u32) -> Result<(Self, Maps, Routes)> {
        if OBJECT.is_empty() {
            return Err(DatapathError::NoObject);
        }
        let mut loader = EbpfLoader::new();
        // The loader has parsed the kernel's types, 13 MB, for relocations that the object does not have.
        loader.btf(None);
        sys::return_freed_memory();
        for (name, per_port) in MAPS {
            loader.map_pin_path(name, pins.map(name));
            if per_port > 0 {
                loader.map_max_entries(name, max_ports * per_port);
            }
        }
        loader.map_pin_path(PROGRAMS, pins.programs());
        let mut ebpf = loader.load(OBJECT)?;
        let maps = Maps::take(&mut ebpf, pins)?;
        let routes = Routes::take(&mut ebpf, pins)?;
        let doors = maps::take(&mut ebpf, PROGRAMS)?;
        let door_fd = MapData::from_pin(pins.programs()).map_err(map_error(PROGRAMS, "open"))?;
        let mut programs = Self { ebpf, doors, door_fd };
        for hook in Hook::GATES {
            programs.load_classifier(hook.program())?;
            if let Some(gate) = hook.gate() {
                programs.load_classifier(gate.program)?;
            }
        }
        let program = Hook::UplinkXdp.program();
        let result = programs.xdp(Hook::UplinkXdp)?.load();
        result.map_err(|source| DatapathError::Program { program, source: source.into() })?;
        Ok((programs, maps, routes))
    }

    fn load_classifier(&mut self, program: &'static str) -> Result<()> {
        let result = self.program::<SchedClassifier>(program)?.load();
        result.map_err(|source| DatapathError::Program { program, source: source.into() })
    }

    /// Makes every gate on this node lead to the programs of this load, one after the other, each atomically.
    pub(super) fn publish(&mut self) -> Result<()> {
        for hook in Hook::GATES {
            let Some(gate) = hook.gate() else { continue };
            let fd = self.fd(hook.program())?.try_clone().map_err(map_error(PROGRAMS, "change"))?;
            self.doors.set(gate.slot, &fd, 0).map_err(map_error(PROGRAMS, "change"))?;
        }
        Ok(())
    }

    /// Whether the gates of a hook lead to the program of this load.
    pub(super) fn is_published(&self, hook: Hook) -> Result<bool> {
        let Some(gate) = hook.gate() else { return Ok(false) };
        let id = sys::map_word(self.door_fd.fd().as_fd(), gate.slot).map_err(map_error(PROGRAMS, "read"))?;
        Ok(id == Some(self.info(hook.program())?.id()))
    }

    pub(super) fn classifier(&mut self, hook: Hook) -> Result<&mut SchedClassifier> {
        self.program(hook.program())
    }

    pub(super) fn xdp(&mut self, hook: Hook) -> Result<&mut Xdp> {
        self.program(hook.program())
    }

    /// The descriptor of a loaded program.
    pub(super) fn fd(&self, name: &'static str) -> Result<&ProgramFd> {
        let program = self.ebpf.program(name).ok_or_else(|| unusable(name, "it is missing"))?;
        program.fd().map_err(|error| unusable(name, error))
    }

    /// What the kernel says about a loaded program.
    pub(super) fn info(&self, name: &'static str) -> Result<ProgramInfo> {
        let program = self.ebpf.program(name).ok_or_else(|| unusable(name, "it is missing"))?;
        program.info().map_err(|error| unusable(name, error))
    }

    fn program<'a, P>(&'a mut self, name: &'static str) -> Result<&'a mut P>
    where
        &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        let program = self.ebpf.program_mut(name).ok_or_else(|| unusable(name, "it is missing"))?;
        program.try_into().map_err(|error: ProgramError| unusable(name, error))
    }
}

fn unusable(name: &'static str, reason: impl std::fmt::Display) -> DatapathError {
    DatapathError::Object { what: "program", name, reason: reason.to_string() }
}
