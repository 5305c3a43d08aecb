//! An agent that follows a script.

use std::io::{IoSliceMut, Read, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, NetlinkAddr, bind, recvmsg};
use serde::de::DeserializeOwned;
use serde_json::Value;

use plexus_cni::sysctl::{SysctlOutcome, SysctlRequest};
use plexus_cni::wire::Call;
use plexus_cni::wire::{CniCall, ExecOutcome, ExecRequest, HEADER_BYTES, Reply, body_length, decode, encode};
use plexus_cni::{CniError, Code};

/// Longer than any test waits.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the agent does next on a connection, after it has read the call.
pub(crate) enum Step {
    /// Has a plugin executed, and keeps the outcome.
    Exec(ExecRequest),
    /// Has sysctls read and written, and keeps the outcome.
    Sysctl(SysctlRequest),
    /// Succeeds.
    Done(Value),
    /// Fails.
    Failed(Code, &'static str),
    /// Sends bytes that are no frame.
    Raw(Vec<u8>),
    /// Says nothing until the shim gives up.
    Stall,
    /// Closes the connection.
    Close,
}

/// What the agent saw on one connection.
pub(crate) struct Seen {
    /// The call.
    pub(crate) call: CniCall,
    /// The descriptors that came with it.
    pub(crate) fds: Vec<PassedFd>,
    /// How executed plugins ended.
    pub(crate) outcomes: Vec<ExecOutcome>,
    /// What became of sysctls.
    pub(crate) sysctls: Vec<SysctlOutcome>,
}

/// A descriptor that the shim passed, open as long as the value lives.
pub(crate) struct PassedFd(RawFd);

impl PassedFd {
    /// What it is, as /proc names it.
    pub(crate) fn link(&self) -> String {
        std::fs::read_link(format!("/proc/self/fd/{}", self.0)).unwrap().to_string_lossy().into_owned()
    }

    /// Gives the netlink socket an address, so that /proc/net/netlink lists it.
    pub(crate) fn bind(&self) {
        bind(self.0, &NetlinkAddr::new(0, 0)).unwrap();
    }
}

impl Drop for PassedFd {
    fn drop(&mut self) {
        nix::unistd::close(self.0).unwrap();
    }
}

/// The agent; it serves one connection for each script, in order.
pub(crate) struct FakeAgent {
    seen: Receiver<Seen>,
}

impl FakeAgent {
    /// Listens at `socket`.
    pub(crate) fn listen(socket: &Path, scripts: Vec<Vec<Step>>) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let (sender, seen) = channel();
        thread::spawn(move || serve(&listener, scripts, &sender));
        Self { seen }
    }

    /// What was seen on the next connection, once it is over.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the shim asked the agent")
    }

    /// Whether no connection was made; the shim must have ended.
    pub(crate) fn saw_nothing(&self) -> bool {
        self.seen.try_recv().is_err()
    }
}

fn serve(listener: &UnixListener, scripts: Vec<Vec<Step>>, sender: &Sender<Seen>) {
    for script in scripts {
        let (stream, _) = listener.accept().unwrap();
        let seen = converse(stream, script);
        // The test may be over already.
        drop(sender.send(seen));
    }
}

fn converse(mut stream: UnixStream, script: Vec<Step>) -> Seen {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (call, fds) = receive_call(&mut stream);
    let mut seen = Seen { call, fds, outcomes: Vec::new(), sysctls: Vec::new() };
    for step in script {
        match step {
            Step::Exec(request) => seen.outcomes.push(ask(&mut stream, &Reply::Exec(request))),
            Step::Sysctl(request) => seen.sysctls.push(ask(&mut stream, &Reply::Sysctl(request))),
            Step::Done(result) => stream.write_all(&encode(&Reply::Done(result)).unwrap()).unwrap(),
            Step::Failed(code, msg) => {
                stream.write_all(&encode(&Reply::Failed(CniError::new(code, msg))).unwrap()).unwrap();
            }
            Step::Raw(bytes) => stream.write_all(&bytes).unwrap(),
            Step::Stall => assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "the shim says nothing more"),
            Step::Close => return seen,
        }
    }
    seen
}

/// Asks the shim and reads its answer.
fn ask<T: DeserializeOwned>(stream: &mut UnixStream, request: &Reply) -> T {
    stream.write_all(&encode(request).unwrap()).unwrap();
    let mut header = [0; HEADER_BYTES];
    stream.read_exact(&mut header).unwrap();
    let mut body = vec![0; body_length(header).unwrap()];
    stream.read_exact(&mut body).unwrap();
    decode(&body).unwrap()
}

/// Reads the first frame, and what descriptors came with its first byte.
fn receive_call(stream: &mut UnixStream) -> (CniCall, Vec<PassedFd>) {
    let mut first = [0];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let raw: Vec<RawFd> = {
        let mut buffers = [IoSliceMut::new(&mut first)];
        let message =
            recvmsg::<()>(stream.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
                .unwrap();
        assert_eq!(message.bytes, 1, "the shim sends a call");
        let rights = message.cmsgs().unwrap().filter_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => Some(fds),
            _ => None,
        });
        rights.flatten().collect()
    };
    let fds = raw.into_iter().map(PassedFd).collect();
    let mut rest = [0; HEADER_BYTES - 1];
    stream.read_exact(&mut rest).unwrap();
    let mut body = vec![0; body_length([first[0], rest[0], rest[1], rest[2]]).unwrap()];
    stream.read_exact(&mut body).unwrap();
    match decode(&body).unwrap() {
        Call::Cni(call) => (call, fds),
        Call::Query(query) => panic!("the shim asked {query:?}"),
        Call::Follow(follow) => panic!("the shim follows {follow:?}"),
    }
}
