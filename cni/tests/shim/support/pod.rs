//! A network namespace that lasts as long as the value, and is named nowhere.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use super::skip;

/// The namespace.
pub(crate) struct PodNetns(File);

impl PodNetns {
    /// A new namespace, or a loud skip where this process may not make one.
    pub(crate) fn new() -> Option<Self> {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).map(|()| File::open("/proc/thread-self/ns/net"))
        });
        match made.join().unwrap() {
            Ok(file) => Some(Self(file.unwrap())),
            Err(error) => {
                skip(&format!("no network namespace can be made: {error}; run as root"));
                None
            }
        }
    }

    /// A path for `CNI_NETNS`.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// As /proc names it.
    pub(crate) fn link(&self) -> String {
        std::fs::read_link(self.path()).unwrap().to_string_lossy().into_owned()
    }

    /// The netlink sockets inside, as text; see proc(5), /proc/net/netlink.
    pub(crate) fn netlink_sockets(&self) -> String {
        self.read("/proc/thread-self/net/netlink")
    }

    /// A file as it is inside.
    pub(crate) fn read(&self, path: &'static str) -> String {
        let file = self.0.try_clone().unwrap();
        let read = thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            std::fs::read_to_string(path).unwrap()
        });
        read.join().unwrap()
    }
}
