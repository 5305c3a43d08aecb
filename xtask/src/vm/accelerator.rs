//! Whether this machine's processor can run a guest by itself.

use std::fs::{self, OpenOptions};
use std::path::Path;

/// How a guest's instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// By the processor.
    Kvm,
    /// Translated by QEMU: some ten times slower, but everywhere.
    Tcg,
}

/// What this machine can do.
pub(super) fn detect() -> Accelerator {
    choose(
        OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok(),
        &fs::read_to_string("/proc/cpuinfo").unwrap_or_default(),
        Path::new("/sys/module/kvm_pvm").exists(),
    )
}

/// KVM needs the processor's help. A KVM without it (`kvm_pvm`) opens as well, but a stock kernel hangs in it.
fn choose(opens: bool, processor: &str, is_paravirtual: bool) -> Accelerator {
    let mut words =
        processor.lines().filter(|line| line.starts_with("flags")).flat_map(str::split_whitespace);
    let has_help = words.any(|word| word == "vmx" || word == "svm");
    if opens && has_help && !is_paravirtual { Accelerator::Kvm } else { Accelerator::Tcg }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_is_used_only_where_a_stock_kernel_runs_in_it() {
        let with = "model name\t: x\nflags\t\t: fpu vmx sse\n";
        let without = "model name\t: vmx\nflags\t\t: fpu sse\n";
        assert_eq!(choose(true, with, false), Accelerator::Kvm);
        assert_eq!(choose(false, with, false), Accelerator::Tcg);
        assert_eq!(choose(true, without, false), Accelerator::Tcg);
        assert_eq!(choose(true, with, true), Accelerator::Tcg);
    }
}
