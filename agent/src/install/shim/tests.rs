use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::super::{UninstallOptions, uninstall};
use super::*;

/// A shim of one release, in a few lines of shell.
fn shim(release: &str) -> String {
    format!(
        "#!/bin/sh\n# {release}\necho '{{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.3.0\",\"1.1.0\"]}}'\n"
    )
}

struct Node {
    dir: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        let node = Self { dir };
        node.release(&shim("one"));
        node
    }

    fn bin(&self, name: &str) -> PathBuf {
        self.dir.path().join("bin").join(name)
    }

    fn release(&self, text: &str) {
        let path = self.dir.path().join("source");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn foreign(&self, name: &str) {
        fs::write(self.bin(name), format!("foreign {name}")).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.bin(name)).unwrap()
    }

    fn install(&self, names: &[&str], replace: bool) -> anyhow::Result<Vec<Deed>> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let source = Some(self.dir.path().join("source"));
        let done = install(&InstallOptions { bin_dir: self.dir.path().join("bin"), names, source, replace })?;
        Ok(done.into_iter().map(|done| done.deed).collect())
    }

    fn uninstall(&self) -> Vec<Deed> {
        let options = UninstallOptions { bin_dir: self.dir.path().join("bin"), conflist: None };
        uninstall(&options).unwrap().into_iter().map(|done| done.deed).collect()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("bin")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn what_is_installed_twice_is_unchanged_and_an_upgrade_is_one_file() {
    let node = Node::new();
    let names = ["plexus", "macvlan"];
    assert_eq!(node.install(&names, false).unwrap(), [Deed::Installed, Deed::Installed]);
    assert_eq!(node.install(&names, false).unwrap(), [Deed::Unchanged, Deed::Unchanged]);
    node.release(&shim("two"));
    assert_eq!(node.install(&names, false).unwrap(), [Deed::Upgraded, Deed::Unchanged]);
    assert!(node.text("macvlan").contains("two"));
    assert_eq!(node.names(), ["macvlan", "plexus"]);
    assert_eq!(fs::metadata(node.bin("plexus")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_running_shim_is_replaced_and_a_reader_sees_whole_programs_only() {
    let node = Node::new();
    node.install(&["plexus"], false).unwrap();
    // An executable that runs cannot be opened for writing (ETXTBSY): only a rename replaces it.
    fs::copy("/bin/sleep", node.bin("plexus")).unwrap();
    let mut running = std::process::Command::new(node.bin("plexus")).arg("60").spawn().unwrap();
    let outcome = node.install(&["plexus"], false);
    running.kill().unwrap();
    running.wait().unwrap();
    assert_eq!(outcome.unwrap(), [Deed::Upgraded]);
    assert_eq!(node.text("plexus"), shim("one"));
}

#[test]
fn other_vendors_plugins_stay_unless_asked_and_multus_is_kept_aside() {
    let node = Node::new();
    for name in ["macvlan", "multus", "bridge"] {
        node.foreign(name);
    }
    // As some distributions ship them: many names of one program.
    fs::remove_file(node.bin("bridge")).unwrap();
    fs::write(node.bin("cni"), "many").unwrap();
    symlink("cni", node.bin("bridge")).unwrap();
    let names = ["multus", "multus-shim", "macvlan", "bridge"];
    let expected = [Deed::Installed, Deed::Replaced, Deed::Installed, Deed::Left, Deed::Left];
    assert_eq!(node.install(&names, false).unwrap(), expected);
    assert_eq!(
        (node.text("macvlan"), node.text("multus.before-plexus")),
        ("foreign macvlan".into(), "foreign multus".into())
    );
    let expected = [Deed::Unchanged, Deed::Unchanged, Deed::Unchanged, Deed::Replaced, Deed::Replaced];
    assert_eq!(node.install(&names, true).unwrap(), expected);
    assert_eq!((node.text("bridge.before-plexus"), node.text("bridge")), ("many".into(), shim("one")));
    node.uninstall();
    assert_eq!(node.names(), ["bridge", "cni", "macvlan", "multus"]);
    assert_eq!((node.text("multus"), node.text("bridge")), ("foreign multus".into(), "many".into()));
}

#[test]
fn a_shim_that_does_not_run_takes_nobodys_place() {
    let node = Node::new();
    node.install(&["plexus", "multus"], false).unwrap();
    for broken in ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho no\n", "no program"] {
        node.release(broken);
        let error = format!("{:#}", node.install(&["plexus"], false).unwrap_err());
        assert!(error.contains("cannot install"), "{error}");
        assert_eq!(node.text("plexus"), shim("one"));
    }
    assert_eq!(node.names(), ["multus", "plexus"]);
}

#[test]
fn names_and_directories_that_cannot_be_are_refused() {
    let node = Node::new();
    for name in ["../x", "", "macvlan.before-plexus"] {
        assert!(node.install(&[name], false).is_err(), "{name}");
    }
    fs::create_dir(node.bin("bridge")).unwrap();
    assert!(node.install(&["bridge"], true).is_err());
    let nowhere = UninstallOptions { bin_dir: node.bin("nowhere"), conflist: None };
    assert!(uninstall(&nowhere).is_err());
}
