//! What lies between a node and the API server: a relay that can be cut, closed and opened again.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::super::LabError;

/// Connections at once; more are refused.
const CONNECTIONS_MAX: usize = 64;

/// A relay of TCP connections; it ends on drop.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    address: SocketAddr,
    porter: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    is_closed: AtomicBool,
    has_ended: AtomicBool,
    connections: Mutex<Vec<Connection>>,
}

/// Both ends of a relayed connection, and the threads that relay.
#[derive(Debug)]
struct Connection {
    ends: [TcpStream; 2],
    relays: [JoinHandle<()>; 2],
}

impl Gate {
    /// Listens on `address` and relays to `target`, in the calling thread's network namespace.
    pub(super) fn open_at(address: SocketAddr, target: SocketAddr) -> Result<Self, LabError> {
        let listener =
            TcpListener::bind(address).map_err(LabError::io(format!("listen on {address} for the relay")))?;
        let shared = Arc::new(Shared {
            is_closed: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            connections: Mutex::new(Vec::new()),
        });
        let porter = {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("gate".into()).spawn(move || shared.serve(&listener, target))
        };
        let porter = porter.map_err(LabError::io("start the relay's thread"))?;
        Ok(Self { shared, address, porter: Some(porter) })
    }

    /// Breaks all connections off; new ones are relayed.
    pub fn cut(&self) {
        for connection in self.shared.lock().drain(..) {
            connection.end();
        }
    }

    /// Breaks all connections off, and new ones as soon as they are made.
    pub fn close(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Relays new connections again.
    pub fn open(&self) {
        self.shared.is_closed.store(false, Ordering::SeqCst);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        // Wakes the porter, who sees that it is over. If it cannot be reached it has ended by itself.
        TcpStream::connect(self.address).ok();
        if let Some(porter) = self.porter.take() {
            porter.join().ok();
        }
        self.cut();
    }
}

impl Shared {
    fn serve(&self, listener: &TcpListener, target: SocketAddr) {
        for near in listener.incoming() {
            if self.has_ended.load(Ordering::SeqCst) {
                return;
            }
            let Ok(near) = near else { continue };
            let mut connections = self.lock();
            connections.retain(|connection| !connection.relays.iter().all(JoinHandle::is_finished));
            // Looked at under the lock, so that no connection slips through while the gate is closed.
            if self.is_closed.load(Ordering::SeqCst) || connections.len() >= CONNECTIONS_MAX {
                continue;
            }
            // The server may be down: then the client finds its connection closed, as with any relay.
            connections.extend(TcpStream::connect(target).and_then(|far| Connection::new(near, far)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn new(near: TcpStream, far: TcpStream) -> io::Result<Self> {
        let there = relay(near.try_clone()?, far.try_clone()?)?;
        let back = relay(far.try_clone()?, near.try_clone()?)?;
        Ok(Self { ends: [near, far], relays: [there, back] })
    }

    fn end(self) {
        for stream in &self.ends {
            // Fails only if it is closed already.
            stream.shutdown(Shutdown::Both).ok();
        }
        for relay in self.relays {
            relay.join().ok();
        }
    }
}

/// Copies until one side ends, and says so to the other.
fn relay(mut from: TcpStream, mut to: TcpStream) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("relay".into()).spawn(move || {
        // How it ended is nobody's matter here.
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
        from.shutdown(Shutdown::Read).ok();
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    /// A server that sends back what it gets, and a gate before it.
    fn echo() -> (Gate, SocketAddr) {
        let listener = TcpListener::bind(ANY).unwrap();
        let target = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().take(4).flatten() {
                thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        // The port is free a moment later, as nobody else has it yet.
        let address = TcpListener::bind(ANY).unwrap().local_addr().unwrap();
        (Gate::open_at(address, target).unwrap(), address)
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// What comes back for one byte; 0 bytes or an error when the connection is cut.
    fn echoed(stream: &mut TcpStream) -> usize {
        stream.write_all(b"x").and_then(|()| stream.read(&mut [0])).unwrap_or(0)
    }

    #[test]
    fn a_cut_ends_connections_and_lets_new_ones_through() {
        let (gate, address) = echo();
        let mut first = connect(address);
        assert_eq!(echoed(&mut first), 1);
        gate.cut();
        assert_eq!(echoed(&mut first), 0);
        assert_eq!(echoed(&mut connect(address)), 1);
    }

    #[test]
    fn a_closed_gate_lets_nothing_through_until_it_is_opened() {
        let (gate, address) = echo();
        gate.close();
        assert_eq!(echoed(&mut connect(address)), 0);
        gate.open();
        assert_eq!(echoed(&mut connect(address)), 1);
    }
}
