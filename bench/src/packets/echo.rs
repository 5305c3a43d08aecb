//! Request and response: one byte there, one byte back, one at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::Histogram;

use super::end::End;

/// Connecting, and any single answer, may take this long.
const STALL: Duration = Duration::from_secs(5);
/// A datagram that takes longer is lost.
const LOST: Duration = Duration::from_millis(300);
/// Time between two datagrams: so few that they weigh nothing beside the load.
const DATAGRAM_EVERY: Duration = Duration::from_millis(2);

/// Round trips, in nanoseconds, and how many never came back.
pub(crate) struct RoundTrips {
    pub(crate) nanoseconds: Histogram<u64>,
    pub(crate) lost: u64,
}

impl RoundTrips {
    fn new() -> Result<Self> {
        Ok(Self { nanoseconds: Histogram::new(3).context("cannot make a histogram")?, lost: 0 })
    }

    /// What never came back, in percent of what was sent.
    pub(crate) fn lost_percent(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "datagrams of some seconds are far below 2^53")]
        let [lost, back] = [self.lost, self.nanoseconds.len()].map(|count| count as f64);
        100.0 * lost / (lost + back).max(1.0)
    }

    fn record(&mut self, sample: Duration) -> Result<()> {
        let nanoseconds = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.record(nanoseconds).context("cannot record a sample")
    }
}

/// One TCP connection from `client` to `server`, for `duration`.
pub(crate) fn tcp(client: &End, server: &End, port: u16, duration: Duration) -> Result<RoundTrips> {
    let to = server.at(port);
    let listener =
        server.netns.within(|| TcpListener::bind(to))?.with_context(|| format!("cannot listen at {to}"))?;
    let stream = client
        .netns
        .within(|| TcpStream::connect_timeout(&to, STALL))?
        .with_context(|| format!("cannot connect to {to}"))?;
    let (accepted, _) = listener.accept().context("cannot accept")?;
    for end in [&stream, &accepted] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(STALL))?;
    }
    std::thread::scope(|scope| {
        let answering = scope.spawn(move || answer(accepted));
        let seen = ask(stream, duration);
        answering.join().map_err(|_| anyhow!("the answering thread panicked"))?.context("cannot answer")?;
        seen
    })
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 {
        stream.write_all(&byte)?;
    }
    Ok(())
}

fn ask(mut stream: TcpStream, duration: Duration) -> Result<RoundTrips> {
    let mut seen = RoundTrips::new()?;
    let (started, mut byte) = (Instant::now(), [7]);
    while started.elapsed() < duration {
        let sent = Instant::now();
        stream.write_all(&byte).context("cannot ask")?;
        stream.read_exact(&mut byte).context("no answer came")?;
        seen.record(sent.elapsed())?;
    }
    Ok(seen)
}

/// Numbered datagrams from `client` to `server` and back, every 2 ms for `duration`; some may get lost.
pub(crate) fn udp(client: &End, server: &End, port: u16, duration: Duration) -> Result<RoundTrips> {
    let open = |end: &End, port| -> Result<UdpSocket> {
        let address = end.at(port);
        let socket = end.netns.within(|| UdpSocket::bind(address))?;
        let socket = socket.with_context(|| format!("cannot bind {address}"))?;
        Ok(socket)
    };
    let (asking, answering) = (open(client, 0)?, open(server, port)?);
    let end = Instant::now() + duration;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| answer_datagrams(&answering, &is_over));
        let seen = ask_datagrams(&asking, server.at(port), end);
        is_over.store(true, Ordering::Release);
        seen
    })
}

/// Sends every datagram back until `is_over`.
pub(crate) fn answer_datagrams(socket: &UdpSocket, is_over: &AtomicBool) {
    let mut bytes = [0; 64];
    // Without a limit it would wait for a datagram that never comes.
    if socket.set_read_timeout(Some(LOST)).is_err() {
        return;
    }
    while !is_over.load(Ordering::Acquire) {
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            // What cannot be sent back is lost, and the other side counts it.
            socket.send_to(&bytes[..length], from).ok();
        }
    }
}

/// Sends a numbered datagram every 2 ms until `end`, one at a time.
pub(crate) fn ask_datagrams(socket: &UdpSocket, to: SocketAddr, end: Instant) -> Result<RoundTrips> {
    socket.set_read_timeout(Some(LOST)).context("cannot limit the wait for a datagram")?;
    let mut seen = RoundTrips::new()?;
    let mut number = 0_u64;
    while Instant::now() < end {
        number += 1;
        let sent = Instant::now();
        socket.send_to(&number.to_be_bytes(), to).context("cannot send a datagram")?;
        match wait_for(socket, number) {
            Ok(()) => seen.record(sent.elapsed())?,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                seen.lost += 1;
            }
            Err(error) => return Err(error).context("cannot receive a datagram"),
        }
        std::thread::sleep(DATAGRAM_EVERY);
    }
    Ok(seen)
}

/// Waits for this datagram; late ones of before are passed over.
fn wait_for(socket: &UdpSocket, number: u64) -> std::io::Result<()> {
    let started = Instant::now();
    let mut bytes = [0; 64];
    while started.elapsed() < LOST {
        let length = socket.recv(&mut bytes)?;
        if bytes[..length] == number.to_be_bytes() {
            return Ok(());
        }
    }
    Err(ErrorKind::TimedOut.into())
}
