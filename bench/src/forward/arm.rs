//! One path that frames can take, and who counts them at its end.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::packets::cpu;
use crate::packets::end::End;
use crate::packets::frame::{SHORTEST, udp};
use crate::packets::generator::Generator;
use crate::packets::sink::{Receiver, Sink};

/// Source ports in use.
const FLOWS: u32 = 8;
/// What is still on its way when the generator stops has arrived after this.
const SETTLE: Duration = Duration::from_millis(5);

/// A path with a generator at its start.
pub(super) struct Arm {
    pub(super) name: &'static str,
    generator: Generator,
    to: End,
    receiver: Receiver,
}

/// One measurement of an arm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Frames that arrived, per second.
    pub(super) packets_per_second: f64,
    /// CPU time of the generator's thread per frame that arrived, in nanoseconds.
    pub(super) cpu_ns: f64,
    /// Frames that arrived.
    pub(super) packets: f64,
}

impl Arm {
    /// Frames that `from` sends to the pod `to`.
    pub(super) fn new(name: &'static str, from: &End, to: &End, receiver: Receiver) -> Result<Self> {
        let generator = Generator::new(from, udp(from, to, SHORTEST), FLOWS)?;
        Ok(Self { name, generator, to: to.clone(), receiver })
    }

    /// Sends as fast as it goes for `duration` and counts what arrives.
    pub(super) fn measure(&self, duration: Duration) -> Result<Sample> {
        Ok(self.measure_between(duration, || ())?.0)
    }

    /// The same, with a `look` right before and right after, while all programs are attached.
    pub(super) fn measure_between<T>(
        &self,
        duration: Duration,
        look: impl Fn() -> T,
    ) -> Result<(Sample, T, T)> {
        let sink = Sink::attach(&self.to, self.receiver)?;
        // Neighbour entries, caches, and pages of the generator.
        self.generator.send(2_000)?;
        std::thread::sleep(SETTLE);
        let before = look();
        let (first, busy, started) = (sink.seen()?, cpu::of_thread()?, Instant::now());
        self.generator.run(duration, 0)?;
        let (elapsed, busy) = (started.elapsed(), cpu::of_thread()?.saturating_sub(busy));
        std::thread::sleep(SETTLE);
        let packets = sink.seen()?.packets - first.packets;
        let after = look();
        #[expect(clippy::cast_precision_loss, reason = "packets of some seconds are far below 2^53")]
        let packets = packets as f64;
        let sample = Sample {
            packets_per_second: packets / elapsed.as_secs_f64(),
            cpu_ns: busy.as_secs_f64() * 1e9 / packets.max(1.0),
            packets,
        };
        Ok((sample, before, after))
    }
}
