//! One call of a shim: the work goes to a worker, executions and sysctls come back to the shim.
//!
//! The worker writes the answer itself; only what the socket does not take at once is left to the server.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plexus_cni::limits::REQUEST_DEADLINE_MS;
use plexus_cni::sysctl::{SysctlOutcome, SysctlRequest};
use plexus_cni::wire::{self, CniCall, ExecOutcome, Reply};
use plexus_cni::{CniError, Code};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frame;
use crate::delegate::{Delegates, ExecCall, NoShim};
use crate::record::NetnsId;
use crate::worker::{Job, Pool};

/// How much longer than a plugin's own deadline its outcome is waited for.
const OUTCOME_GRACE: Duration = Duration::from_secs(2);

/// What a worker leaves to the server.
enum Outgoing {
    /// Something for the shim to do, as a frame; its outcome follows.
    Ask(Vec<u8>, Answer),
    /// What is left of the answer; then the conversation is over.
    Last(Result<Vec<u8>, CniError>),
}

/// Which outcome is awaited.
#[derive(Clone, Copy)]
enum Answer {
    Exec,
    Sysctl,
}

/// What the shim did.
enum Done {
    Exec(ExecOutcome),
    Sysctl(SysctlOutcome),
}

/// Serves one call to its end.
pub(super) async fn hold(
    stream: &Arc<UnixStream>,
    call: CniCall,
    descriptors: Vec<OwnedFd>,
    pool: &Pool,
    delegate_timeout: Duration,
) -> Result<(), CniError> {
    let (to_shim, mut from_worker) = mpsc::channel::<Outgoing>(1);
    let (to_worker, outcomes) = sync_channel::<Done>(1);
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(REQUEST_DEADLINE_MS);
    let (last, shim) = (to_shim.clone(), Arc::clone(stream));
    let descriptors = pair(descriptors);
    let passed = descriptors.as_ref().filter(|_| call.serves_sysctls);
    let netns = passed.map(|(netns, _)| NetnsId::of("", netns.as_fd())).transpose()?;
    let job = Job {
        call,
        descriptors,
        delegates: Box::new(ShimDelegates {
            to_shim,
            outcomes: Mutex::new(outcomes),
            deadline,
            delegate_timeout,
            netns,
        }),
        answer: Box::new(move |outcome: Result<Value, CniError>| {
            // A shim that has gone does not hear the answer; what was done is recorded, and its DEL comes.
            let answer = wire::encode(&outcome.map_or_else(Reply::Failed, Reply::Done));
            let rest = answer.map(|frame| frame::write_now(&shim, frame));
            drop(last.blocking_send(Outgoing::Last(rest)));
        }),
        begun,
        deadline,
    };
    if let Err(error) = pool.submit(job) {
        return frame::write(stream, &Reply::Failed(error)).await;
    }
    while let Some(outgoing) = from_worker.recv().await {
        match outgoing {
            Outgoing::Ask(frame, answer) => {
                frame::write_bytes(stream, &frame).await?;
                relay(stream, &to_worker, answer, delegate_timeout + OUTCOME_GRACE).await?;
            }
            Outgoing::Last(Ok(rest)) => return frame::write_bytes(stream, &rest).await,
            Outgoing::Last(Err(error)) => return frame::write(stream, &Reply::Failed(error)).await,
        }
    }
    frame::write(stream, &Reply::Failed(CniError::new(Code::Internal, "the worker gave no answer"))).await
}

/// Passes one outcome on; when the shim is lost, the worker is told by the closed channel.
async fn relay(
    stream: &UnixStream,
    to_worker: &SyncSender<Done>,
    answer: Answer,
    wait: Duration,
) -> Result<(), CniError> {
    let read = async {
        match answer {
            Answer::Exec => frame::read(stream).await.map(Done::Exec),
            Answer::Sysctl => frame::read(stream).await.map(Done::Sysctl),
        }
    };
    let done = timeout(wait, read).await.map_err(|_| CniError::new(Code::Io, "the shim is silent"))??;
    to_worker.try_send(done).map_err(|_| CniError::new(Code::Internal, "nobody waits for this outcome"))
}

/// The namespace and the socket, if the shim passed both.
fn pair(descriptors: Vec<OwnedFd>) -> Option<(OwnedFd, OwnedFd)> {
    let mut descriptors = descriptors.into_iter();
    Some((descriptors.next()?, descriptors.next()?))
}

/// The shim at the other end of this conversation.
struct ShimDelegates {
    to_shim: mpsc::Sender<Outgoing>,
    outcomes: Mutex<Receiver<Done>>,
    deadline: Instant,
    delegate_timeout: Duration,
    /// The namespace that it can enter for us.
    netns: Option<NetnsId>,
}

impl ShimDelegates {
    /// Has something done and waits for the outcome, as long as the shim may take and a little longer.
    fn ask(&self, request: &Reply, answer: Answer, wait_ms: u64) -> Result<Done, &'static str> {
        let frame = wire::encode(request).map_err(|_| "the request is too large")?;
        self.to_shim.blocking_send(Outgoing::Ask(frame, answer)).map_err(|_| "the shim has gone")?;
        let outcomes = self.outcomes.lock().map_err(|_| "an earlier request ended by a panic")?;
        let wait = Duration::from_millis(wait_ms) + 2 * OUTCOME_GRACE;
        outcomes.recv_timeout(wait).map_err(|_| "the shim ended or went silent while it ran")
    }

    fn left_ms(&self) -> u64 {
        let left = self.deadline.saturating_duration_since(Instant::now()).min(self.delegate_timeout);
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Delegates for ShimDelegates {
    fn exec(&self, call: &ExecCall<'_>) -> Result<Value, CniError> {
        let deadline_ms = self.left_ms();
        match self.ask(&Reply::Exec(call.request(deadline_ms)), Answer::Exec, deadline_ms) {
            Ok(Done::Exec(outcome)) => call.interpret(&outcome),
            other => {
                let why = other.err().unwrap_or("the shim answered something else");
                Err(CniError::new(
                    Code::DelegateFailed,
                    format!("plugin {} could not be executed", call.plugin),
                )
                .because(why))
            }
        }
    }

    fn sysctl(&self, netns: BorrowedFd<'_>, request: &SysctlRequest) -> Result<SysctlOutcome, CniError> {
        // A DEL from the spool is about another namespace than that of the call which it came along with.
        let is_passed = match &self.netns {
            Some(passed) => NetnsId::of("", netns)?.is_same(passed),
            None => false,
        };
        if !is_passed {
            return NoShim.sysctl(netns, request);
        }
        match self.ask(&Reply::Sysctl(request.clone()), Answer::Sysctl, self.left_ms()) {
            Ok(Done::Sysctl(outcome)) => Ok(outcome),
            other => {
                let why = other.err().unwrap_or("the shim answered something else");
                Err(CniError::new(Code::Io, "the shim could not be asked for sysctls").because(why))
            }
        }
    }
}
