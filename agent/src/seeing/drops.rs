//! A follower of drops.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use jiff::Timestamp;
use plexus_cni::CniError;
use plexus_cni::wire::Reply;
use serde::Serialize;

use super::packet::Packet;
use super::port::{self, Place, Places};
use super::stream::Stream;
use super::{Event, Wish};
use crate::agent::Agent;
use crate::datapath::Seen;

/// How often the connection is looked at while nothing happens.
const LOOK: Duration = Duration::from_millis(200);
/// Events that are written together.
const BATCH: usize = 256;

/// One dropped frame, as documented in docs/plexusctl.md.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Drop<'a> {
    /// RFC 3339, UTC.
    time: String,
    reason: &'static str,
    /// `from-pod` or `to-pod`.
    direction: &'static str,
    port: u32,
    pod: Option<&'a str>,
    network: Option<&'a str>,
    interface: Option<&'a str>,
    length: u32,
    packet: Packet,
    summary: String,
}

/// Drops that are not shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unseen {
    /// Not sampled, because there were too many.
    suppressed: u64,
    /// Sampled, but this connection was too slow.
    missed: u64,
}

pub(super) fn serve(agent: &Arc<Agent>, socket: UnixStream, pod: Option<&str>) -> Result<(), CniError> {
    let mut stream = Stream::new(socket)?;
    match follow(agent, &mut stream, pod) {
        Ok(()) => Ok(()),
        Err(error) => stream.add(&Reply::Failed(error)).and_then(|()| stream.flush()),
    }
}

fn follow(agent: &Arc<Agent>, stream: &mut Stream, pod: Option<&str>) -> Result<(), CniError> {
    let wanted = pod.map(|pod| port::of_pod(agent, pod)).transpose()?;
    let pod = wanted.and_then(|places| places.into_iter().next()).map(|place| place.pod);
    let seat = agent.seeing.join(agent, Wish::Drops)?;
    let mut places = Places::default();
    while !agent.seeing.has_ended() && !stream.is_over() {
        let first = match seat.events.recv_timeout(LOOK) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        for event in first.into_iter().chain(seat.events.try_iter().take(BATCH)) {
            let reply = match event {
                Event::Seen(seen) => {
                    let place = places.get(agent, seen.port);
                    if pod.is_some() && place.map(|place| &place.pod) != pod.as_ref() {
                        continue;
                    }
                    item(&describe(&seen, place))
                }
                Event::Suppressed(suppressed) => item(&Unseen { suppressed, missed: 0 }),
            };
            stream.add(&reply?)?;
        }
        let missed = seat.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            stream.add(&item(&Unseen { suppressed: 0, missed })?)?;
        }
        stream.flush()?;
    }
    stream.add(&Reply::Done(serde_json::Value::Null)).and_then(|()| stream.flush())
}

fn item<T: Serialize>(value: &T) -> Result<Reply, CniError> {
    serde_json::to_value(value).map(Reply::Item).map_err(|error| {
        CniError::new(plexus_cni::Code::Internal, "a drop cannot be encoded").because(error.to_string())
    })
}

fn describe<'a>(seen: &Seen, place: Option<&'a Place>) -> Drop<'a> {
    let time = Timestamp::from_nanosecond(i128::from(seen.unix_ns)).unwrap_or_default();
    let packet = Packet::parse(&seen.bytes);
    Drop {
        time: format!("{time:.6}"),
        reason: seen.reason.map_or("unknown", plexus_abi::DropReason::as_str),
        direction: if seen.is_from_pod { "from-pod" } else { "to-pod" },
        port: seen.port,
        pod: place.map(|place| place.pod.as_str()),
        network: place.map(|place| place.network.as_str()),
        interface: place.map(|place| place.interface.as_str()),
        length: seen.frame_bytes,
        summary: packet.to_string(),
        packet,
    }
}
