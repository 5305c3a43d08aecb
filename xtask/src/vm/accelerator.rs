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
        &processor_text(),
        Path::new("/sys/module/kvm_pvm").exists(),
    )
}

/// How fast the processor's time stamp counter counts, in kHz, where that can be told.
///
/// A translated guest sees this machine's counter. On a busy machine it measures the frequency several times too small, and
/// its clock then runs as many times too fast, so it is told.
pub(super) fn counter_khz() -> Option<u64> {
    // A processor that changes its frequency shows the one of this moment.
    let is_scaled = Path::new("/sys/devices/system/cpu/cpu0/cpufreq").exists();
    if is_scaled { None } else { frequency_khz(&processor_text()) }
}

fn processor_text() -> String {
    fs::read_to_string("/proc/cpuinfo").unwrap_or_default()
}

/// Of the line `cpu MHz : 2600.002`.
fn frequency_khz(processor: &str) -> Option<u64> {
    let line = processor.lines().find_map(|line| line.strip_prefix("cpu MHz"))?;
    let (mhz, fraction) = line.split_once(':')?.1.trim().split_once('.')?;
    let khz: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some(mhz.parse::<u64>().ok()? * 1000 + khz)
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
    fn the_counters_frequency_is_read_to_the_kilohertz() {
        assert_eq!(frequency_khz("model name : x\ncpu MHz\t\t: 2600.002\ncpu MHz : 1.0\n"), Some(2_600_002));
        assert_eq!(frequency_khz("cpu MHz\t: 800.5\n"), Some(800_500));
        assert_eq!(frequency_khz("model name : 5000.0\n"), None);
    }

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
