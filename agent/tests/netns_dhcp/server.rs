//! dnsmasq in a network namespace.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use plexus_agent::lab::NetNs;

/// A DHCP server that ends with its guard.
pub(crate) struct Server {
    child: Child,
    netns: NetNs,
    dir: PathBuf,
    link: String,
}

impl Server {
    /// Serves `range` on `link`; `options` are further arguments. Its files are in `dir`, and the leases in them stay for
    /// the next one.
    pub(crate) fn start(netns: &NetNs, link: &str, range: &str, options: &[&str], dir: PathBuf) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let arguments: Vec<String> = [
            "--keep-in-foreground".to_owned(),
            "--conf-file=/dev/null".to_owned(),
            "--no-resolv".to_owned(),
            "--no-hosts".to_owned(),
            "--port=0".to_owned(),
            "--user=root".to_owned(),
            "--pid-file=".to_owned(),
            "--no-ping".to_owned(),
            "--log-dhcp".to_owned(),
            "--dhcp-authoritative".to_owned(),
            format!("--interface={link}"),
            "--bind-interfaces".to_owned(),
            format!("--dhcp-range={range}"),
            format!("--dhcp-leasefile={}", dir.join("leases").display()),
            format!("--log-facility={}", dir.join("log").display()),
        ]
        .into_iter()
        .chain(options.iter().map(|option| (*option).to_owned()))
        .collect();
        let child = netns
            .within(|| {
                Command::new("dnsmasq")
                    .args(&arguments)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::inherit())
                    .spawn()
                    .unwrap()
            })
            .unwrap();
        Self { child, netns: netns.clone(), dir, link: link.to_owned() }
    }

    /// Another one in its place, which knows nothing of its leases.
    pub(crate) fn replace_by(self, range: &str, options: &[&str]) -> Self {
        let (netns, dir, link) = (self.netns.clone(), self.dir.clone(), self.link.clone());
        drop(self);
        fs::remove_file(dir.join("leases")).unwrap();
        Self::start(&netns, &link, range, options, dir)
    }

    /// Lines of the lease file: end, hardware address (of IPv6 the association), address, name, client identifier.
    pub(crate) fn leases(&self) -> Vec<Vec<String>> {
        let text = fs::read_to_string(self.dir.join("leases")).unwrap_or_default();
        let is_lease = |line: &&str| !line.starts_with("duid ");
        text.lines().filter(is_lease).map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }

    /// Whether an address is leased.
    pub(crate) fn has_leased(&self, address: &str) -> bool {
        self.leases().iter().any(|lease| lease[2] == address)
    }

    /// How many lines of the log have this in them.
    pub(crate) fn said(&self, part: &str) -> usize {
        self.log().lines().filter(|line| line.contains(part)).count()
    }

    /// All of the log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
