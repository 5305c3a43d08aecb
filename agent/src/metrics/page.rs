//! The page over HTTP: `/metrics`, `/healthz`, `/readyz`.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::Node;
use super::listener::Bounded;
use super::readiness::Readiness;

/// What the page is, as Prometheus knows it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Scrapes at once; more are told to come back.
const SCRAPES_MAX: usize = 2;

/// The page, which is there before the agent is.
pub struct Page {
    scrapes: Semaphore,
    readiness: Readiness,
    served: OnceLock<Served>,
    multus_names: bool,
}

/// What there is once the agent serves.
struct Served {
    node: Arc<Node>,
    registry: Registry,
}

/// Listens on `address`, and serves the page from now on.
pub async fn bind(address: SocketAddr, page: &Arc<Page>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve metrics on {address}; give another --metrics"))?;
    let bound = listener.local_addr()?;
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Arc::clone(page));
    tokio::spawn(axum::serve(Bounded::new(listener), router).into_future());
    Ok(bound)
}

impl Page {
    /// A page that says that the agent is starting; `multus_names` adds what Multus counts, under its names.
    pub fn new(multus_names: bool) -> Self {
        Self {
            scrapes: Semaphore::new(SCRAPES_MAX),
            readiness: Readiness::default(),
            served: OnceLock::new(),
            multus_names,
        }
    }

    /// The agent serves.
    pub fn serve(&self, node: Node) {
        let node = Arc::new(node);
        let mut registry = Registry::default();
        node.requests().register(&mut registry, self.multus_names);
        registry.register_collector(Box::new(Arc::clone(&node)));
        self.served.get_or_init(|| Served { node, registry });
        self.readiness.start();
    }

    /// The process ends: no more calls should come.
    pub fn stop(&self) {
        self.readiness.stop();
    }

    /// The page's text; `None` before the agent serves.
    fn text(&self) -> Option<String> {
        let mut text = String::new();
        // A String takes whatever is written.
        encode(&mut text, &self.served.get()?.registry).ok()?;
        Some(text)
    }

    fn count(&self, handler: &'static str, is_ok: bool) {
        if let Some(served) = self.served.get() {
            served.node.requests().multus(handler, is_ok, "get");
        }
    }
}

/// Collected on a thread of its own: it takes the data plane's lock and reads directories, and the server must not stand
/// still meanwhile.
async fn metrics(State(page): State<Arc<Page>>) -> Response {
    let Ok(_place) = page.scrapes.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once\n").into_response();
    };
    let collecting = Arc::clone(&page);
    match tokio::task::spawn_blocking(move || collecting.text()).await {
        Ok(Some(text)) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Ok(None) => (StatusCode::SERVICE_UNAVAILABLE, "plexusd is starting\n").into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the scrape ended by a panic\n").into_response(),
    }
}

/// The process answers; that it waits for a cluster is no reason to restart it.
async fn healthz(State(page): State<Arc<Page>>) -> &'static str {
    page.count("/healthz", true);
    "ok\n"
}

async fn readyz(State(page): State<Arc<Page>>) -> Response {
    let node = page.served.get().map(|served| &served.node);
    let refusal = page.readiness.refusal(node.and_then(|node| node.catalog()));
    let refusal = refusal.or_else(|| node?.conflist_refusal());
    page.count("/readyz", refusal.is_none());
    match refusal {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response(),
    }
}
