//! Whether a pod is the one that the runtime means.

use plexus_cni::annotation::{CONFIG_HASH, CONFIG_MIRROR};
use plexus_cni::args::CniArgs;
use plexus_cni::pod::Pod;
use plexus_cni::{CniError, Code};

/// The pod as `CNI_ARGS` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodId<'a> {
    /// `K8S_POD_NAMESPACE`
    pub namespace: &'a str,
    /// `K8S_POD_NAME`
    pub name: &'a str,
    /// `K8S_POD_UID`; runtimes before 2021 do not say it.
    pub uid: Option<&'a str>,
}

/// What a pod of the right name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The one that is meant.
    Wanted,
    /// There is none.
    Missing,
    /// Another one of that name, before or after.
    Other,
    /// It has ended: `Succeeded` or `Failed`.
    Ended,
    /// It is being deleted.
    Deleting,
}

impl<'a> PodId<'a> {
    /// The pod that a call is about, if it is about one.
    pub fn of(args: &'a CniArgs) -> Option<Self> {
        let (namespace, name) = args.pod()?;
        Some(Self { namespace, name, uid: args.get("K8S_POD_UID") })
    }

    /// Compares. A static pod goes by the hash of its definition, which is what the runtime takes for its UID, while
    /// the API server's mirror of it has a UID of its own; and it outlives that mirror.
    pub fn judge(&self, pod: &Pod) -> Verdict {
        if !self.has_uid_of(pod) {
            return Verdict::Other;
        }
        if pod.has_ended {
            return Verdict::Ended;
        }
        if pod.is_deleting && !pod.is_static() {
            return Verdict::Deleting;
        }
        Verdict::Wanted
    }

    fn has_uid_of(&self, pod: &Pod) -> bool {
        let Some(uid) = self.uid.filter(|_| !pod.uid.is_empty()) else { return true };
        if uid == pod.uid {
            return true;
        }
        if !pod.is_static() {
            return false;
        }
        let hashes: Vec<&str> =
            [CONFIG_HASH, CONFIG_MIRROR].into_iter().filter_map(|key| pod.annotation(key)).collect();
        // A mirror without a hash says nothing against it.
        hashes.is_empty() || hashes.contains(&uid)
    }

    /// Why an ADD for such a pod is refused.
    pub fn refusal(&self, verdict: Verdict) -> CniError {
        let (what, why) = match verdict {
            Verdict::Wanted | Verdict::Missing => (
                "is not known here",
                "it was waited for and then asked for; it was deleted, or its manifest is not there",
            ),
            Verdict::Other => (
                "is another one than the runtime means",
                "the UIDs differ: a pod of that name was deleted and made again; the kubelet ends the old one",
            ),
            Verdict::Ended => ("has ended", "its phase is Succeeded or Failed; nothing is attached any more"),
            Verdict::Deleting => ("is being deleted", "nothing is attached any more"),
        };
        CniError::new(Code::PodNotFound, format!("pod {}/{} {what}", self.namespace, self.name)).because(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(uid: Option<&str>) -> PodId<'_> {
        PodId { namespace: "n", name: "p", uid }
    }

    fn pod(uid: &str, annotations: &[(&str, &str)]) -> Pod {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Pod { uid: uid.into(), annotations: annotations.collect(), ..Pod::default() }
    }

    #[test]
    fn the_uid_decides_where_both_sides_know_one() {
        assert_eq!(id(Some("a")).judge(&pod("a", &[])), Verdict::Wanted);
        assert_eq!(id(Some("a")).judge(&pod("b", &[])), Verdict::Other);
        assert_eq!(id(None).judge(&pod("b", &[])), Verdict::Wanted);
        assert_eq!(id(Some("a")).judge(&pod("", &[])), Verdict::Wanted);
    }

    #[test]
    fn a_static_pod_goes_by_its_hash() {
        let source = ("kubernetes.io/config.source", "file");
        let mirror = pod("u", &[source, (CONFIG_HASH, "h"), (CONFIG_MIRROR, "h")]);
        assert_eq!(id(Some("h")).judge(&mirror), Verdict::Wanted);
        assert_eq!(id(Some("older")).judge(&mirror), Verdict::Other);
        assert_eq!(id(Some("x")).judge(&pod("u", &[source])), Verdict::Wanted);
        let from_api = pod("u", &[("kubernetes.io/config.source", "api"), (CONFIG_HASH, "h")]);
        assert_eq!(id(Some("h")).judge(&from_api), Verdict::Other, "only a static pod goes by a hash");
    }

    #[test]
    fn a_pod_that_ends_is_not_attached_but_a_static_one_outlives_its_mirror() {
        assert_eq!(id(None).judge(&Pod { has_ended: true, ..Pod::default() }), Verdict::Ended);
        assert_eq!(id(None).judge(&Pod { is_deleting: true, ..Pod::default() }), Verdict::Deleting);
        let mirror = pod("u", &[("kubernetes.io/config.source", "file")]);
        assert_eq!(id(Some("h")).judge(&Pod { is_deleting: true, ..mirror }), Verdict::Wanted);
    }

    #[test]
    fn a_refusal_names_the_pod_and_why() {
        let error = id(None).refusal(Verdict::Ended);
        assert_eq!(error.code, Code::PodNotFound);
        assert!(error.to_string().contains("pod n/p has ended"), "{error}");
    }
}
