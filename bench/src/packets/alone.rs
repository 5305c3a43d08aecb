//! A classifier that is run without a device, to time it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{HashMap, ProgramArray};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};

use super::object;

/// Bytes of a key of the forwarding database.
const KEY_BYTES: usize = 12;

/// One program of the object that measures.
pub(crate) struct Alone {
    ebpf: Ebpf,
    name: &'static str,
}

impl Alone {
    /// Loads `name` with what it needs in its maps.
    pub(crate) fn load(name: &'static str) -> Result<Self> {
        let mut ebpf = object::load()?;
        object::classifier(&mut ebpf, name)?;
        if name == "look_up" {
            let map = ebpf.map_mut("STATIONS").context("the object has no map STATIONS")?;
            HashMap::<_, [u8; KEY_BYTES], u32>::try_from(map)?.insert([0; KEY_BYTES], 1, 0)?;
        }
        if name == "call_nothing" {
            let behind = object::classifier(&mut ebpf, "nothing")?.fd()?.try_clone()?;
            let map = ebpf.map_mut("BEHIND").context("the object has no map BEHIND")?;
            ProgramArray::try_from(map)?.set(0, &behind, 0)?;
        }
        Ok(Self { ebpf, name })
    }

    /// The time of one run, the mean of `repeat` runs.
    pub(crate) fn time(&self, frame: &[u8], repeat: u32) -> Result<Duration> {
        let program = self
            .ebpf
            .program(self.name)
            .with_context(|| format!("the object has no program {}", self.name))?;
        let program: &SchedClassifier = program.try_into()?;
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
        Ok(program.test_run(options)?.duration)
    }
}
