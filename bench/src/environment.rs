//! Where a run took place: what a reader needs to judge its figures.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// The machine and the build.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Environment {
    /// Kernel release.
    pub(crate) kernel: String,
    /// CPUs that this process may use.
    pub(crate) cpus: usize,
    /// The first CPU's model.
    pub(crate) cpu_model: String,
    /// Memory of the machine, in MiB.
    pub(crate) memory_mib: u64,
    /// Load averages over 1, 5 and 15 minutes at the start: other work on the machine blurs the figures.
    pub(crate) load: [f64; 3],
    /// The first CPU's frequency governor, where there is one.
    pub(crate) governor: Option<String>,
    /// The checkout's commit; `-dirty` if it was changed; `unknown` outside a checkout.
    pub(crate) commit: String,
    /// Whether plexus-bench was built with optimisation.
    pub(crate) optimised: bool,
}

impl Environment {
    /// Looks around; what cannot be found out is empty, zero or `unknown`.
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            cpu_model: field(&read("/proc/cpuinfo"), "model name"),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal")
                .split_whitespace()
                .next()
                .and_then(|kib| kib.parse::<u64>().ok())
                .unwrap_or_default()
                / 1024,
            load: load(&read("/proc/loadavg")),
            governor: Some(read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty()),
            commit: commit().unwrap_or_else(|| "unknown".into()),
            optimised: !cfg!(debug_assertions),
        }
    }
}

/// The value of the first line `name: value`.
fn field(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}

fn load(text: &str) -> [f64; 3] {
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or_default());
    std::array::from_fn(|_| numbers.next().unwrap_or_default())
}

/// The kind of the file system that holds `path`, e.g. `ext4`.
pub(crate) fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap_or_default();
    let holds = |line: &&str| line.split(' ').nth(1).is_some_and(|point| path.starts_with(point));
    let deepest = mounts.lines().filter(holds).max_by_key(|line| line.split(' ').nth(1).map_or(0, str::len));
    deepest.and_then(|line| line.split(' ').nth(2)).unwrap_or("unknown").to_owned()
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // What `publish` writes changes nothing that is measured.
    let paths = ["--", ":/", ":(top,exclude)docs/bench", ":(top,exclude)README.md"];
    let status = [["status", "--porcelain", "--untracked-files=no"].as_slice(), &paths].concat();
    let changed = git(&status).is_none_or(|list| !list.is_empty());
    Some(if changed { format!("{commit}-dirty") } else { commit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_loads_are_read_and_their_absence_is_no_error() {
        assert_eq!(field("MemTotal:       2048 kB\nMemFree: 1 kB\n", "MemTotal"), "2048 kB");
        assert_eq!(field("model name\t: A  CPU\n", "model name"), "A  CPU");
        assert_eq!(field("", "MemTotal"), "");
        assert_eq!(load("0.50 1 2.25 3/99 7").map(|load| load.to_string()), ["0.5", "1", "2.25"]);
        assert_eq!(load("").map(|load| load.to_string()), ["0", "0", "0"]);
    }
}
