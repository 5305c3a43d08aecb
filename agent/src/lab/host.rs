//! A host of its own: network namespace, mount namespace, private `/run` and `/sys`.

use std::fs::{self, File};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::link::ip;
use super::{LabError, NetNs, Pod};

/// Where the lab keeps its files; on the host's private `/run`, so that the kernel removes them with the namespace.
const LAB_DIR: &str = "/run/plexus-lab";
/// The default `dataDir` of host-local.
const LEASES_DIR: &str = "/var/lib/cni/networks";
/// Where `ip netns` looks, too.
const NETNS_DIR: &str = "/run/netns";

/// A throw-away host. The thread that entered it is inside until the guard drops, hence `!Send`.
///
/// Threads and processes started meanwhile are inside as well; they must have ended before the guard drops.
#[derive(Debug)]
pub struct Host {
    netns: NetNs,
    _way_back: WayBack,
    /// Namespaces belong to the thread that entered them.
    _not_send: PhantomData<*mut ()>,
}

impl Host {
    /// Moves the calling thread into a new host: only `lo` (up), an empty `/run`, a bpffs and the lab's directories.
    /// What is written to `/var/lib` stays in memory.
    pub fn enter() -> Result<Self, LabError> {
        Self::enter_with(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
    }

    /// As [`Self::enter`], but with the calling thread's network namespace as the host's: for a virtual machine, whose
    /// devices are the test's own.
    pub(super) fn enter_in_place() -> Result<Self, LabError> {
        Self::enter_with(CloneFlags::CLONE_NEWNS)
    }

    fn enter_with(namespaces: CloneFlags) -> Result<Self, LabError> {
        let way_back = WayBack::remember()?;
        unshare(namespaces)
            .map_err(LabError::io("unshare a network and a mount namespace (this needs root)"))?;
        mount_over("none", "/", None, MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
        mount_over("tmpfs", "/run", Some("tmpfs"), MsFlags::empty())?;
        if namespaces.contains(CloneFlags::CLONE_NEWNET) {
            // A new sysfs shows the devices of the network namespace in which it was mounted.
            mount_over("sysfs", "/sys", Some("sysfs"), MsFlags::empty())?;
        }
        for name in ["manifests", "state", "bpf", "written", "work"] {
            create_dir(&Path::new(LAB_DIR).join(name))?;
        }
        let layers = format!("lowerdir=/var/lib,upperdir={LAB_DIR}/written,workdir={LAB_DIR}/work");
        mount(Some("overlay"), "/var/lib", Some("overlay"), MsFlags::empty(), Some(layers.as_str()))
            .map_err(LabError::io("mount an overlay on /var/lib"))?;
        create_dir(Path::new(LEASES_DIR))?;
        create_dir(Path::new(NETNS_DIR))?;
        mount_over("bpf", &format!("{LAB_DIR}/bpf"), Some("bpf"), MsFlags::empty())?;
        ip(&["link", "set", "lo", "up"])?;
        let netns = NetNs::pin_current(&Path::new(NETNS_DIR).join("host"))?;
        Ok(Self { netns, _way_back: way_back, _not_send: PhantomData })
    }

    /// The host's own network namespace.
    pub fn netns(&self) -> &NetNs {
        &self.netns
    }

    /// The lab's directory.
    pub fn dir(&self) -> PathBuf {
        PathBuf::from(LAB_DIR)
    }

    /// Where manifests for `plexusd --manifests` belong.
    pub fn manifests_dir(&self) -> PathBuf {
        self.dir().join("manifests")
    }

    /// The state directory for plexusd.
    pub fn state_dir(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// A bpffs of the host's own.
    pub fn bpffs(&self) -> PathBuf {
        self.dir().join("bpf")
    }

    /// Where host-local keeps its leases unless a config says otherwise.
    pub fn leases_dir(&self) -> PathBuf {
        PathBuf::from(LEASES_DIR)
    }

    /// Keeps leases and the state directory in `dir` from now on, on a real file system instead of in memory.
    pub fn keep_state_in(&self, dir: &Path) -> Result<(), LabError> {
        for (name, target) in [("leases", self.leases_dir()), ("state", self.state_dir())] {
            let source = dir.join(name);
            create_dir(&source)?;
            mount_over(&source.display().to_string(), &target.display().to_string(), None, MsFlags::MS_BIND)?;
        }
        Ok(())
    }

    /// Plexusd's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("plexus.sock")
    }

    /// A new network namespace at `/run/netns/NAME` with `lo` up: another machine, or a pod without a name.
    pub fn netns_named(&self, name: &str) -> Result<NetNs, LabError> {
        NetNs::create(&Path::new(NETNS_DIR).join(name))
    }

    /// A new pod `default/NAME` with a network namespace.
    pub fn pod(&self, name: &str) -> Result<Pod, LabError> {
        Ok(Pod::new("default", name, self.netns_named(name)?))
    }

    /// A cable from the host's new interface `uplink` to the new interface `far` of another machine; both ends up.
    pub fn cable(&self, uplink: &str, other: &NetNs, far: &str) -> Result<(), LabError> {
        let netns = other.path().display().to_string();
        ip(&["link", "add", uplink, "type", "veth", "peer", "name", far, "netns", &netns])?;
        ip(&["link", "set", uplink, "up"])?;
        other.ip(&["link", "set", far, "up"])
    }
}

/// The namespaces and the directory to which the thread returns on drop.
#[derive(Debug)]
struct WayBack {
    netns: OwnedFd,
    mounts: OwnedFd,
    directory: PathBuf,
}

impl WayBack {
    fn remember() -> Result<Self, LabError> {
        let open =
            |path: &str| File::open(path).map(OwnedFd::from).map_err(LabError::io(format!("open {path}")));
        Ok(Self {
            netns: open("/proc/thread-self/ns/net")?,
            mounts: open("/proc/thread-self/ns/mnt")?,
            directory: std::env::current_dir().map_err(LabError::io("read the working directory"))?,
        })
    }
}

impl Drop for WayBack {
    fn drop(&mut self) {
        let back = setns(&self.netns, CloneFlags::CLONE_NEWNET)
            .and_then(|()| setns(&self.mounts, CloneFlags::CLONE_NEWNS))
            .map_err(std::io::Error::from)
            .and_then(|()| std::env::set_current_dir(&self.directory));
        if let Err(error) = back {
            eprintln!("lab: this thread cannot leave the throw-away host: {error}");
        }
    }
}

fn mount_over(source: &str, target: &str, kind: Option<&str>, flags: MsFlags) -> Result<(), LabError> {
    mount(Some(source), target, kind, flags, None::<&str>)
        .map_err(LabError::io(format!("mount {source} on {target}")))
}

fn create_dir(path: &Path) -> Result<(), LabError> {
    fs::create_dir_all(path).map_err(LabError::io(format!("create {}", path.display())))
}
