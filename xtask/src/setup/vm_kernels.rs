//! The kernels that guests boot: Debian's, with their modules, unpacked into the cache.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::debian::{Archive, remove_dir};
use super::vm_tools::{SUITES, VmTools};
use super::vmlinux;
use crate::paths::Workspace;
use crate::run;

/// Names a directory of kernels to use instead: `6.1/vmlinux` and `6.1/lib/modules/RELEASE`, and so on.
const VARIABLE: &str = "PLEXUS_VM_KERNELS";
/// Modules that no test of ours asks for, more than half of the space.
const UNUSED: [&str; 8] = [
    "sound",
    "drivers/gpu",
    "drivers/media",
    "drivers/staging",
    "drivers/infiniband",
    "drivers/scsi",
    "drivers/net/wireless",
    "drivers/iio",
];

/// A series of kernels with long support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Series {
    /// Debian 12's.
    V6_1,
    /// Debian 13's, and that of Debian 12's backports.
    V6_12,
}

impl Series {
    /// From old to new.
    pub(crate) const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];

    /// As people write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }
}

/// A kernel, ready to boot.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The uncompressed kernel.
    pub(crate) image: PathBuf,
    /// What `uname -r` says.
    pub(crate) release: String,
    /// Its modules, with their indexes.
    pub(crate) modules: PathBuf,
}

/// The kernel of `series`; `None` if it is not there.
pub(crate) fn kernel(workspace: &Workspace, series: Series) -> Option<Kernel> {
    let root = match env::var_os(VARIABLE) {
        Some(directory) => PathBuf::from(directory).join(series.name()),
        None => root(workspace, series),
    };
    let modules = fs::read_dir(root.join("lib/modules")).ok()?.next()?.ok()?.path();
    let release = modules.file_name()?.to_str()?.to_owned();
    let kernel = Kernel { image: root.join("vmlinux"), release, modules };
    (kernel.image.is_file() && kernel.modules.join("modules.dep").is_file()).then_some(kernel)
}

/// Whether all are there.
pub(super) fn are_present(workspace: &Workspace) -> bool {
    Series::ALL.iter().all(|&series| kernel(workspace, series).is_some())
}

fn root(workspace: &Workspace, series: Series) -> PathBuf {
    workspace.cache().join(format!("vm-kernel-{}", series.name()))
}

/// What a person would type.
pub(super) fn install_command() -> String {
    format!(
        "put an uncompressed kernel at DIR/6.12/vmlinux with its modules in DIR/6.12/lib/modules/RELEASE, the same for 6.1, \
         and set {VARIABLE} to DIR"
    )
}

/// Downloads and unpacks those that are missing: 200 MB to download, 400 MB unpacked.
pub(super) fn install(workspace: &Workspace) -> Result<()> {
    let tools = VmTools::find(workspace).context("the tools that unpack a kernel are missing")?;
    let archive = Archive::open(&workspace.cache().join("vm-kernels.part"), &SUITES, false)?;
    for series in Series::ALL.into_iter().filter(|&series| kernel(workspace, series).is_none()) {
        let pattern = format!(r"^linux-image-{}\..*-amd64", series.name().replace('.', r"\."));
        let mut search = archive.apt("apt-cache");
        let listing = run::output("look kernels up", search.args(["search", "--names-only"]).arg(&pattern))?;
        let Some((package, release)) = newest(&listing, series) else {
            bail!("Debian's archive holds no kernel {} any more", series.name());
        };
        let unpacked = archive.unpack(&[package], series.name())?;
        prepare(&tools, &unpacked, &release)
            .with_context(|| format!("cannot prepare the kernel of {package}"))?;
        let root = root(workspace, series);
        remove_dir(&root)?;
        fs::rename(&unpacked, &root).with_context(|| format!("cannot create {}", root.display()))?;
    }
    archive.remove()
}

/// Extracts the kernel from its boot image, drops modules that nobody needs, and makes the modules' indexes.
fn prepare(tools: &VmTools, root: &Path, release: &str) -> Result<()> {
    let image = root.join("boot").join(format!("vmlinuz-{release}"));
    let bytes = fs::read(&image).with_context(|| format!("cannot read {}", image.display()))?;
    let (compression, payload) =
        vmlinux::payload(&bytes).with_context(|| format!("cannot use {}", image.display()))?;
    let packed = root.join("payload");
    fs::write(&packed, payload).with_context(|| format!("cannot write {}", packed.display()))?;
    let plain = fs::File::create(root.join("vmlinux")).context("cannot create the file vmlinux")?;
    let mut unpack = tools.program(compression.program());
    run::output("unpack the kernel", unpack.arg("-dc").arg(&packed).stdout(plain))?;

    let modules = root.join("lib/modules").join(release).join("kernel");
    for unused in UNUSED {
        remove_dir(&modules.join(unused))?;
    }
    remove_dir(&root.join("usr"))?;
    fs::remove_file(&packed).with_context(|| format!("cannot remove {}", packed.display()))?;
    let mut depmod = tools.program("depmod");
    run::output("index the kernel's modules", depmod.arg("-b").arg(root).arg(release)).map(drop)
}

/// The package of the newest kernel of `series` in a listing of `apt-cache search`, and its release. Of one release the
/// signed package wins, because it is the one that people run.
fn newest(listing: &str, series: Series) -> Option<(&str, String)> {
    let names = listing.lines().filter_map(|line| line.split(' ').next());
    names
        .filter_map(|name| {
            let rest = name.strip_prefix("linux-image-")?;
            let release = rest.strip_suffix("-unsigned").unwrap_or(rest);
            let version = release.strip_suffix("-amd64")?;
            let numbers = numbers(version.strip_prefix(series.name())?.strip_prefix('.')?)?;
            Some((numbers, rest == release, name, release.to_owned()))
        })
        .max()
        .map(|(_, _, name, release)| (name, release))
}

/// `95+deb12` as 95, 12; `None` for flavours like `0-50-cloud`.
fn numbers(version: &str) -> Option<Vec<u32>> {
    let numbers = version.split(['.', '-', '+']).map(|part| part.trim_start_matches("deb").parse().ok());
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
linux-image-6.1.0-9-amd64 - Linux 6.1 for 64-bit PCs (signed)
linux-image-6.1.0-50-amd64-unsigned - Linux 6.1 for 64-bit PCs
linux-image-6.1.0-50-amd64 - Linux 6.1 for 64-bit PCs (signed)
linux-image-6.1.0-51-cloud-amd64 - Linux 6.1 for x86-64 cloud (signed)
linux-image-6.1.0-51-amd64-dbg - Debug symbols
linux-image-6.12.90+deb12-amd64 - Linux 6.12 for 64-bit PCs (signed)
linux-image-6.12.90+deb12.1-amd64 - Linux 6.12 for 64-bit PCs (signed)
linux-image-6.12.100+deb12-amd64-unsigned - Linux 6.12 for 64-bit PCs
linux-image-6.12.100+deb12-rt-amd64 - Linux 6.12 for 64-bit PCs (signed), PREEMPT_RT";

    #[test]
    fn the_newest_plain_kernel_is_chosen_by_number_and_a_signed_one_first() {
        let expected = ("linux-image-6.1.0-50-amd64", "6.1.0-50-amd64".to_owned());
        assert_eq!(newest(LISTING, Series::V6_1), Some(expected));
    }

    #[test]
    fn an_unsigned_kernel_serves_where_no_signed_one_is_as_new() {
        let expected = ("linux-image-6.12.100+deb12-amd64-unsigned", "6.12.100+deb12-amd64".to_owned());
        assert_eq!(newest(LISTING, Series::V6_12), Some(expected));
        assert_eq!(newest("", Series::V6_12), None);
    }

    #[test]
    fn a_series_is_no_prefix_of_another() {
        let listing = "linux-image-6.12.95+deb12-amd64 - x";
        assert_eq!(newest(listing, Series::V6_1), None);
    }
}
