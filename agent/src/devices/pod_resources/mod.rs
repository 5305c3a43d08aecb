//! The kubelet's PodResources service: which devices each pod of the node was given.
//!
//! Answers are shared. An ADD may use a `List` that was started after the ADD began, and never an older one: the kubelet
//! gives devices before it makes the sandbox, so what such a list lacks the pod does not have.

mod client;
mod message;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use plexus_cni::devices::PodDevices;
use tokio::runtime::Builder;
use tokio::sync::Notify;

use client::Client;
pub use message::{
    ContainerDevices, ContainerResources, ListPodResourcesRequest, ListPodResourcesResponse, PodResources,
};

/// Why the kubelet could not be asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("kubelet's PodResources service at {}: {why}", socket.display())]
pub struct PodResourcesError {
    socket: PathBuf,
    why: String,
}

/// The devices of all pods that have any, by namespace and name.
pub type Listing = HashMap<(String, String), PodDevices>;

type Outcome = Result<Arc<Listing>, PodResourcesError>;

/// Asks the kubelet on behalf of all workers, on a thread of its own that starts with the first question.
pub struct PodResourcesLister {
    socket: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// An outcome is there.
    answered: Condvar,
    /// A newer list is wanted, or none ever again.
    asked: Notify,
}

#[derive(Default)]
struct State {
    has_thread: bool,
    is_closed: bool,
    /// A list that was started then or later is wanted.
    wanted: Option<Instant>,
    /// When the latest list was started, and what came of it.
    latest: Option<(Instant, Outcome)>,
}

impl State {
    /// The latest outcome, if its list was not started before `began`.
    fn since(&self, began: Instant) -> Option<&Outcome> {
        self.latest.as_ref().filter(|(started, _)| *started >= began).map(|(_, outcome)| outcome)
    }
}

impl PodResourcesLister {
    /// A lister on this socket; nothing is connected yet.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), shared: Arc::default() }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A list that was started at `began` or later, waited for until `deadline`.
    pub fn list(&self, began: Instant, deadline: Instant) -> Outcome {
        let mut state = self.shared.lock();
        if !state.has_thread {
            self.start().map_err(|error| self.fails(format!("no thread for it can be started: {error}")))?;
            state.has_thread = true;
        }
        loop {
            if let Some(outcome) = state.since(began) {
                return outcome.clone();
            }
            state.wanted = state.wanted.max(Some(began));
            self.shared.asked.notify_one();
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Err(self.fails("there was no answer before the call's deadline".into()));
            }
            (state, _) =
                self.shared.answered.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn start(&self) -> std::io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (shared, client) = (Arc::clone(&self.shared), Client::new(&self.socket));
        // The runtime runs between questions, too: it notices when the kubelet closes the connection.
        let serve = move || runtime.block_on(serve(&shared, client));
        thread::Builder::new().name("pod-resources".into()).spawn(serve).map(drop)
    }

    fn fails(&self, why: String) -> PodResourcesError {
        PodResourcesError { socket: self.socket.clone(), why }
    }
}

impl Drop for PodResourcesLister {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.asked.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a list has to be started now: this moment.
    fn due(&self) -> Option<Instant> {
        let state = self.lock();
        let wanted = state.wanted.filter(|_| !state.is_closed)?;
        state.since(wanted).is_none().then(Instant::now)
    }
}

/// Makes one list after the other while one is wanted, until the lister is dropped.
async fn serve(shared: &Shared, mut client: Client) {
    while !shared.lock().is_closed {
        while let Some(started) = shared.due() {
            let outcome = client.list().await.map(|response| Arc::new(message::by_pod(response)));
            shared.lock().latest = Some((started, outcome));
            shared.answered.notify_all();
        }
        shared.asked.notified().await;
    }
}
