//! What sender and receiver say to each other: one JSON document a line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest line.
const LINE_BYTES_MAX: u64 = 4096;
/// A trial lasts an hour at most, and the other side is silent meanwhile.
const SILENCE: Duration = Duration::from_secs(3700);

/// What the sender wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// Who the receiver is on the measured network.
    Station,
    /// Count frames of this trial from now on, for at most this long.
    Receive { trial: u16, limit_ms: u32 },
    /// The trial is over: what came?
    Finish,
}

/// What the receiver answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Answer {
    Station {
        mac: [u8; 6],
        ip: Ipv4Addr,
    },
    /// Frames are counted.
    Ready,
    Received {
        packets: u64,
        reordered: u64,
        found_no_room: u64,
        cpu_ns: u64,
    },
    /// Why it could not be done.
    Refused(String),
}

/// One side of the conversation.
pub(super) struct Control {
    stream: BufReader<TcpStream>,
}

impl Control {
    pub(super) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true).context("cannot set up the control connection")?;
        stream.set_read_timeout(Some(SILENCE)).context("cannot set up the control connection")?;
        stream.set_write_timeout(Some(SILENCE)).context("cannot set up the control connection")?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub(super) fn say<T: Serialize>(&mut self, message: &T) -> Result<()> {
        let mut line = serde_json::to_string(message).context("cannot write a message")?;
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).context("the other side does not listen")
    }

    /// The next message; nothing when the other side has hung up.
    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let mut line = String::new();
        let read = self.stream.by_ref().take(LINE_BYTES_MAX).read_line(&mut line);
        if read.context("the other side says nothing")? == 0 {
            return Ok(None);
        }
        parse(&line).map(Some)
    }

    /// Asks and waits for the answer.
    pub(super) fn ask(&mut self, request: Request) -> Result<Answer> {
        self.say(&request)?;
        match self.hear()? {
            Some(Answer::Refused(why)) => bail!("the receiver cannot: {why}"),
            Some(answer) => Ok(answer),
            None => bail!("the receiver has hung up; its output says why"),
        }
    }
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T> {
    let shown: String = line.chars().take(80).collect();
    serde_json::from_str(line).with_context(|| {
        format!("{shown:?} is no message of plexus-bench: both sides must be of the same version")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        for request in [Request::Station, Request::Receive { trial: 7, limit_ms: 900 }, Request::Finish] {
            assert_eq!(parse::<Request>(&serde_json::to_string(&request).unwrap()).unwrap(), request);
        }
        let answer = Answer::Station { mac: [2, 0, 0, 0, 0, 1], ip: Ipv4Addr::new(10, 0, 0, 1) };
        assert_eq!(parse::<Answer>(&serde_json::to_string(&answer).unwrap()).unwrap(), answer);
    }

    #[test]
    fn what_is_no_message_is_shown_and_cut() {
        let error = parse::<Request>(&"x".repeat(5000)).unwrap_err().to_string();
        assert!(error.contains("same version") && error.len() < 200, "{error}");
    }
}
