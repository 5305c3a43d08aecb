//! Frames made by the kernel itself: BPF_PROG_TEST_RUN on live frames, redirected out of a device.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{Array, DevMap};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use nix::net::if_::if_nametoindex;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::end::End;
use super::object;

/// Frames that the kernel makes before it lets the receivers run.
const BATCH: u32 = 64;
/// Frames of one system call; the time is looked at between two. Each call makes and releases a pool of pages and waits
/// for an RCU grace period, some milliseconds that must not count.
const FRAMES_PER_CALL: u32 = 1 << 17;

/// Sends one frame over and over; only the UDP source port changes.
pub(crate) struct Generator {
    ebpf: Ebpf,
    frame: Vec<u8>,
}

impl Generator {
    /// A generator that sends `frame` as if `from` had sent it, with `flows` source ports (a power of two).
    ///
    /// What stands at the device's other end must have NAPI: an XDP program, or GRO.
    pub(crate) fn new(from: &End, frame: Vec<u8>, flows: u32) -> Result<Self> {
        let mut ebpf = object::load()?;
        object::xdp(&mut ebpf, "generate")?;
        let map = ebpf.map_mut("FLOWS").context("the object has no map FLOWS")?;
        Array::<_, u32>::try_from(map)?.set(0, flows.next_power_of_two(), 0)?;
        // The kernel looks the device up in the thread's namespace.
        let ebpf = from.netns.within(move || -> Result<Ebpf> {
            set_target(&mut ebpf, &from.device)?;
            Ok(ebpf)
        })??;
        Ok(Self { ebpf, frame })
    }

    /// Sends for `duration` from this CPU, as fast as it goes; gives the frames sent.
    pub(crate) fn run(&self, duration: Duration, cpu: usize) -> Result<u64> {
        pin(cpu)?;
        let started = Instant::now();
        let mut sent = 0_u64;
        while started.elapsed() < duration {
            self.send(FRAMES_PER_CALL)?;
            sent += u64::from(FRAMES_PER_CALL);
        }
        Ok(sent)
    }

    /// Sends some frames now.
    pub(crate) fn send(&self, frames: u32) -> Result<()> {
        let program = self.ebpf.program("generate").context("the object has no program generate")?;
        let program: &Xdp = program.try_into()?;
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        program
            .test_run(options)
            .context("the kernel refused to send live frames (it can since Linux 5.18)")?;
        Ok(())
    }
}

/// Makes the devmap of the object lead to a device of the thread's network namespace.
pub(super) fn set_target(ebpf: &mut Ebpf, device: &str) -> Result<()> {
    let index = if_nametoindex(device).with_context(|| format!("no device {device}"))?;
    let map = ebpf.map_mut("TARGET").context("the object has no map TARGET")?;
    DevMap::try_from(map)?.set(0, index, None, 0).with_context(|| format!("cannot redirect to {device}"))
}

/// Keeps the calling thread on one CPU, counted modulo those that there are.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut set = CpuSet::new();
    set.set(cpu % cpus)?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot stay on one CPU")
}

/// Lets the calling thread, and processes that it starts from now on, run on every CPU again.
pub(crate) fn unpin() -> Result<()> {
    let mut set = CpuSet::new();
    // The kernel takes those that there are.
    (0..CpuSet::count()).try_for_each(|cpu| set.set(cpu))?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot run on every CPU")
}
