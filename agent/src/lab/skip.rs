//! Tests that cannot run on this machine say so, and are counted as skipped.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use super::Binaries;
use super::command::run;

/// Names the file to which skipped tests are appended, one `test<TAB>reason` per line.
const SKIPS_VARIABLE: &str = "PLEXUS_TEST_SKIPS";

/// True if this process may make network and mount namespaces; else says that `test` is skipped.
#[must_use]
pub fn require_root_or_skip(test: &str) -> bool {
    if !nix::unistd::geteuid().is_root() {
        return skipped(test, "it makes network namespaces, which needs root");
    }
    // A thread of its own: what it unshares ends with it.
    let attempt = std::thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)).join();
    match attempt {
        Ok(Ok(())) => true,
        Ok(Err(errno)) => skipped(test, &format!("root may not make namespaces here: {errno}")),
        Err(_) => skipped(test, "the thread that tried to make a namespace panicked"),
    }
}

/// True if `root` is given and our binaries are built; else says that `test` is skipped.
#[must_use]
pub fn require_binaries_or_skip(test: &str) -> Option<Binaries> {
    if !require_root_or_skip(test) {
        return None;
    }
    Binaries::find().map_err(|error| skipped(test, &error.to_string())).ok()
}

/// True if `program` can be started; else says that `test` is skipped and which package has it.
#[must_use]
pub fn require_binary_or_skip(test: &str, program: &str, package: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    found || skipped(test, &format!("{program} is missing (`apt-get install {package}`)"))
}

/// True if the kernel can make links of this kind, e.g. `macvlan`; else says that `test` is skipped.
///
/// Call it inside a throw-away host.
#[must_use]
pub fn require_link_kind_or_skip(test: &str, kind: &str) -> bool {
    let (parent, probe) = ("probe-parent", "probe0");
    let ip = |arguments: &[&str]| run(Command::new("ip").args(arguments));
    let made = ip(&["link", "add", parent, "type", "veth", "peer", "name", "probe-peer"])
        .and_then(|_| ip(&["link", "add", probe, "link", parent, "type", kind]));
    let cleaned = ip(&["link", "del", parent]);
    match made.and(cleaned) {
        Ok(_) => true,
        Err(error) => skipped(test, &format!("this kernel makes no {kind} links: {error}")),
    }
}

/// Says loudly that `test` did not run and why, notes it for the closing count, and returns false.
pub fn skipped(test: &str, why: &str) -> bool {
    eprintln!("SKIPPED: {test}: {why}");
    let Some(file) = std::env::var_os(SKIPS_VARIABLE) else { return false };
    let line = format!("{test}\t{}\n", why.replace(['\n', '\t'], " "));
    let noted = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = noted {
        eprintln!("SKIPPED: cannot be noted in {}: {error}", file.display());
    }
    false
}
