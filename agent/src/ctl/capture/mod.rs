//! `plexusctl capture`: a pod's frames as a pcapng file.

mod file;
mod signals;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Read as _, Write};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plexus_cni::wire::{self, Call, CaptureCall, CapturedFrame, Follow, HEADER_BYTES, Reply};
use serde_json::Value;

use self::file::CaptureFile;
use self::signals::Signals;
use super::ask;
use crate::seeing::filter::{Filter, FilterError};

/// What a filter looks at, in bytes of a frame.
const FILTER_BYTES: u32 = 128;
/// plexusd answers the end of a capture within this.
const END_WAIT: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 256 << 10;

/// What to capture, and whereto.
#[derive(Args)]
pub(super) struct Capture {
    /// `namespace/name`, `name` or a container id.
    pod: String,
    /// The interface in the pod.
    ifname: String,
    /// Which packets: `host ADDRESS`, `net PREFIX`, `port NUMBER`, each also with `src` or `dst` before it, `tcp`, `udp`,
    /// `icmp`, `icmp6`, `arp`, `ip`, `ip6`, joined by `and`, `or`, `not` and brackets.
    #[arg(long, value_parser = filter)]
    filter: Option<String>,
    /// Bytes of each packet to keep, at most 9216.
    #[arg(long, value_name = "BYTES", default_value_t = plexus_abi::CAPTURE_BYTES_MAX,
          value_parser = clap::value_parser!(u32).range(14..=i64::from(plexus_abi::CAPTURE_BYTES_MAX)))]
    snaplen: u32,
    /// End after so many packets.
    #[arg(long)]
    count: Option<u64>,
    /// End after so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: Option<u64>,
    /// The file to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    write: PathBuf,
}

/// A filter's text, if it is one.
fn filter(text: &str) -> Result<String, FilterError> {
    text.parse::<Filter>().map(|_| text.to_owned())
}

pub(super) fn run(capture: &Capture, socket: &Path) -> anyhow::Result<()> {
    let signals = Signals::hold()?;
    let call = CaptureCall {
        pod: capture.pod.clone(),
        ifname: capture.ifname.clone(),
        filter: capture.filter.clone(),
        bytes_wanted: if capture.filter.is_some() {
            capture.snaplen.max(FILTER_BYTES)
        } else {
            capture.snaplen
        },
    };
    let mut stream = ask::call(socket, &Call::Follow(Follow::Capture(call)))?;
    let about = match ask::read(&mut stream)? {
        Reply::Item(about) => about,
        Reply::Failed(error) => return Err(error.into()),
        _ => bail!("plexusd answered something else than a capture; are both of the same release?"),
    };
    let output: Box<dyn Write> = if capture.write == Path::new("-") {
        Box::new(std::io::stdout())
    } else {
        let file = File::create(&capture.write);
        Box::new(file.with_context(|| format!("cannot write {}", capture.write.display()))?)
    };
    let mut file = CaptureFile::begin(BufWriter::new(output), &about, capture.snaplen)?;
    file.flush()?;
    let end = Session { stream, capture, signals, pending: VecDeque::new() }.follow(&mut file)?;
    let lost = end["lost"].as_u64().unwrap_or_default();
    let written = file.end(lost)?;
    let why = end["end"].as_str().unwrap_or_default();
    eprintln!("{written} packets written, {lost} lost; the capture ended: {why}");
    Ok(())
}

/// A capture that runs.
struct Session<'a> {
    stream: UnixStream,
    capture: &'a Capture,
    signals: Signals,
    /// Bytes of replies that are not whole yet.
    pending: VecDeque<u8>,
}

impl Session<'_> {
    /// Writes what comes until the end, and returns what plexusd says of it.
    fn follow<W: Write>(&mut self, file: &mut CaptureFile<W>) -> anyhow::Result<Value> {
        let mut deadline = self.capture.duration.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let mut is_ending = false;
        loop {
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_ending && is_late {
                bail!("plexusd does not end the capture; its log tells why");
            }
            let is_full = self.capture.count.is_some_and(|count| file.written() >= count);
            if !is_ending && (is_late || is_full || self.signals.came()?) {
                is_ending = true;
                deadline = Some(Instant::now() + END_WAIT);
                self.stream.shutdown(Shutdown::Write).context("plexusd is gone")?;
            }
            self.read(deadline)?;
            while let Some(reply) = self.next()? {
                match reply {
                    Reply::Frame(_) if self.capture.count.is_some_and(|count| file.written() >= count) => {}
                    Reply::Frame(frame) => self.write(file, &frame)?,
                    Reply::Done(end) => return Ok(end),
                    Reply::Failed(error) => return Err(error.into()),
                    _ => {}
                }
            }
            file.flush()?;
        }
    }

    fn write<W: Write>(&self, file: &mut CaptureFile<W>, frame: &CapturedFrame) -> anyhow::Result<()> {
        file.write(frame, self.capture.snaplen)
    }

    /// Waits for bytes, a signal or the deadline.
    fn read(&mut self, deadline: Option<Instant>) -> anyhow::Result<()> {
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout =
            timeout.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let mut watched = [
            PollFd::new(self.stream.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut watched, timeout).context("cannot wait for packets")?;
        if watched[0].revents().is_none_or(|events| events.is_empty()) {
            return Ok(());
        }
        let mut bytes = vec![0; READ_BYTES];
        match self.stream.read(&mut bytes).context("plexusd is gone")? {
            0 => bail!("plexusd has ended"),
            count => self.pending.extend(&bytes[..count]),
        }
        Ok(())
    }

    /// The next whole reply.
    fn next(&mut self) -> anyhow::Result<Option<Reply>> {
        let Some(header) = self.pending.make_contiguous().first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let end = HEADER_BYTES + wire::body_length(*header)?;
        if self.pending.len() < end {
            return Ok(None);
        }
        let reply: Vec<u8> = self.pending.drain(..end).collect();
        Ok(Some(wire::decode(&reply[HEADER_BYTES..])?))
    }
}
