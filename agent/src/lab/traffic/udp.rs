//! A steady stream of numbered UDP datagrams: loss is counted by the numbers that never arrive.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use super::super::{LabError, NetNs};

/// Ethernet, IPv4 and UDP headers, in bytes: what a datagram weighs on the wire beside its payload.
pub const HEADER_BYTES_V4: u64 = 14 + 20 + 8;
/// Most datagrams of one flow: bounds the memory of the receiver's marks.
const DATAGRAMS_MAX: u64 = 20_000_000;
/// The shortest payload carries the number.
const NUMBER_BYTES: usize = 8;
/// Room for bursts while the receiver waits for a CPU, in bytes.
const RECEIVE_BUFFER_BYTES: usize = 32 << 20;
/// The receiver listens this long after the last datagram, in milliseconds.
const QUIET_MS: u64 = 300;
/// Time between two bursts of the sender, in microseconds.
const TICK_US: u64 = 500;

/// What a flow sends.
#[derive(Clone, Copy, Debug)]
pub struct FlowSpec {
    /// The receiver's address in its namespace.
    pub to: SocketAddr,
    /// Datagrams per second.
    pub rate_pps: u64,
    /// Payload of a datagram, in bytes; at least 8.
    pub payload_bytes: usize,
    /// How long to send at most; [`Flow::finish`] may end it earlier.
    pub duration: Duration,
    /// Arrivals before this time do not count for the steady rate: a policer's burst is used up first.
    pub warm_up: Duration,
}

/// What arrived of a flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct FlowReport {
    /// Datagrams that the sender's kernel took.
    pub sent: u64,
    /// Different datagrams that arrived.
    pub received: u64,
    /// Datagrams that never arrived.
    pub lost: u64,
    /// Datagrams that arrived again.
    pub duplicated: u64,
    /// Datagrams that arrived after a later one.
    pub reordered: u64,
    /// Rate of arrivals after the warm-up, in bits per second of Ethernet frames without FCS; 0 if none arrived.
    pub steady_bps: f64,
}

/// A flow that runs.
#[derive(Debug)]
pub struct Flow {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<u64, LabError>>,
    receiver: JoinHandle<Result<Arrivals, LabError>>,
}

impl Flow {
    /// Starts to send from `from` to `spec.to` in `to`; returns when both ends are open.
    pub fn start(from: &NetNs, to: &NetNs, spec: FlowSpec) -> Result<Self, LabError> {
        let receiver = bind(to, spec.to)?;
        setsockopt(&receiver, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)
            .map_err(LabError::io("enlarge a receive buffer"))?;
        receiver
            .set_read_timeout(Some(Duration::from_millis(QUIET_MS)))
            .map_err(LabError::io("set a socket's time limit"))?;
        let any = SocketAddr::new(if spec.to.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, 0);
        let sender = bind(from, any)?;
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let sender = {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            std::thread::spawn(move || {
                let sent = send(&sender, &spec, &stop);
                done.store(true, Ordering::Release);
                sent
            })
        };
        let receiver = std::thread::spawn(move || receive(&receiver, &spec, &done));
        Ok(Self { stop, sender, receiver })
    }

    /// Lets the flow run to its end and gives the counts.
    pub fn wait(self) -> Result<FlowReport, LabError> {
        let panicked = || LabError::Unexpected {
            what: "a thread of a flow".into(),
            expected: "a count".into(),
            seen: "a panic".into(),
        };
        let sent = self.sender.join().map_err(|_| panicked())??;
        let arrivals = self.receiver.join().map_err(|_| panicked())??;
        Ok(arrivals.report(sent))
    }

    /// Ends the flow now and gives the counts.
    pub fn finish(self) -> Result<FlowReport, LabError> {
        self.stop.store(true, Ordering::Release);
        self.wait()
    }
}

fn bind(netns: &NetNs, address: SocketAddr) -> Result<UdpSocket, LabError> {
    netns
        .within(|| UdpSocket::bind(address))?
        .map_err(LabError::io(format!("bind UDP {address} in {}", netns.path().display())))
}

/// Sends in small bursts on a fixed schedule, so that a late wake-up is made up for.
fn send(socket: &UdpSocket, spec: &FlowSpec, stop: &AtomicBool) -> Result<u64, LabError> {
    let mut payload = vec![0; spec.payload_bytes.max(NUMBER_BYTES)];
    let started = Instant::now();
    let mut sent = 0_u64;
    while !stop.load(Ordering::Acquire) && sent < DATAGRAMS_MAX {
        let elapsed = started.elapsed().min(spec.duration);
        let due = u128::from(spec.rate_pps) * elapsed.as_micros() / 1_000_000;
        while u128::from(sent) < due {
            payload[..NUMBER_BYTES].copy_from_slice(&sent.to_be_bytes());
            socket.send_to(&payload, spec.to).map_err(LabError::io(format!("send to {}", spec.to)))?;
            sent += 1;
        }
        if elapsed == spec.duration {
            break;
        }
        std::thread::sleep(Duration::from_micros(TICK_US));
    }
    Ok(sent)
}

/// What the receiver saw.
#[derive(Debug, Default)]
struct Arrivals {
    seen: Vec<bool>,
    highest: u64,
    received: u64,
    duplicated: u64,
    reordered: u64,
    steady: Option<Steady>,
}

/// Arrivals after the warm-up.
#[derive(Debug)]
struct Steady {
    first: Instant,
    last: Instant,
    /// Bytes after the first datagram, which only opens the interval.
    bytes: u64,
}

impl Arrivals {
    fn note(&mut self, number: u64) {
        let Some(index) = usize::try_from(number).ok().filter(|_| number < DATAGRAMS_MAX) else { return };
        if index >= self.seen.len() {
            self.seen.resize(index + 1, false);
        }
        if std::mem::replace(&mut self.seen[index], true) {
            self.duplicated += 1;
            return;
        }
        self.received += 1;
        if number < self.highest {
            self.reordered += 1;
        }
        self.highest = self.highest.max(number);
    }

    fn weigh(&mut self, bytes: u64) {
        let now = Instant::now();
        match &mut self.steady {
            Some(steady) => {
                steady.last = now;
                steady.bytes += bytes;
            }
            None => self.steady = Some(Steady { first: now, last: now, bytes: 0 }),
        }
    }

    fn report(&self, sent: u64) -> FlowReport {
        let steady = self.steady.as_ref().filter(|steady| steady.last > steady.first);
        #[expect(clippy::cast_precision_loss, reason = "a flow's bits stay far below 2^53")]
        let rate = |steady: &Steady| (steady.bytes * 8) as f64 / (steady.last - steady.first).as_secs_f64();
        FlowReport {
            sent,
            received: self.received,
            lost: sent.saturating_sub(self.received),
            duplicated: self.duplicated,
            reordered: self.reordered,
            steady_bps: steady.map_or(0.0, rate),
        }
    }
}

/// Receives until the sender is done and the line is quiet.
fn receive(socket: &UdpSocket, spec: &FlowSpec, done: &AtomicBool) -> Result<Arrivals, LabError> {
    let mut arrivals = Arrivals::default();
    let mut buffer = vec![0; 64 << 10];
    let started = Instant::now();
    // A sender that is stuck in the kernel must not keep us for ever.
    let limit = spec.duration + Duration::from_secs(30);
    while started.elapsed() < limit {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                if let Some(number) = buffer[..length].first_chunk::<NUMBER_BYTES>() {
                    arrivals.note(u64::from_be_bytes(*number));
                }
                if started.elapsed() >= spec.warm_up {
                    arrivals.weigh(length as u64 + HEADER_BYTES_V4);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if done.load(Ordering::Acquire) {
                    break;
                }
            }
            Err(error) => return Err(LabError::io(format!("receive at {}", spec.to))(error)),
        }
    }
    Ok(arrivals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_duplicates_and_order_are_counted_by_the_numbers() {
        let mut arrivals = Arrivals::default();
        for number in [0, 1, 4, 3, 3] {
            arrivals.note(number);
        }
        let report = arrivals.report(6);
        assert_eq!((report.received, report.lost), (4, 2));
        assert_eq!((report.duplicated, report.reordered), (1, 1));
    }

    #[test]
    fn a_number_beyond_every_flow_is_ignored() {
        let mut arrivals = Arrivals::default();
        arrivals.note(u64::MAX);
        assert_eq!(arrivals.report(0).received, 0);
    }
}
