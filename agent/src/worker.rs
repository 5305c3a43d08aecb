//! Worker threads: where a call's blocking work is done.
//!
//! The kernel serves netlink and bpf(2) inside the system call and may wait for RTNL there, and files are synced; a
//! bounded number of plain threads keeps that off the server's asynchronous ones and bounds contention for RTNL.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use plexus_cni::env::Command;
use plexus_cni::wire::CniCall;
use plexus_cni::{CniError, Code};
use serde_json::Value;

use crate::agent::Agent;
use crate::attach::{self, Request};
use crate::delegate::Delegates;
use crate::netlink::Netlink;
use crate::plugin::Sandbox;
use crate::spool;

/// Calls that may wait for a worker; more are told to try again.
const QUEUE_MAX: usize = 1024;

/// One call to serve.
pub struct Job {
    /// The call.
    pub call: CniCall,
    /// The namespace and the netlink socket inside it, as the shim passed them.
    pub descriptors: Option<(OwnedFd, OwnedFd)>,
    /// Executes foreign plugins.
    pub delegates: Box<dyn Delegates + Send>,
    /// Takes the answer.
    pub answer: Box<dyn FnOnce(Result<Value, CniError>) + Send>,
    /// When the call must have ended.
    pub deadline: Instant,
}

/// The threads' queue.
#[derive(Clone)]
pub struct Pool {
    queue: SyncSender<Job>,
}

impl Pool {
    /// Starts `workers` threads.
    pub fn start(agent: &Arc<Agent>, workers: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        for index in 0..workers {
            let (agent, jobs) = (Arc::clone(agent), Arc::clone(&jobs));
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .stack_size(1 << 20)
                .spawn(move || work(&agent, &jobs))?;
        }
        Ok(Self { queue })
    }

    /// Hands a job to the next free worker; with a full queue the runtime should try again.
    pub fn submit(&self, job: Job) -> Result<(), CniError> {
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => CniError::new(Code::TryAgain, format!("{QUEUE_MAX} calls are waiting"))
                .because("this node starts too many pods at once; the runtime tries again"),
            TrySendError::Disconnected(_) => {
                CniError::new(Code::Internal, "no worker is left; restart plexusd")
            }
        })
    }
}

fn work(agent: &Agent, jobs: &Mutex<Receiver<Job>>) {
    let mut host = None;
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let Job { call, descriptors, delegates, answer, deadline } = job;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let host = netlink(&mut host)?;
            let outcome = serve(agent, host, &call, descriptors, &*delegates, deadline);
            if call.command == Command::Del {
                // A shim is at hand: DELs that were kept for want of one go first come, first served.
                spool::replay(agent, host, &*delegates);
            }
            outcome
        }));
        answer(outcome.unwrap_or_else(|_| {
            Err(CniError::new(Code::Internal, format!("{} ended by a panic", call.command.as_str()))
                .because("this is a defect of plexusd; its log has the place, please report it"))
        }));
    }
}

/// The worker's own netlink socket, opened when it is first needed.
fn netlink(host: &mut Option<Netlink>) -> Result<&Netlink, CniError> {
    if host.is_none() {
        *host = Some(Netlink::open()?);
    }
    host.as_ref().ok_or_else(|| CniError::new(Code::Internal, "no netlink socket"))
}

/// Serves one call on this thread.
pub fn serve(
    agent: &Agent,
    host: &Netlink,
    call: &CniCall,
    descriptors: Option<(OwnedFd, OwnedFd)>,
    delegates: &dyn Delegates,
    deadline: Instant,
) -> Result<Value, CniError> {
    if Instant::now() >= deadline {
        return Err(CniError::new(Code::TryAgain, "the call waited too long for a worker"));
    }
    let path = call.netns.as_deref().unwrap_or_default();
    let sandbox =
        descriptors.map(|(netns, socket)| Sandbox::passed(host, path, netns, socket)).transpose()?;
    let request = Request::new(agent, host, call, sandbox, delegates, deadline)?;
    let outcome = attach::serve(&request);
    match &outcome {
        Ok(_) => tracing::info!(
            command = call.command.as_str(),
            container = call.container_id,
            ifname = call.ifname,
            "done"
        ),
        Err(error) => tracing::warn!(
            command = call.command.as_str(),
            container = call.container_id,
            ifname = call.ifname,
            code = error.code.number(),
            %error,
            "failed"
        ),
    }
    outcome
}
