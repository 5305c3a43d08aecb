//! A kubelet that serves PodResources and nothing else.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use plexus_agent::devices::{
    ContainerDevices, ContainerResources, ListPodResourcesRequest, ListPodResourcesResponse, PodResources,
};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Context, Poll, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Devices by pod (`namespace/name`): resource and id.
type Held = BTreeMap<String, Vec<(String, String)>>;

/// A running kubelet; it ends when it is dropped, its socket file stays.
pub(crate) struct Kubelet {
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    held: Mutex<Held>,
    delay: Mutex<Duration>,
    /// Calls that are still to be refused, as by the rate limit.
    refusals: AtomicUsize,
    calls: AtomicUsize,
    /// Bytes that a device's id is padded to.
    padding: AtomicUsize,
}

impl Kubelet {
    /// Serves on `socket`, which must not exist.
    pub(crate) fn start(socket: &Path) -> Self {
        let shared = Arc::new(Shared::default());
        let (end, ended) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (service, socket) = (Lister(Arc::clone(&shared)), socket.to_owned());
        let serve = async move {
            let listener = UnixListener::bind(socket).unwrap();
            ready.send(()).unwrap();
            let incoming = futures_util::stream::unfold(listener, |listener| async move {
                Some((listener.accept().await.map(|(stream, _)| stream), listener))
            });
            let serving = Server::builder().add_service(service).serve_with_incoming(incoming);
            tokio::select! {
                outcome = serving => outcome.unwrap(),
                _ = ended => {}
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let thread = std::thread::spawn(move || runtime.block_on(serve));
        is_ready.recv().unwrap();
        Self { shared, end: Some(end), thread: Some(thread) }
    }

    /// Gives a pod (`namespace/name`) a device.
    pub(crate) fn give(&self, pod: &str, resource: &str, id: &str) {
        let mut held = self.shared.held.lock().unwrap();
        held.entry(pod.to_owned()).or_default().push((resource.to_owned(), id.to_owned()));
    }

    /// Takes this long for every answer from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap() = delay;
    }

    /// Refuses the next calls.
    pub(crate) fn refuse(&self, calls: usize) {
        self.shared.refusals.store(calls, Ordering::SeqCst);
    }

    /// Answers with about this many bytes from now on.
    pub(crate) fn pad(&self, bytes: usize) {
        self.shared.padding.store(bytes, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub(crate) fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        self.end.take().map(|end| end.send(()).ok());
        self.thread.take().map(|thread| thread.join().ok());
    }
}

#[derive(Clone)]
struct Lister(Arc<Shared>);

impl NamedService for Lister {
    const NAME: &'static str = "v1.PodResourcesLister";
}

impl Service<http::Request<Body>> for Lister {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        assert_eq!(request.uri().path(), "/v1.PodResourcesLister/List");
        let lister = self.clone();
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(lister, request).await) })
    }
}

impl UnaryService<ListPodResourcesRequest> for Lister {
    type Response = ListPodResourcesResponse;
    type Future = BoxFuture<Response<Self::Response>, Status>;

    fn call(&mut self, _: Request<ListPodResourcesRequest>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            // What is given while the answer is under way, which is from when the call counts, is not in it.
            let answer = list(&shared);
            shared.calls.fetch_add(1, Ordering::SeqCst);
            let is_refused = |left: usize| left.checked_sub(1);
            if shared.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_refused).is_ok() {
                return Err(Status::resource_exhausted("rejected by rate limit"));
            }
            let delay = *shared.delay.lock().unwrap();
            tokio::time::sleep(delay).await;
            Ok(Response::new(answer))
        })
    }
}

/// Each device in a container of its own, so that lists of several containers are joined.
fn list(shared: &Shared) -> ListPodResourcesResponse {
    let padding = shared.padding.load(Ordering::SeqCst);
    let container = |(resource, id): &(String, String)| ContainerResources {
        name: "main".into(),
        devices: vec![ContainerDevices {
            resource_name: resource.clone(),
            device_ids: vec![id.clone() + &"x".repeat(padding.saturating_sub(id.len()))],
        }],
    };
    let pod = |(pod, devices): (&String, &Vec<(String, String)>)| {
        let (namespace, name) = pod.split_once('/').unwrap();
        let containers = devices.iter().map(container).collect();
        PodResources { name: name.into(), namespace: namespace.into(), containers }
    };
    ListPodResourcesResponse { pod_resources: shared.held.lock().unwrap().iter().map(pod).collect() }
}
