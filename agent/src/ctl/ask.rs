//! One question over the agent's socket.

use std::io::{ErrorKind, Read as _, Write as _};
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
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "cannot reach plexusd at {}: is it running, and are you root? (--socket names another)",
            socket.display()
        )
    })?;
    stream.set_read_timeout(Some(ANSWER_WAIT))?;
    stream.set_write_timeout(Some(ANSWER_WAIT))?;
    match stream.write_all(&wire::encode(&Call::Query(query.clone()))?) {
        // Whom plexusd refuses it does not listen to: the refusal is there to be read.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        sent => sent.context("plexusd does not take the question")?,
    }
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).context("plexusd does not answer; its log tells why")?;
    let mut body = vec![0; wire::body_length(header)?];
    stream.read_exact(&mut body).context("plexusd's answer was cut off")?;
    match wire::decode(&body)? {
        Reply::Done(answer) => Ok(answer),
        Reply::Failed(error) => Err(error.into()),
        Reply::Exec(_) | Reply::Sysctl(_) => {
            bail!("plexusd asked plexusctl to do a shim's work; are both of the same release?")
        }
    }
}
