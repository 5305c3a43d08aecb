//! Asks the agent over its socket, as plexusctl does.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use plexus_cni::wire::{Call, HEADER_BYTES, Query, Reply, body_length, decode, encode};
use serde_json::Value;

use super::LabError;

/// Sends one query and waits at most `limit` for each part of the answer.
pub fn ask(socket: &Path, query: &Query, limit: Duration) -> Result<Value, LabError> {
    let shown = socket.display();
    let io = |what: &str| LabError::io(format!("{what} {shown}"));
    let mut stream = UnixStream::connect(socket).map_err(io("connect to"))?;
    stream.set_read_timeout(Some(limit)).map_err(io("set the time limit of"))?;
    let unexpected = |seen: String| LabError::Unexpected {
        what: format!("the agent at {shown}"),
        expected: format!("an answer to {query:?}"),
        seen,
    };
    let frame = encode(&Call::Query(query.clone())).map_err(|error| unexpected(error.to_string()))?;
    stream.write_all(&frame).map_err(io("write to"))?;
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).map_err(io("read from"))?;
    let length = body_length(header).map_err(|error| unexpected(error.to_string()))?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(io("read from"))?;
    match decode(&body).map_err(|error| unexpected(error.to_string()))? {
        Reply::Done(answer) => Ok(answer),
        Reply::Failed(error) => Err(unexpected(error.to_string())),
        Reply::Exec(request) => Err(unexpected(format!("a wish to execute {}", request.plugin))),
        Reply::Sysctl(_) => Err(unexpected("a wish to set sysctls".into())),
        Reply::Item(_) | Reply::Frame(_) => Err(unexpected("what a follower gets".into())),
    }
}
