//! Guests: a kernel of ours on this machine's own files, which it sees but cannot change.
//!
//! The guest's root is the machine's root by 9p with a layer in memory on top, so every program and test binary is where it is
//! outside. One directory is writable from both sides.

mod accelerator;
mod boot_image;
mod command_line;
mod cpio;
mod script;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

use anyhow::{Context as _, Result};

use self::accelerator::Accelerator;
use crate::paths::Workspace;
use crate::setup::{Kernel, Series, VmTools};

/// QEMU's exit status when the guest said that all went well: `isa-debug-exit` doubles what the guest writes, 1, and adds one.
/// QEMU itself ends with 0 or 1, also where it was ended, or the kernel panicked.
const ALL_WELL: i32 = 3;

/// What a guest is booted with.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    /// The programs.
    pub(crate) tools: &'a VmTools,
    /// The kernel.
    pub(crate) kernel: &'a Kernel,
    /// Its series.
    pub(crate) series: Series,
    /// The directory that both sides write to.
    pub(crate) shared: &'a Path,
    /// What it runs: a program of this machine, and its arguments. For programs of `target` that cargo may replace, see
    /// [`own_copy`].
    pub(crate) command: &'a [String],
}

/// This program, copied to where it stays: while it runs cargo may replace it.
pub(crate) fn own_copy(workspace: &Workspace) -> Result<PathBuf> {
    let copy = workspace.target().join("plexus/xtask");
    crate::build::copy_if_changed(Path::new("/proc/self/exe"), &copy)?;
    Ok(copy)
}

impl Guest<'_> {
    /// What the guest's kernel and QEMU say.
    pub(crate) fn console(&self) -> PathBuf {
        self.shared.join("console.log")
    }

    /// Starts it. It runs the command and then ends by itself.
    pub(crate) fn start(&self, workspace: &Workspace) -> Result<Child> {
        let boot_image = self.shared.join("initrd");
        let script = self.shared.join("guest.sh");
        std::fs::write(&boot_image, boot_image::make(self, &script)?)
            .with_context(|| format!("cannot write {}", boot_image.display()))?;
        std::fs::write(&script, script::text(self, workspace)?)
            .with_context(|| format!("cannot write {}", script.display()))?;
        let console = self.console();
        let log = File::create(&console).with_context(|| format!("cannot write {}", console.display()))?;
        let accelerator = accelerator::detect();
        let counter_khz = if accelerator == Accelerator::Tcg { accelerator::counter_khz() } else { None };
        self.tools
            .qemu()
            .args(command_line::arguments(&command_line::Devices {
                accelerator,
                counter_khz,
                kernel: &self.kernel.image,
                boot_image: &boot_image,
                shared: self.shared,
            }))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the console's file")?)
            .stderr(log)
            .spawn()
            .context("cannot start QEMU")
    }
}

/// Whether a guest that ended so said that all went well.
pub(crate) fn is_well(status: ExitStatus) -> bool {
    status.code() == Some(ALL_WELL)
}
