//! Loading the object, once per start of the agent.

use aya::{
    Ebpf, EbpfLoader,
    programs::{SchedClassifier, Xdp},
};

use super::{
    error::{DatapathError, Result},
    hook::Hook,
    maps::{MAPS, Maps},
    pins::Pins,
};

/// The eBPF object that this build carries; empty if it was built without one.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/plexus-datapath.o"));

/// The loaded programs.
pub(super) struct Programs {
    ebpf: Ebpf,
}

impl Programs {
    /// Loads the object on the pinned maps of this generation, and makes those that are missing.
    pub(super) fn load(pins: &Pins, max_ports: u32) -> Result<(Self, Maps)> {
        if OBJECT.is_empty() {
            return Err(DatapathError::NoObject);
        }
        let mut loader = EbpfLoader::new();
        for (name, per_port) in MAPS {
            loader.map_pin_path(name, pins.map(name));
            if per_port > 0 {
                loader.map_max_entries(name, max_ports * per_port);
            }
        }
        let mut ebpf = loader.load(OBJECT)?;
        let maps = Maps::take(&mut ebpf, pins)?;
        let mut programs = Self { ebpf };
        for hook in [Hook::Port, Hook::PodTapTx, Hook::PodTapRx, Hook::UplinkTc] {
            let program = programs.classifier(hook)?;
            program.load().map_err(|source| DatapathError::Program { hook, source: source.into() })?;
        }
        let hook = Hook::UplinkXdp;
        let program = programs.xdp(hook)?;
        program.load().map_err(|source| DatapathError::Program { hook, source: source.into() })?;
        Ok((programs, maps))
    }

    pub(super) fn classifier(&mut self, hook: Hook) -> Result<&mut SchedClassifier> {
        self.program(hook)
    }

    pub(super) fn xdp(&mut self, hook: Hook) -> Result<&mut Xdp> {
        self.program(hook)
    }

    /// The kernel's id of a hook's program.
    pub(super) fn id(&self, hook: Hook) -> Result<u32> {
        let name = hook.program();
        let unusable = |reason: String| DatapathError::Object { what: "program", name, reason };
        let program = self.ebpf.program(name).ok_or_else(|| unusable("it is missing".into()))?;
        program.info().map(|info| info.id()).map_err(|error| unusable(error.to_string()))
    }

    fn program<'a, P>(&'a mut self, hook: Hook) -> Result<&'a mut P>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
    {
        let name = hook.program();
        let unusable = |reason: String| DatapathError::Object { what: "program", name, reason };
        let program = self.ebpf.program_mut(name).ok_or_else(|| unusable("it is missing".into()))?;
        program.try_into().map_err(|error: aya::programs::ProgramError| unusable(error.to_string()))
    }
}
