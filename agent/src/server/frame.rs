//! Frames on a tokio socket.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use plexus_cni::wire::{self, Call, HEADER_BYTES};
use plexus_cni::{CniError, Code};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::sandbox::receive;

/// A client that does not take an answer within this is dropped.
const WRITE_WAIT: Duration = Duration::from_secs(10);

/// A frame is read in steps of this, so that memory follows what has come and not what was announced.
const STEP_BYTES: usize = 256 << 10;

/// A connection that broke.
pub(super) fn lost(error: &std::io::Error) -> CniError {
    CniError::new(Code::Io, "the connection is lost").because(error.to_string())
}

/// Reads the first frame with the descriptors that came with it.
pub(super) async fn read_call(stream: &UnixStream) -> Result<(Call, Vec<OwnedFd>), CniError> {
    let mut descriptors = Vec::new();
    let call = read_with(stream, &mut descriptors).await?;
    Ok((call, descriptors))
}

/// Reads one frame; descriptors that come with it are closed.
pub(super) async fn read<T: DeserializeOwned>(stream: &UnixStream) -> Result<T, CniError> {
    read_with(stream, &mut Vec::new()).await
}

async fn read_with<T: DeserializeOwned>(
    stream: &UnixStream,
    descriptors: &mut Vec<OwnedFd>,
) -> Result<T, CniError> {
    let mut header = [0; HEADER_BYTES];
    fill(stream, &mut header, descriptors).await?;
    let length = wire::body_length(header)?;
    let mut body = Vec::new();
    while body.len() < length {
        let from = body.len();
        body.resize(length.min(from + STEP_BYTES), 0);
        fill(stream, &mut body[from..], descriptors).await?;
    }
    wire::decode(&body)
}

async fn fill(
    stream: &UnixStream,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<(), CniError> {
    let mut filled = 0;
    while filled < buffer.len() {
        let receive = || receive(stream.as_fd(), &mut buffer[filled..]).map_err(std::io::Error::from);
        let (count, received) =
            stream.async_io(Interest::READABLE, receive).await.map_err(|error| lost(&error))?;
        if count == 0 {
            return Err(lost(&Errno::ECONNRESET.into()));
        }
        filled += count;
        descriptors.extend(received);
    }
    Ok(())
}

/// Writes one frame.
pub(super) async fn write<T: Serialize>(stream: &UnixStream, message: &T) -> Result<(), CniError> {
    write_bytes(stream, &wire::encode(message)?).await
}

/// Writes what the socket takes now, from any thread, and returns what is left.
pub(super) fn write_now(stream: &UnixStream, mut frame: Vec<u8>) -> Vec<u8> {
    // What failed fails again where it is reported, on the server's thread.
    let written = stream.try_write(&frame).unwrap_or_default();
    frame.drain(..written);
    frame
}

/// Writes the bytes of a frame.
pub(super) async fn write_bytes(stream: &UnixStream, frame: &[u8]) -> Result<(), CniError> {
    let all = async {
        let mut written = 0;
        while written < frame.len() {
            stream.writable().await?;
            match stream.try_write(&frame[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    timeout(WRITE_WAIT, all)
        .await
        .unwrap_or_else(|_| Err(Errno::ETIMEDOUT.into()))
        .map_err(|error| lost(&error))
}
