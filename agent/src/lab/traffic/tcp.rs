//! One TCP connection that sends as fast as it may: large segments, as a policer meets them in life.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use super::super::{LabError, NetNs};

/// How long connecting may take, in milliseconds.
const CONNECT_MS: u16 = 5_000;
/// A side that stalls this long gives up, in milliseconds.
const STALL_MS: u64 = 5_000;
/// Bytes of one write.
const CHUNK_BYTES: usize = 64 << 10;

/// What a transfer moved.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Bytes that the receiver read.
    pub bytes: u64,
    /// From the connection to the last read of data: where the end of the stream was lost, its wait does not count.
    pub elapsed: Duration,
}

/// Sends from `from` to the address `to` in `server` for `duration`.
pub fn transfer(
    from: &NetNs,
    server: &NetNs,
    to: SocketAddr,
    duration: Duration,
) -> Result<Transfer, LabError> {
    let listener =
        server.within(|| TcpListener::bind(to))?.map_err(LabError::io(format!("listen at {to}")))?;
    let reader = std::thread::spawn(move || read_all(&listener));
    let limit = Duration::from_millis(CONNECT_MS.into());
    let stream = from
        .within(|| TcpStream::connect_timeout(&to, limit))?
        .map_err(LabError::io(format!("connect to {to} from {}", from.path().display())))?;
    write_for(&stream, duration).map_err(LabError::io(format!("write to {to}")))?;
    drop(stream);
    let read = reader.join().map_err(|_| LabError::Unexpected {
        what: "the reader of a transfer".into(),
        expected: "a count".into(),
        seen: "a panic".into(),
    })?;
    read.map_err(LabError::io(format!("read at {to}")))
}

fn write_for(mut stream: &TcpStream, duration: Duration) -> std::io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_millis(STALL_MS)))?;
    let chunk = vec![0; CHUNK_BYTES];
    let end = Instant::now() + duration;
    while Instant::now() < end {
        stream.write_all(&chunk)?;
    }
    Ok(())
}

fn read_all(listener: &TcpListener) -> std::io::Result<Transfer> {
    let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    if poll(&mut waiting, CONNECT_MS)? == 0 {
        return Err(ErrorKind::TimedOut.into());
    }
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(Duration::from_millis(STALL_MS)))?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let (started, mut moved) = (Instant::now(), Transfer { bytes: 0, elapsed: Duration::ZERO });
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(moved),
            length => {
                moved.bytes += length as u64;
                moved.elapsed = started.elapsed();
            }
        }
    }
}
