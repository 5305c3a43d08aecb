//! The receiver: counts frames, sends datagrams back, and says what came.

use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::control::{Answer, Control, Request};
use super::{ECHO_PORT, interface};
use crate::args::PairOptions;
use crate::packets::echo;
use crate::packets::end::End;
use crate::scenario::receive::{Received, receive};
use crate::scenario::socket::Inlet;
use crate::screen::Screen;

/// How often a new sender is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Serves one sender after the other until none has come for `--idle-s`.
pub(super) fn serve(options: &PairOptions, screen: &Screen) -> Result<ExitCode> {
    let end = interface(&options.interface)?;
    let listener =
        TcpListener::bind(options.listen).with_context(|| format!("cannot listen at {}", options.listen))?;
    listener.set_nonblocking(true).context("cannot listen without waiting")?;
    screen.note(&format!("receiver on {} ({}), control at {}", end.device, end.ip, options.listen));
    let idle_max = Duration::from_secs(options.idle_s);
    let mut idle_since = Instant::now();
    while idle_since.elapsed() < idle_max {
        match listener.accept() {
            Ok((stream, peer)) => {
                screen.note(&format!("sender {peer}"));
                let outcome = stream
                    .set_nonblocking(false)
                    .context("cannot set up the control connection")
                    .and_then(|()| Control::new(stream))
                    .and_then(|control| converse(control, &end));
                // A sender that breaks off must not end the receiver.
                if let Err(error) = outcome {
                    screen.note(&format!("sender {peer}: {error:#}"));
                }
                idle_since = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK_EVERY),
            Err(error) => return Err(error).context("cannot accept a sender"),
        }
    }
    screen.note(&format!("no sender for {} s", options.idle_s));
    Ok(ExitCode::SUCCESS)
}

/// A trial that is being received.
struct Trial {
    is_done: Arc<AtomicBool>,
    thread: JoinHandle<Result<Received>>,
}

impl Trial {
    fn begin(end: &End, trial: u16, limit: Duration) -> Result<Self> {
        let mut inlet = Inlet::packet(&end.device)
            .with_context(|| format!("cannot receive frames on {} (CAP_NET_RAW is needed)", end.device))?;
        let is_done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_done);
        let thread = thread::spawn(move || receive(&mut inlet, trial, &flag, limit));
        Ok(Self { is_done, thread })
    }

    fn end(self) -> Result<Received> {
        self.is_done.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the receiving thread panicked"))?
    }
}

fn converse(mut control: Control, end: &End) -> Result<()> {
    let echoing =
        UdpSocket::bind(end.at(ECHO_PORT)).with_context(|| format!("cannot bind {}", end.at(ECHO_PORT)))?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| echo::answer_datagrams(&echoing, &is_over));
        let mut trial = None;
        let outcome = loop {
            match control.hear::<Request>() {
                Ok(Some(request)) => {
                    let answer = answer(request, end, &mut trial)
                        .unwrap_or_else(|error| Answer::Refused(format!("{error:#}")));
                    if let Err(error) = control.say(&answer) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        is_over.store(true, Ordering::Release);
        trial.map_or(Ok(()), |trial: Trial| trial.end().map(drop)).and(outcome)
    })
}

fn answer(request: Request, end: &End, trial: &mut Option<Trial>) -> Result<Answer> {
    match request {
        Request::Station => Ok(Answer::Station { mac: end.mac, ip: end.ip }),
        Request::Receive { trial: number, limit_ms } => {
            if let Some(before) = trial.take() {
                before.end()?;
            }
            *trial = Some(Trial::begin(end, number, Duration::from_millis(limit_ms.into()))?);
            Ok(Answer::Ready)
        }
        Request::Finish => {
            let received = trial.take().context("no trial was begun")?.end()?;
            Ok(Answer::Received {
                packets: received.packets,
                reordered: received.reordered,
                found_no_room: received.found_no_room,
                cpu_ns: u64::try_from(received.cpu.as_nanos()).unwrap_or(u64::MAX),
            })
        }
    }
}
