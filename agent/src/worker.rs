//! Worker threads: where a call's blocking work is done.
//!
//! The kernel serves netlink and bpf(2) inside the system call and may wait for RTNL there, and files are synced; a
//! bounded number of plain threads keeps that off the server's asynchronous ones and bounds contention for RTNL.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use plexus_cni::env::Command;
use plexus_cni::meta::META_TYPE;
use plexus_cni::wire::CniCall;
use plexus_cni::{CniError, Code};
use serde_json::Value;

use crate::agent::Agent;
use crate::attach::{self, Request};
use crate::delegate::Delegates;
use crate::netlink::Netlink;
use crate::plugin::Sandbox;
use crate::queue::Queue;
use crate::spool;

/// Calls that may wait for a worker; more are told to try again.
const QUEUE_MAX: usize = 1024;
/// The plugin of a call that cannot be read, in metrics.
const UNKNOWN: &str = "unknown";

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
    /// When the call came.
    pub begun: Instant,
    /// When the call must have ended.
    pub deadline: Instant,
}

/// The threads and their queue.
#[derive(Clone)]
pub struct Pool {
    queue: Arc<Queue<Job>>,
    workers: usize,
}

impl Pool {
    /// Starts `workers` threads.
    pub fn start(agent: &Arc<Agent>, workers: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(QUEUE_MAX));
        for index in 0..workers {
            let (agent, queue) = (Arc::clone(agent), Arc::clone(&queue));
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .stack_size(1 << 20)
                .spawn(move || work(&agent, &queue))?;
        }
        Ok(Self { queue, workers })
    }

    /// How many threads there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// How many of them serve a call.
    pub fn busy(&self) -> usize {
        self.workers.saturating_sub(self.queue.idle())
    }

    /// Calls that wait for one.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Hands a job to the next free worker; with a full queue the runtime should try again.
    pub fn submit(&self, job: Job) -> Result<(), CniError> {
        self.queue.submit(job).map_err(|_| {
            CniError::new(Code::TryAgain, format!("{QUEUE_MAX} calls are waiting"))
                .because("this node starts too many pods at once; the runtime tries again")
        })
    }
}

/// Serves jobs until the process ends.
fn work(agent: &Agent, queue: &Queue<Job>) {
    let mut host = None;
    let seat = Arc::default();
    loop {
        let Job { call, descriptors, delegates, answer, begun, deadline } = queue.next(&seat);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let host = netlink(&mut host)?;
            let outcome = serve(agent, host, &call, descriptors, &*delegates, begun, deadline);
            if call.command == Command::Del {
                // A shim is at hand: DELs that were kept for want of one go first come, first served.
                spool::replay(agent, host, &*delegates);
            }
            outcome
        }));
        let outcome = outcome.unwrap_or_else(|_| {
            Err(CniError::new(Code::Internal, format!("{} ended by a panic", call.command.as_str()))
                .because("this is a defect of plexusd; its log has the place, please report it"))
        });
        let error = outcome.as_ref().err().cloned();
        answer(outcome);
        // Nobody waits for the log.
        log(&call, error.as_ref());
    }
}

/// The worker's own netlink socket, opened when it is first needed.
fn netlink(host: &mut Option<Netlink>) -> Result<&Netlink, CniError> {
    if host.is_none() {
        *host = Some(Netlink::open()?);
    }
    host.as_ref().ok_or_else(|| CniError::new(Code::Internal, "no netlink socket"))
}

/// Serves one call, which came at `begun`, on this thread.
pub fn serve(
    agent: &Agent,
    host: &Netlink,
    call: &CniCall,
    descriptors: Option<(OwnedFd, OwnedFd)>,
    delegates: &dyn Delegates,
    begun: Instant,
    deadline: Instant,
) -> Result<Value, CniError> {
    let mut plugin = UNKNOWN.to_owned();
    let outcome = attend(agent, host, call, descriptors, delegates, deadline, &mut plugin);
    agent.requests.call_ended(call.command.as_str(), &plugin, begun, &outcome);
    outcome
}

/// Serves the call; `plugin` becomes the type that was called, once that is known.
fn attend(
    agent: &Agent,
    host: &Netlink,
    call: &CniCall,
    descriptors: Option<(OwnedFd, OwnedFd)>,
    delegates: &dyn Delegates,
    deadline: Instant,
    plugin: &mut String,
) -> Result<Value, CniError> {
    if Instant::now() >= deadline {
        return Err(CniError::new(Code::TryAgain, "the call waited too long for a worker"));
    }
    let path = call.netns.as_deref().unwrap_or_default();
    let sandbox = descriptors.map(|(netns, socket)| Sandbox::passed(path, netns, socket)).transpose()?;
    let request = Request::new(agent, host, call, sandbox, delegates, deadline)?;
    let called = if request.is_meta() { META_TYPE } else { request.plugin_type() };
    called.clone_into(plugin);
    attach::serve(&request)
}

/// Tells how a call ended.
pub fn log(call: &CniCall, error: Option<&CniError>) {
    let (command, container, ifname) = (call.command.as_str(), &call.container_id, &call.ifname);
    match error {
        None => tracing::info!(command, container, ifname, "done"),
        Some(error) => {
            tracing::warn!(command, container, ifname, code = error.code.number(), %error, "failed");
        }
    }
}
