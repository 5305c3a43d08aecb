//! One question over the agent's socket.

use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use plexus_cni::wire::{self, Call, HEADER_BYTES, Query, Reply};
use serde_json::Value;

/// An agent that does not answer within this is said to hang.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Asks, and returns the answer's document.
pub(super) fn ask(socket: &Path, query: &Query) -> anyhow::Result<Value> {
    let mut stream = call(socket, &Call::Query(query.clone()))?;
    match read(&mut stream)? {
        Reply::Done(answer) => Ok(answer),
        Reply::Failed(error) => Err(error.into()),
        _ => bail!("plexusd answered something else than plexusctl asked; are both of the same release?"),
    }
}

/// Connects and says what is wanted.
pub(super) fn call(socket: &Path, call: &Call) -> anyhow::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "cannot reach plexusd at {}: is it running, and are you root? (--socket names another)",
            socket.display()
        )
    })?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.set_write_timeout(Some(ANSWER_WAIT))?;
    match stream.write_all(&wire::encode(call)?) {
        // Whom plexusd refuses it does not listen to: the refusal is there to be read.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        sent => sent.context("plexusd does not take the question")?,
    }
    Ok(stream)
}

/// Reads one reply.
pub(super) fn read(stream: &mut impl Read) -> anyhow::Result<Reply> {
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).context("plexusd does not answer; its log tells why")?;
    let mut body = vec![0; wire::body_length(header)?];
    stream.read_exact(&mut body).context("plexusd's answer was cut off")?;
    Ok(wire::decode(&body)?)
}
