use std::sync::Mutex;

use plexus_cni::annotation::NETWORK_STATUS;
use plexus_cni::pod::Pod;
use serde_json::{Value, json};

use super::*;
use crate::cluster::{ApiError, PodEvent};

/// A pod in an API server that answers as it is told, in order, then well.
#[derive(Default)]
struct Server {
    answers: Mutex<Vec<ApiErrorKind>>,
    uid: Option<&'static str>,
    written: Mutex<Vec<String>>,
}

impl Writer for Server {
    fn annotate(&self, _: &PodKey, key: &str, text: &str, _: Instant) -> Result<(), ApiError> {
        assert_eq!(key, NETWORK_STATUS);
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() {
            self.written.lock().unwrap().push(text.to_owned());
            return Ok(());
        }
        let kind = answers.remove(0);
        Err(ApiError { kind, verb: "patch", resource: "pods/status", status: 0, why: "because".into() })
    }

    fn uid_now(&self, _: &PodKey, _: Instant) -> Result<Option<String>, ApiError> {
        Ok(self.uid.map(str::to_owned))
    }

    fn create_event(&self, _: &PodEvent, _: Instant) -> Result<(), ApiError> {
        Ok(())
    }

    fn repeat_event(&self, _: &PodEvent, _: Instant) -> Result<(), ApiError> {
        Ok(())
    }
}

fn record(status: &Value) -> Record {
    let attachment = json!({
        "owner": {"meta": {"ifname": "eth0"}}, "network": "n", "nad": null, "ifname": "net1", "isDefault": false,
        "config": {}, "cniVersion": "1.0.0", "runtimeConfig": {}, "args": "", "path": [], "portId": null,
        "ownsPort": false, "result": {}, "port": null, "status": status,
    });
    serde_json::from_value(json!({
        "version": 1, "bootId": "b", "containerId": "c", "netns": null, "pod": null, "attachments": [attachment],
    }))
    .unwrap()
}

fn elements() -> Value {
    json!([{"name": "lab", "interface": "eth0", "ips": ["10.0.0.2"], "dns": {}}])
}

fn publish(mode: StatusMode, server: Server) -> (Result<Published, CniError>, Arc<Server>, Publisher) {
    let server = Arc::new(server);
    let publisher = Publisher::new(mode, Some(Arc::clone(&server) as Arc<dyn Writer>));
    let pod = PodKey { namespace: "n".into(), name: "p".into(), uid: "u".into() };
    let outcome = publisher.write(&record(&elements()), &pod, Instant::now() + Duration::from_secs(10));
    (outcome, server, publisher)
}

fn answering(answers: &[ApiErrorKind]) -> Server {
    Server { answers: Mutex::new(answers.to_vec()), uid: Some("u"), ..Server::default() }
}

#[test]
fn the_recorded_elements_are_written_in_multus_layout() {
    let (outcome, server, _) = publish(StatusMode::Wait, answering(&[]));
    assert_eq!(outcome.unwrap(), Published::Now);
    let expected = "[{\n    \"name\": \"lab\",\n    \"interface\": \"eth0\",\n    \"ips\": [\n        \"10.0.0.2\"\n    ],\n    \"dns\": {}\n}]";
    assert_eq!(*server.written.lock().unwrap(), [expected]);
}

#[test]
fn a_conflict_is_tried_again() {
    let (outcome, server, _) =
        publish(StatusMode::Wait, answering(&[ApiErrorKind::Conflict, ApiErrorKind::Busy]));
    assert_eq!((outcome.unwrap(), server.written.lock().unwrap().len()), (Published::Now, 1));
}

#[test]
fn a_pod_that_was_replaced_or_deleted_fails_the_add() {
    for (kind, uid) in [
        (ApiErrorKind::Conflict, Some("other")),
        (ApiErrorKind::Invalid, None),
        (ApiErrorKind::NotFound, None),
    ] {
        let (outcome, ..) = publish(StatusMode::Wait, Server { uid, ..answering(&[kind]) });
        let error = outcome.unwrap_err();
        assert!(error.code == Code::PodNotFound && error.msg.contains("pod n/p"), "{error}");
    }
}

#[test]
fn a_text_that_is_refused_fails_the_add() {
    let (outcome, ..) = publish(StatusMode::Wait, answering(&[ApiErrorKind::Invalid]));
    assert_eq!(outcome.unwrap_err().code, Code::Internal);
}

#[test]
fn an_api_server_that_is_not_there_or_denies_it_does_not_stop_the_pod() {
    for kind in [ApiErrorKind::Unreachable, ApiErrorKind::Unauthorized, ApiErrorKind::Denied] {
        let (outcome, server, _) = publish(StatusMode::Wait, answering(&[kind; 3]));
        assert_eq!(outcome.unwrap(), Published::Later);
        assert!(server.written.lock().unwrap().is_empty());
    }
}

#[test]
fn after_nobody_answered_the_next_add_does_not_wait() {
    let (_, server, publisher) = publish(StatusMode::Wait, answering(&[ApiErrorKind::Unreachable; 2]));
    let pod = PodKey { namespace: "n".into(), name: "p".into(), uid: "u".into() };
    let again = publisher.write(&record(&elements()), &pod, Instant::now() + Duration::from_secs(10));
    assert_eq!(again.unwrap(), Published::Later);
    assert!(server.written.lock().unwrap().is_empty());
    publisher.silence(None);
    let again = publisher.write(&record(&elements()), &pod, Instant::now() + Duration::from_secs(10));
    assert_eq!(again.unwrap(), Published::Now);
}

#[test]
fn in_the_background_nothing_is_waited_for() {
    let (outcome, server, publisher) = publish(StatusMode::Background, answering(&[]));
    assert_eq!(outcome.unwrap(), Published::Later);
    assert!(server.written.lock().unwrap().is_empty());
    publisher.later("c");
    assert_eq!(publisher.waiting(), 1);
}

#[test]
fn without_a_cluster_nothing_is_published() {
    let publisher = Publisher::new(StatusMode::Background, None);
    let pod = PodKey { namespace: "n".into(), name: "p".into(), uid: "u".into() };
    let outcome = publisher.write(&record(&elements()), &pod, Instant::now()).unwrap();
    publisher.later("c");
    assert_eq!((outcome, publisher.waiting()), (Published::Now, 0));
}

#[test]
fn what_others_wrote_beside_our_elements_counts_as_written() {
    let says = |text: &str| {
        let annotations = [(NETWORK_STATUS.to_owned(), text.to_owned())].into();
        annotation::is_written(&Pod { annotations, ..Pod::default() }, &record(&elements()))
    };
    let hot_plugged = json!({"name": "default/late", "interface": "net7"});
    assert!(says(&annotation::text(&record(&elements())).unwrap()));
    assert!(says(&json!([elements()[0], hot_plugged]).to_string()));
    assert!(!says(&json!([hot_plugged]).to_string()) && !says("") && !says("{"));
}
