use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use plexus_cni::Code;
use serde_json::{Value, json};

use super::ApiErrorKind;
use super::script::{Asked, Reply, Stage, event, eventually, list, pod, refusal, status};
use crate::cluster::{Call, PodEvent, PodKey, Reader as _, Writer as _};

/// Networks: none, and nothing happens.
fn no_networks(asked: &Asked) -> Option<Reply> {
    let is_about_networks = asked.what.contains("network-attachment-definitions");
    is_about_networks.then(|| if asked.what.contains("watch=") { Reply::Silence } else { list("1", &[]) })
}

fn names(stage: &Stage) -> Vec<String> {
    let mut names: Vec<_> = stage.catalog.pods.all().iter().map(|pod| pod.name.clone()).collect();
    names.sort();
    names
}

fn has_names(stage: &Stage, expected: &[&str]) {
    eventually(&format!("pods {expected:?}"), || names(stage) == expected);
}

#[test]
fn a_list_comes_in_pages_and_the_watch_goes_on_from_it() {
    let stage = Stage::open(|asked| {
        if asked.what.contains("/pods") && !asked.what.contains("spec.nodeName%3Dnode-1") {
            return refusal(400, "no field selector");
        }
        no_networks(asked).unwrap_or_else(|| match &*asked.what {
            what if what.contains("resourceVersion=7") => Reply::Lines(
                event("ADDED", &pod("c", "8"))
                    + &event("DELETED", &pod("a", "9"))
                    + &event(
                        "BOOKMARK",
                        &json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "12"}}),
                    ),
            ),
            what if what.contains("watch=") => Reply::Silence,
            what if what.contains("continue=next") => list("7", &[pod("b", "4")]),
            _ => Reply::Json(
                200,
                json!({"metadata": {"resourceVersion": "7", "continue": "next"}, "items": [pod("a", "3")]}),
            ),
        })
    });
    has_names(&stage, &["b", "c"]);
    eventually("a watch from the bookmark", || stage.asked(&["/pods", "resourceVersion=12"]) == 1);
    assert!(stage.catalog.is_synced());
    assert_eq!(stage.asked(&["/pods?", "resourceVersion=0"]), 1, "the first page, from the server's cache");
    assert_eq!(stage.asked(&["/pods?", "continue=next", "resourceVersion=0"]), 0);
    let listed = Call { verb: "list", resource: "pods", code: 200 };
    assert!(stage.calls.all().contains(&(listed, 2)));
}

#[test]
fn a_watch_that_is_cut_in_the_middle_goes_on_from_what_was_seen() {
    let stage = Stage::open(|asked| {
        no_networks(asked).unwrap_or_else(|| match &*asked.what {
            what if what.contains("resourceVersion=1&") || what.ends_with("resourceVersion=1") => {
                Reply::Lines(event("ADDED", &pod("a", "2")) + "{\"type\": \"ADDED\", \"obj")
            }
            what if what.contains("resourceVersion=2") => Reply::Lines(event("ADDED", &pod("b", "3"))),
            what if what.contains("watch=") => Reply::Silence,
            _ => list("1", &[]),
        })
    });
    has_names(&stage, &["a", "b"]);
    assert_eq!(stage.catalog.pods_feed.state().lists, 1);
}

#[test]
fn a_version_that_is_too_old_means_reading_everything_again() {
    for as_event in [true, false] {
        let listed = AtomicBool::new(false);
        let stage = Stage::open(move |asked| {
            no_networks(asked).unwrap_or_else(|| match (&*asked.what, as_event) {
                (what, true) if what.contains("resourceVersion=1") => {
                    Reply::Lines(event("ERROR", &status(410, "too old resource version")))
                }
                (what, false) if what.contains("resourceVersion=1") => refusal(410, "too old"),
                (what, _) if what.contains("watch=") => Reply::Silence,
                _ => Reply::Json(
                    200,
                    // The second list is another one: the first version is never given again.
                    json!({"metadata": {"resourceVersion": if listed.swap(true, Ordering::Relaxed) { "5" } else { "1" }},
                           "items": [pod("a", "1")]}),
                ),
            })
        });
        eventually("a second list", || stage.catalog.pods_feed.state().lists == 2);
        assert_eq!(stage.asked(&["/pods?", "resourceVersion=0"]), 1, "the first list");
        assert_eq!(stage.asked(&["/pods?", "limit=100"]), 1, "the second list is a fresh one");
        eventually("a watch from it", || stage.asked(&["/pods", "resourceVersion=5"]) == 1);
        has_names(&stage, &["a"]);
    }
}

#[test]
fn refused_credentials_are_read_again() {
    let stage = Stage::open(|asked| {
        if asked.client == 0 {
            return refusal(401, "Unauthorized");
        }
        no_networks(asked).unwrap_or_else(|| match &*asked.what {
            what if what.contains("watch=") => Reply::Silence,
            _ => list("1", &[pod("a", "1")]),
        })
    });
    has_names(&stage, &["a"]);
}

#[test]
fn a_role_that_lacks_a_rule_is_named_and_the_cache_stays_as_it_was() {
    let stage = Stage::open(|asked| {
        no_networks(asked).unwrap_or_else(|| match &*asked.what {
            what if what.contains("watch=") => refusal(403, "pods is forbidden: cannot watch resource"),
            _ => list("1", &[pod("a", "1")]),
        })
    });
    has_names(&stage, &["a"]);
    eventually("trouble", || stage.catalog.pods_feed.is_broken());
    let feed = stage.catalog.pods_feed.state();
    assert!(feed.is_synced && !feed.is_following);
    assert!(feed.trouble.unwrap().contains("cannot watch pods: pods is forbidden"));
    assert_eq!(names(&stage), ["a"]);
}

#[test]
fn a_single_object_is_read_while_the_lists_are_silent() {
    let stage = Stage::open(|asked| match &*asked.what {
        what if what.ends_with("/namespaces/n/pods/p") => Reply::Json(200, pod("p", "3")),
        what if what.ends_with("/namespaces/n/pods/gone") => refusal(404, "not found"),
        what if what.ends_with("/namespaces/n/network-attachment-definitions/x") => {
            refusal(403, "networks are forbidden")
        }
        _ => Reply::Silence,
    });
    let soon = || Instant::now() + Duration::from_secs(5);
    assert_eq!(stage.api.pod("n", "p", soon()).unwrap().unwrap().uid, "uid-p");
    assert_eq!(stage.api.pod("n", "gone", soon()).unwrap(), None);
    let error = stage.api.nad("n", "x", soon()).unwrap_err();
    assert_eq!(error.code, Code::NotAuthorized);
    assert!(error.msg.contains("NetworkAttachmentDefinition n/x"), "{error}");
    let error = stage.api.pod("n", "silent", Instant::now() + Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.code, Code::TryAgain);
    assert!(error.to_string().contains("did not answer in time"), "{error}");
}

/// Requests with a body, and the body.
type Written = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that takes what is written, and notes it.
fn written(reply: impl Fn() -> Reply + Send + Sync + 'static) -> (Stage, Written) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let stage = Stage::open(move |asked| {
        if asked.body.is_empty() {
            return Reply::Silence;
        }
        notes.lock().unwrap().push((asked.what.clone(), serde_json::from_str(&asked.body).unwrap()));
        reply()
    });
    (stage, seen)
}

fn key() -> PodKey {
    PodKey { namespace: "n".into(), name: "p".into(), uid: "u".into() }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[test]
fn the_status_is_one_patch_that_holds_for_one_uid() {
    let (stage, seen) = written(|| Reply::Json(200, json!({})));
    stage.api.annotate(&key(), "a/b", "text", soon()).unwrap();
    let expected = json!({"metadata": {"annotations": {"a/b": "text"}, "uid": "u"}});
    let (what, body) = seen.lock().unwrap().remove(0);
    assert_eq!(what, "PATCH /api/v1/namespaces/n/pods/p/status?&fieldManager=plexus");
    assert_eq!(body, expected);

    let (stage, _) = written(|| refusal(409, "the object has been modified"));
    assert_eq!(stage.api.annotate(&key(), "a/b", "t", soon()).unwrap_err().kind, ApiErrorKind::Conflict);
    assert!(stage.calls.all().contains(&(Call { verb: "patch", resource: "pods/status", code: 409 }, 1)));
}

#[test]
fn an_event_is_made_and_its_count_is_patched() {
    let (stage, seen) = written(|| Reply::Json(201, json!({})));
    let event = PodEvent {
        name: "p.1".into(),
        pod: key(),
        is_warning: true,
        reason: "NoNetworkFound",
        message: "m".into(),
        count: 1,
        first: SystemTime::UNIX_EPOCH,
        last: SystemTime::UNIX_EPOCH + Duration::from_secs(61),
    };
    stage.api.create_event(&event, soon()).unwrap();
    stage.api.repeat_event(&PodEvent { count: 2, ..event }, soon()).unwrap();
    let seen = seen.lock().unwrap();
    let (what, body) = &seen[0];
    assert_eq!(what, "POST /api/v1/namespaces/n/events?&fieldManager=plexus");
    let expected = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "p.1", "namespace": "n"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "n", "name": "p", "uid": "u"},
        "type": "Warning", "reason": "NoNetworkFound", "message": "m", "count": 1,
        "source": {"component": "plexus", "host": "node-1"},
        "firstTimestamp": "1970-01-01T00:00:00Z", "lastTimestamp": "1970-01-01T00:01:01Z",
    });
    assert_eq!(body, &expected);
    assert_eq!(seen[1].0, "PATCH /api/v1/namespaces/n/events/p.1?&fieldManager=plexus");
    assert_eq!(seen[1].1, json!({"count": 2, "lastTimestamp": "1970-01-01T00:01:01Z"}));
}
