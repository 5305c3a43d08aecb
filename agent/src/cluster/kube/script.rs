//! A stand-in for the API server: it answers as a test says, and notes what was asked.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::session::Connect;
use super::{ApiServer, start_with};
use crate::cluster::{Calls, Catalog};

/// What is answered.
pub(super) enum Reply {
    /// A status and a document.
    Json(u16, Value),
    /// A watch: these lines, then its end.
    Lines(String),
    /// Nothing at all.
    Silence,
}

/// A request as the stand-in sees it.
pub(super) struct Asked {
    /// `GET /api/v1/pods?watch=true`
    pub(super) what: String,
    pub(super) body: String,
    /// How many clients were made before the one that asks.
    pub(super) client: usize,
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A followed cluster whose server is a script.
pub(super) struct Stage {
    pub(super) catalog: Arc<Catalog>,
    pub(super) api: Arc<ApiServer>,
    pub(super) calls: Arc<Calls>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    pub(super) fn open(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let (catalog, calls) = (Arc::new(Catalog::default()), Arc::new(Calls::default()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connect = connect(Arc::new(script), Arc::clone(&asked));
        let api = start_with(connect, "node-1".into(), "wb".into(), &catalog, &calls).unwrap();
        Self { catalog, api, calls, asked }
    }

    /// Requests so far that hold all of `words`.
    pub(super) fn asked(&self, words: &[&str]) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|what| words.iter().all(|word| what.contains(word))).count()
    }
}

fn connect(script: Arc<Script>, asked: Arc<Mutex<Vec<String>>>) -> Connect {
    let clients = Mutex::new(0);
    Box::new(move || {
        let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
        let mut clients = clients.lock().unwrap();
        let client = *clients;
        *clients += 1;
        let serve = move |request: Request<Body>| {
            let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
            async move {
                let what = format!("{} {}", request.method(), request.uri());
                let body = request.into_body().collect_bytes().await?;
                let body = String::from_utf8_lossy(&body).into_owned();
                asked.lock().unwrap().push(what.clone());
                let (status, text) = match script(&Asked { what, body, client }) {
                    Reply::Json(status, document) => (status, document.to_string()),
                    Reply::Lines(text) => (200, text),
                    Reply::Silence => return std::future::pending().await,
                };
                let response = Response::builder().status(status).body(Body::from(text.into_bytes()));
                response.map_err(tower::BoxError::from)
            }
        };
        Box::pin(async move { Ok(kube::Client::new(tower::service_fn(serve), "default")) })
    })
}

/// A list of one page.
pub(super) fn list(version: &str, items: &[Value]) -> Reply {
    Reply::Json(200, json!({"metadata": {"resourceVersion": version}, "items": items}))
}

/// The API server's way to refuse.
pub(super) fn refusal(code: u16, message: &str) -> Reply {
    Reply::Json(code, status(code, message))
}

pub(super) fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": "r", "code": code})
}

/// A pod of namespace `n`.
pub(super) fn pod(name: &str, version: &str) -> Value {
    json!({"metadata": {"namespace": "n", "name": name, "uid": format!("uid-{name}"), "resourceVersion": version}})
}

/// One line of a watch.
pub(super) fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

/// Waits, at most ten seconds, until `done`.
pub(super) fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
