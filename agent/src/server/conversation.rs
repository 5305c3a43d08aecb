//! One call of a shim: the work goes to a worker, executions come back to the shim.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use plexus_cni::limits::{DELEGATE_DEADLINE_MS, REQUEST_DEADLINE_MS};
use plexus_cni::wire::{CniCall, ExecOutcome, Reply};
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

/// Serves one call to its end.
pub(super) async fn hold(
    stream: &UnixStream,
    call: CniCall,
    descriptors: Vec<OwnedFd>,
    pool: &Pool,
) -> Result<(), CniError> {
    let (to_shim, mut from_worker) = mpsc::channel::<Reply>(1);
    let (to_worker, outcomes) = sync_channel::<ExecOutcome>(1);
    let deadline = Instant::now() + Duration::from_millis(REQUEST_DEADLINE_MS);
    let last = to_shim.clone();
    let job = Job {
        call,
        descriptors: pair(descriptors),
        delegates: Box::new(ShimDelegates { to_shim, outcomes: Mutex::new(outcomes), deadline }),
        answer: Box::new(move |outcome: Result<Value, CniError>| {
            // A shim that has gone does not hear the answer; what was done is recorded, and its DEL comes.
            drop(last.blocking_send(outcome.map_or_else(Reply::Failed, Reply::Done)));
        }),
        deadline,
    };
    if let Err(error) = pool.submit(job) {
        return frame::write(stream, &Reply::Failed(error)).await;
    }
    while let Some(reply) = from_worker.recv().await {
        frame::write(stream, &reply).await?;
        if !matches!(reply, Reply::Exec(_)) {
            return Ok(());
        }
        relay(stream, &to_worker).await?;
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
    to_shim: mpsc::Sender<Reply>,
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
        let request = Reply::Exec(call.request(deadline_ms));
        self.to_shim.blocking_send(request).map_err(|_| gone("the shim has gone"))?;
        let outcomes = self.outcomes.lock().map_err(|_| gone("an earlier execution ended by a panic"))?;
        let wait = Duration::from_millis(deadline_ms) + 2 * OUTCOME_GRACE;
        let outcome =
            outcomes.recv_timeout(wait).map_err(|_| gone("the shim ended or went silent while it ran"))?;
        call.interpret(&outcome)
    }
}
