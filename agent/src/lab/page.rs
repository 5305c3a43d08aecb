//! Pages of plexusd, asked for over HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::error::LabError;

const WAIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Status and body of a GET, asked by the calling thread in its network namespace.
pub fn get(address: &str, path: &str) -> Result<(u16, String), LabError> {
    let io = || LabError::io(format!("get {path} of {address}"));
    let mut stream = TcpStream::connect(address).map_err(io())?;
    stream.set_read_timeout(Some(WAIT)).map_err(io())?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").map_err(io())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).map_err(io())?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let unexpected = || LabError::Unexpected {
        what: format!("the answer to GET {path} of {address}"),
        expected: "HTTP with a status".into(),
        seen: answer.clone(),
    };
    Ok((status.ok_or_else(unexpected)?, body.to_owned()))
}
