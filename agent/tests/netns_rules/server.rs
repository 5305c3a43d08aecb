//! A server in a namespace that tells each client by which address it came, and the client.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use plexus_agent::lab::NetNs;

/// How long a client waits. What is dropped is not answered at all.
const PATIENCE: Duration = Duration::from_millis(700);

/// Serves TCP at `at`; the thread ends with the test's process, which holds one test.
pub(crate) fn tcp(netns: &NetNs, at: &str) {
    let listener = netns.within(|| TcpListener::bind(at)).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(1000) {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            // A client that went away meanwhile needs no answer.
            drop(stream.write_all(peer.to_string().as_bytes()));
        }
    });
}

/// Serves UDP at `at`.
pub(crate) fn udp(netns: &NetNs, at: &str, name: &'static str) {
    let socket = netns.within(|| UdpSocket::bind(at)).unwrap().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        for _ in 0..1000 {
            let (_, peer) = socket.recv_from(&mut buffer).unwrap();
            drop(socket.send_to(name.as_bytes(), peer));
        }
    });
}

/// The address by which `to` sees a client in `from`; nothing where it does not answer.
pub(crate) fn seen_as(from: &NetNs, to: &str) -> Option<IpAddr> {
    let to: SocketAddr = to.parse().unwrap();
    let mut stream = from.within(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap().ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.parse().ok()
}

/// A UDP client that keeps its port.
pub(crate) fn client(from: &NetNs, at: &str) -> UdpSocket {
    let socket = from.within(|| UdpSocket::bind(at)).unwrap().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Who answers.
pub(crate) fn asked(client: &UdpSocket, to: &str) -> Option<String> {
    client.send_to(b"who", to).ok()?;
    let mut buffer = [0; 64];
    let count = client.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
}
