//! What the tests of main plugins share: the node of `netns_cni`, and traffic over an interface that is counted and limited.

pub(crate) mod traffic;

#[path = "../netns_cni/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of the verbs use more of it")]
pub(crate) mod support;
