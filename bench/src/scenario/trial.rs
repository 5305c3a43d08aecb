//! One trial: frames of one size over one lane, at one rate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::Histogram;

use super::file::GeneratorKind;
use super::receive::{Received, receive};
use super::socket::{Inlet, Outlet};
use super::stamp::STAMPED;
use super::transmit::{Load, Sent, transmit};
use crate::packets::cpu;
use crate::packets::end::End;
use crate::packets::frame::{udp, udp_to_port};
use crate::packets::generator::{Generator, pin};
use crate::packets::sink::{Receiver, Sink};

/// Frames per second that measure the latency beside a load of frames that carry no stamps.
const PROBES_PPS: f64 = 1_000.0;
/// A paced load of live frames is made in portions, one each time: every call has a cost of its own.
const PORTION: Duration = Duration::from_millis(10);
/// What is still on its way when the generator stops has arrived after this.
const SETTLE: Duration = Duration::from_millis(50);
/// A receiver gives up so long after its trial should have ended.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// A way from a sender to a receiver.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) from: End,
    pub(crate) to: End,
    /// Where frames that carry no stamps are counted.
    pub(crate) sink: Receiver,
}

/// What a trial showed.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) elapsed: Duration,
    /// Of stamped frames, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) reordered: u64,
    /// Frames that the receiving socket had no room for; they count as lost.
    pub(crate) found_no_room: u64,
    pub(crate) sender_cpu: Duration,
    /// Only where a thread receives each frame.
    pub(crate) receiver_cpu: Option<Duration>,
}

#[expect(clippy::cast_precision_loss, reason = "frames of an hour are far below 2^53")]
impl Outcome {
    pub(crate) fn offered_pps(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    pub(crate) fn received_pps(&self) -> f64 {
        self.received as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    pub(crate) fn loss_percent(&self) -> f64 {
        100.0 * self.sent.saturating_sub(self.received) as f64 / self.sent.max(1) as f64
    }

    /// CPU time of the sending thread for each frame sent, in nanoseconds.
    pub(crate) fn sender_cpu_ns(&self) -> f64 {
        self.sender_cpu.as_secs_f64() * 1e9 / self.sent.max(1) as f64
    }

    /// The same of the receiving thread, for each frame received.
    pub(crate) fn receiver_cpu_ns(&self) -> Option<f64> {
        Some(self.receiver_cpu?.as_secs_f64() * 1e9 / self.received.max(1) as f64)
    }
}

/// Runs one trial with frames of `bytes` without FCS; senders stay on the first CPU, receivers on the second.
pub(crate) fn run(lane: &Lane, generator: GeneratorKind, bytes: usize, load: Load) -> Result<Outcome> {
    let outcome = match generator {
        GeneratorKind::AfPacket | GeneratorKind::AfXdp => by_socket(lane, generator, bytes, load),
        GeneratorKind::XdpLive => by_kernel(lane, bytes, load),
    };
    outcome.with_context(|| format!("{} with frames of {bytes} bytes without FCS", lane.name))
}

fn by_socket(lane: &Lane, generator: GeneratorKind, bytes: usize, load: Load) -> Result<Outcome> {
    let (sent, received) = stamped(lane, generator, bytes, load)?;
    Ok(Outcome {
        sent: sent.packets,
        received: received.packets,
        elapsed: sent.elapsed,
        latency: received.latency,
        reordered: received.reordered,
        found_no_room: received.found_no_room,
        sender_cpu: sent.cpu,
        receiver_cpu: Some(received.cpu),
    })
}

/// Sends and receives frames with stamps, by a thread each.
fn stamped(lane: &Lane, generator: GeneratorKind, bytes: usize, load: Load) -> Result<(Sent, Received)> {
    let mut inlet = Inlet::open(&lane.to, generator, lane.sink)?;
    let mut outlet = Outlet::open(&lane.from, generator)?;
    let frame = udp_to_port(&lane.from, &lane.to, STAMPED, bytes);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let receiving = scope.spawn(|| {
            pin(1)?;
            receive(&mut inlet, load.trial, &is_done, load.duration + LIMIT)
        });
        let sending = scope.spawn(|| {
            let sent = pin(0).and_then(|()| transmit(&mut outlet, &frame, &load));
            is_done.store(true, Ordering::Release);
            sent
        });
        Ok((joined(sending)?, joined(receiving)?))
    })
}

/// Live frames are counted in the kernel; a few stamped frames beside them tell the latency.
fn by_kernel(lane: &Lane, bytes: usize, load: Load) -> Result<Outcome> {
    let sink = Sink::attach(&lane.to, lane.sink)?;
    let frame = udp(&lane.from, &lane.to, bytes);
    let generator = Generator::new(&lane.from, frame, u32::from(load.flows))?;
    let first = sink.seen()?.packets;
    let probes = Load { pps: Some(PROBES_PPS), flows: 1, ..load };
    let (made, (_, seen)) = thread::scope(|scope| {
        let probing = scope.spawn(|| stamped(lane, GeneratorKind::XdpLive, bytes, probes));
        let made = scope.spawn(|| make(&generator, &load));
        Ok::<_, anyhow::Error>((joined(made)?, joined(probing)?))
    })?;
    thread::sleep(SETTLE);
    Ok(Outcome {
        sent: made.packets,
        received: sink.seen()?.packets - first,
        elapsed: made.elapsed,
        latency: seen.latency,
        reordered: 0,
        found_no_room: 0,
        sender_cpu: made.cpu,
        receiver_cpu: None,
    })
}

/// Lets the kernel make frames.
fn make(generator: &Generator, load: &Load) -> Result<Sent> {
    let (busy, started) = (cpu::of_thread()?, Instant::now());
    let packets = match load.pps {
        None => generator.run(load.duration, 0)?,
        Some(pps) => {
            pin(0)?;
            let mut packets = 0_u64;
            while started.elapsed() < load.duration {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at most 1e9 per second for an hour"
                )]
                let wanted = (pps * (started.elapsed() + PORTION).as_secs_f64()) as u64;
                let portion = u32::try_from(wanted.saturating_sub(packets)).unwrap_or(u32::MAX);
                if portion > 0 {
                    generator.send(portion)?;
                    packets += u64::from(portion);
                }
                thread::sleep(PORTION);
            }
            packets
        }
    };
    Ok(Sent { packets, elapsed: started.elapsed(), cpu: cpu::of_thread()?.saturating_sub(busy) })
}

/// The same on several lanes at the same time.
pub(crate) fn at_once(
    lanes: &[Lane],
    generator: GeneratorKind,
    bytes: usize,
    load: Load,
) -> Result<Vec<Outcome>> {
    thread::scope(|scope| {
        let run = |lane| scope.spawn(move || run(lane, generator, bytes, load));
        lanes.iter().map(run).collect::<Vec<_>>().into_iter().map(joined).collect()
    })
}

/// What a thread of a trial gave.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread of the trial panicked"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_loss_follow_from_what_was_counted() {
        let outcome = Outcome {
            sent: 1_000,
            received: 900,
            elapsed: Duration::from_secs(2),
            latency: Histogram::new(3).unwrap(),
            reordered: 0,
            found_no_room: 40,
            sender_cpu: Duration::from_micros(500),
            receiver_cpu: None,
        };
        let seen =
            [outcome.offered_pps(), outcome.received_pps(), outcome.loss_percent(), outcome.sender_cpu_ns()];
        assert_eq!(seen.map(|number| format!("{number:.1}")), ["500.0", "450.0", "10.0", "500.0"]);
        assert!(outcome.receiver_cpu_ns().is_none());
    }
}
