//! One call of a shim: the work goes to a worker, executions come back to the shim.
//!
//! The worker writes the answer itself; only what the socket does not take at once is left to the server.

use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plexus_cni::limits::{DELEGATE_DEADLINE_MS, REQUEST_DEADLINE_MS};
use plexus_cni::wire::{self, CniCall, ExecOutcome, Reply};
use plexus_cni::{CniError, Code};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frame;
use crate::delegate::{Delegates, ExecCall};
use crate::worker::{Job, Pool};

/// How much longer than a plugin's own deadline its outcome is waited for.
const OUTCOME_GRACE: Duration = Duration::from_secs(2);

/// What a worker leaves to the server.
enum Outgoing {
    /// A plugin to execute, as a frame; its outcome follows.
    Exec(Vec<u8>),
    /// What is left of the answer; then the conversation is over.
    Last(Result<Vec<u8>, CniError>),
}

/// Serves one call to its end.
pub(super) async fn hold(
    stream: &Arc<UnixStream>,
    call: CniCall,
    descriptors: Vec<OwnedFd>,
    pool: &Pool,
) -> Result<(), CniError> {
    let (to_shim, mut from_worker) = mpsc::channel::<Outgoing>(1);
    let (to_worker, outcomes) = sync_channel::<ExecOutcome>(1);
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(REQUEST_DEADLINE_MS);
    let (last, shim) = (to_shim.clone(), Arc::clone(stream));
    let job = Job {
        call,
        descriptors: pair(descriptors),
        delegates: Box::new(ShimDelegates { to_shim, outcomes: Mutex::new(outcomes), deadline }),
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
            Outgoing::Exec(frame) => {
                frame::write_bytes(stream, &frame).await?;
                relay(stream, &to_worker).await?;
            }
            Outgoing::Last(Ok(rest)) => return frame::write_bytes(stream, &rest).await,
            Outgoing::Last(Err(error)) => return frame::write(stream, &Reply::Failed(error)).await,
        }
    }
    frame::write(stream, &Reply::Failed(CniError::new(Code::Internal, "the worker gave no answer"))).await
}

/// Passes one outcome on; when the shim is lost, the worker is told by the closed channel.
async fn relay(stream: &UnixStream, to_worker: &SyncSender<ExecOutcome>) -> Result<(), CniError> {
    let wait = Duration::from_millis(DELEGATE_DEADLINE_MS) + OUTCOME_GRACE;
    let outcome = timeout(wait, frame::read(stream))
        .await
        .map_err(|_| CniError::new(Code::Io, "the shim is silent"))??;
    to_worker.try_send(outcome).map_err(|_| CniError::new(Code::Internal, "nobody waits for this outcome"))
}

/// The namespace and the socket, if the shim passed both.
fn pair(descriptors: Vec<OwnedFd>) -> Option<(OwnedFd, OwnedFd)> {
    let mut descriptors = descriptors.into_iter();
    Some((descriptors.next()?, descriptors.next()?))
}

/// Plugins executed by the shim at the other end of this conversation.
struct ShimDelegates {
    to_shim: mpsc::Sender<Outgoing>,
    outcomes: Mutex<Receiver<ExecOutcome>>,
    deadline: Instant,
}

impl Delegates for ShimDelegates {
    fn exec(&self, call: &ExecCall<'_>) -> Result<Value, CniError> {
        let gone = |why: &str| {
            CniError::new(Code::DelegateFailed, format!("plugin {} could not be executed", call.plugin))
                .because(why.to_owned())
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let deadline_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).min(DELEGATE_DEADLINE_MS);
        let request = wire::encode(&Reply::Exec(call.request(deadline_ms)))?;
        self.to_shim.blocking_send(Outgoing::Exec(request)).map_err(|_| gone("the shim has gone"))?;
        let outcomes = self.outcomes.lock().map_err(|_| gone("an earlier execution ended by a panic"))?;
        let wait = Duration::from_millis(deadline_ms) + 2 * OUTCOME_GRACE;
        let outcome =
            outcomes.recv_timeout(wait).map_err(|_| gone("the shim ended or went silent while it ran"))?;
        call.interpret(&outcome)
    }
}
