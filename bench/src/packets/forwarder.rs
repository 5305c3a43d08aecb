//! The least program that forwards, on one device.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::Array;
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions, XdpMode};
use nix::net::if_::if_nametoindex;

use super::generator::set_target;
use super::object;

/// A program that sends every frame of one device to another; it stays as long as the value lives.
pub(crate) struct Forwarder {
    ebpf: Ebpf,
}

impl Forwarder {
    /// tc: what `device` receives goes to the peer of `target`. Both are of the thread's network namespace.
    pub(crate) fn redirect_peer(device: &str, target: &str) -> Result<Self> {
        let mut ebpf = object::load()?;
        let index = if_nametoindex(target).with_context(|| format!("no device {target}"))?;
        let map = ebpf.map_mut("PEER").context("the object has no map PEER")?;
        Array::<_, u32>::try_from(map)?.set(0, index, 0)?;
        object::attach_tc(&mut ebpf, "redirect_peer", device)?;
        Ok(Self { ebpf })
    }

    /// XDP: what `device` receives leaves by `target`. Both are of the thread's network namespace.
    pub(crate) fn devmap(device: &str, target: &str) -> Result<Self> {
        let mut ebpf = object::load()?;
        set_target(&mut ebpf, target)?;
        object::attach_xdp(&mut ebpf, "redirect_devmap", device, XdpMode::Driver)?;
        Ok(Self { ebpf })
    }

    /// Runs `redirect_peer` on a frame, without sending it anywhere; gives the time of one run.
    pub(crate) fn time_tc(&self, frame: &[u8], repeat: u32) -> Result<Duration> {
        let program =
            self.ebpf.program("redirect_peer").context("the object has no program redirect_peer")?;
        let program: &SchedClassifier = program.try_into()?;
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
        Ok(program.test_run(options)?.duration)
    }
}
