//! A capture of one port.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plexus_cni::wire::{CaptureCall, CapturedFrame, Reply};
use plexus_cni::{CniError, Code};
use serde_json::{Value, json};

use super::filter::Filter;
use super::packet::Packet;
use super::stream::Stream;
use super::{Event, Seat, Wish, port};
use crate::agent::Agent;
use crate::datapath::Seen;

/// How often the connection is looked at while nothing happens.
const LOOK: Duration = Duration::from_millis(100);
/// Events that are written together.
const BATCH: usize = 256;
/// What the programs write in the last moment is waited for.
const LINGER: Duration = Duration::from_millis(50);

pub(super) fn serve(agent: &Arc<Agent>, socket: UnixStream, call: &CaptureCall) -> Result<(), CniError> {
    let mut stream = Stream::new(socket)?;
    let last = capture(agent, &mut stream, call).map_or_else(Reply::Failed, Reply::Done);
    stream.add(&last).and_then(|()| stream.flush())
}

/// A capture that runs; it ends with this value.
struct Running<'a> {
    agent: &'a Agent,
    port: u32,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.agent.datapath.end_capture(self.port) {
            tracing::error!(port = self.port, %error, "a capture could not be ended; the next start of plexusd does");
        }
    }
}

fn capture(agent: &Arc<Agent>, stream: &mut Stream, call: &CaptureCall) -> Result<Value, CniError> {
    let filter = call.filter.as_deref().map(str::parse::<Filter>).transpose();
    let filter = filter
        .map_err(|error| CniError::new(Code::InvalidConfig, "cannot capture").because(error.to_string()))?;
    let places = port::of_pod(agent, &call.pod)?;
    let place = places.into_iter().find(|place| place.interface == call.ifname).ok_or_else(|| {
        CniError::new(Code::PodNotFound, format!("pod {} has no port at {}", call.pod, call.ifname))
            .because("`plexusctl ports` lists the interfaces that have one")
    })?;
    let seat = agent.seeing.join(agent, Wish::Capture(place.port))?;
    agent.datapath.begin_capture(place.port, call.bytes_wanted)?;
    let running = Running { agent, port: place.port };
    stream.add(&Reply::Item(json!({
        "pod": place.pod, "interface": place.interface, "network": place.network, "port": place.port,
    })))?;
    stream.flush()?;
    let mut looked = Instant::now();
    while !agent.seeing.has_ended() && !stream.is_over() {
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            // A pod that goes takes its capture with it.
            if agent.datapath.capture_totals(running.port)?.is_none() {
                return Ok(json!({ "end": "the interface has gone", "lost": 0 }));
            }
        }
        let first = match seat.events.recv_timeout(LOOK) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        pass(stream, &seat, first, filter.as_ref())?;
    }
    let totals = agent.datapath.capture_totals(running.port)?.unwrap_or_default();
    drop(running);
    std::thread::sleep(LINGER);
    pass(stream, &seat, None, filter.as_ref())?;
    let missed = seat.missed.load(Ordering::Relaxed);
    let end = if agent.seeing.has_ended() { "plexusd ends" } else { "as asked" };
    Ok(json!({ "end": end, "lost": totals.lost + missed }))
}

/// Passes on what waits.
fn pass(
    stream: &mut Stream,
    seat: &Seat,
    first: Option<Event>,
    filter: Option<&Filter>,
) -> Result<(), CniError> {
    for event in first.into_iter().chain(seat.events.try_iter().take(BATCH)) {
        let Event::Seen(seen) = event else { continue };
        if filter.is_none_or(|filter| filter.wants(&Packet::parse(&seen.bytes))) {
            stream.add(&Reply::Frame(frame(&seen)))?;
        }
    }
    stream.flush()
}

fn frame(seen: &Seen) -> CapturedFrame {
    CapturedFrame {
        unix_ns: seen.unix_ns,
        is_from_pod: seen.is_from_pod,
        reason: seen.reason.map(|reason| reason.as_str().to_owned()),
        frame_bytes: seen.frame_bytes,
        bytes: STANDARD.encode(&seen.bytes),
    }
}
