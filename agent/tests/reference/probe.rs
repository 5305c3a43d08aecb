//! Traffic after ADD: what rules do is compared by what they let pass, not by how they are written.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use plexus_agent::lab::NetNs;
use plexus_agent::lab::ping::{ping, ping_from};
use plexus_agent::lab::traffic::udp::{Flow, FlowSpec, HEADER_BYTES_V4};
use serde_json::{Value, json};

use super::place::Place;

/// How long a connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Payload of a datagram.
const PAYLOAD_BYTES: usize = 1200;
const ACCEPT_POLL: Duration = Duration::from_millis(5);

/// Where a packet starts or ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Pod,
    Host,
    Outside,
}

/// One look at what passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    /// Echo requests: answered or not.
    Ping(End, &'static str),
    /// The same with a source address, by which rules may choose the way.
    PingBy { from: End, source: &'static str, to: &'static str },
    /// A TCP connection from one end to an address, with a server at another address of another end: whether it comes
    /// about, and whose address the server sees.
    Tcp { from: End, to: &'static str, server: End, at: &'static str },
    /// Datagrams at two and a half times a limit: whether what arrives is about the limit.
    Rate { from: End, to: End, at: &'static str, limit_bps: u64 },
}

impl Probe {
    /// Its name and what was seen.
    pub(crate) fn run(self, place: &Place) -> (String, Value) {
        match self {
            Self::Ping(from, to) => {
                let target: IpAddr = to.parse().unwrap();
                let echoes = ping(from.netns(place), target, 1).unwrap();
                (format!("ping {to} from {from:?}"), json!(echoes.all_answered()))
            }
            Self::PingBy { from, source, to } => {
                let echoes = ping_from(from.netns(place), source, to.parse().unwrap(), 1).unwrap();
                (format!("ping {to} from {source}"), json!(echoes.all_answered()))
            }
            Self::Tcp { from, to, server, at } => {
                let seen =
                    connect(from.netns(place), to.parse().unwrap(), server.netns(place), at.parse().unwrap());
                (format!("connect to {to} from {from:?}"), json!(seen))
            }
            Self::Rate { from, to, at, limit_bps } => {
                let seen = rate(from.netns(place), to.netns(place), at.parse().unwrap(), limit_bps);
                (format!("{limit_bps} bit/s from {from:?}"), json!(seen))
            }
        }
    }
}

impl End {
    fn netns(self, place: &Place) -> &NetNs {
        match self {
            Self::Pod => &place.pod.netns,
            Self::Host => place.host.netns(),
            Self::Outside => &place.outside,
        }
    }
}

/// The client's address as the server sees it, `refused` or `silence`.
fn connect(client: &NetNs, to: SocketAddr, server: &NetNs, at: SocketAddr) -> String {
    let listener = server.within(|| TcpListener::bind(at)).unwrap().unwrap();
    listener.set_nonblocking(true).unwrap();
    let accepting = thread::spawn(move || {
        let deadline = Instant::now() + CONNECT_LIMIT;
        while Instant::now() < deadline {
            if let Ok((_, peer)) = listener.accept() {
                return Some(peer.ip());
            }
            thread::sleep(ACCEPT_POLL);
        }
        None
    });
    let connected = client.within(|| TcpStream::connect_timeout(&to, CONNECT_LIMIT)).unwrap();
    let seen = accepting.join().unwrap();
    match (connected, seen) {
        (Ok(_), Some(peer)) => format!("from {peer}"),
        (Err(error), _) if error.kind() == std::io::ErrorKind::ConnectionRefused => "refused".into(),
        _ => "silence".into(),
    }
}

fn rate(from: &NetNs, to: &NetNs, at: SocketAddr, limit_bps: u64) -> String {
    let bits = 8 * (PAYLOAD_BYTES as u64 + HEADER_BYTES_V4);
    let spec = FlowSpec {
        to: at,
        rate_pps: limit_bps * 5 / 2 / bits,
        payload_bytes: PAYLOAD_BYTES,
        // The burst of the tables is used up within a tenth of a second.
        duration: Duration::from_secs(1),
        warm_up: Duration::from_millis(300),
    };
    let seen_bps = Flow::start(from, to, spec).unwrap().wait().unwrap().steady_bps;
    #[expect(clippy::cast_precision_loss, reason = "a rate stays far below 2^53")]
    let share = seen_bps / limit_bps as f64;
    // Wide bounds: this says that there is a limit, and that it is not another one.
    if (0.6..1.4).contains(&share) { "about the limit".into() } else { format!("{seen_bps} bit/s") }
}
