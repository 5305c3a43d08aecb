//! QEMU's command line.

use std::ffi::OsString;
use std::path::Path;

use super::accelerator::Accelerator;

/// The tags by which the guest mounts the machine's root and the shared directory.
pub(super) const ROOT_TAG: &str = "root";
pub(super) const SHARED_TAG: &str = "shared";

/// What is quick to boot where the processor is emulated: no self-tests, no waiting for clocks, no mitigations, and device
/// addresses translated for nobody but vfio.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off cryptomgr.notests tsc=reliable \
                                no_timer_check audit=0 random.trust_cpu=on intel_iommu=on iommu=pt";
const MEMORY_MIB: &str = "2048";
const PROCESSORS: &str = "2";

/// What differs from guest to guest.
#[derive(Debug)]
pub(super) struct Devices<'a> {
    /// How it is executed.
    pub(super) accelerator: Accelerator,
    /// The time stamp counter's frequency, in kHz, if the guest is to be told.
    pub(super) counter_khz: Option<u64>,
    /// The uncompressed kernel.
    pub(super) kernel: &'a Path,
    /// What the kernel starts from.
    pub(super) boot_image: &'a Path,
    /// The directory that both sides write to.
    pub(super) shared: &'a Path,
}

/// Two igb cards with SR-IOV on one cable, two virtio cards on another, and nothing that a test does not need.
pub(super) fn arguments(devices: &Devices<'_>) -> Vec<OsString> {
    let (accelerator, processor) = match devices.accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg => ("tcg,thread=multi,tb-size=512", "max"),
    };
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: &str| arguments.extend([option.into(), value.into()]);
    add("-machine", "q35,sata=off,smbus=off,usb=off,hpet=off,vmport=off");
    add("-accel", accelerator);
    add("-cpu", processor);
    add("-smp", PROCESSORS);
    add("-m", MEMORY_MIB);
    for option in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        arguments.push(option.into());
    }
    let mut add = |option: &str, value: &str| arguments.extend([option.into(), value.into()]);
    add("-display", "none");
    add("-serial", "stdio");
    add("-device", "isa-debug-exit,iobase=0xf4,iosize=0x04");
    // vfio takes devices only behind one. It has to come before them.
    add("-device", "intel-iommu,intremap=off");
    for (number, slot) in [(0, "1"), (1, "2")] {
        add("-netdev", &format!("hubport,id=igb{number},hubid=1"));
        add("-device", &format!("pcie-root-port,id=port{number},chassis={slot},slot={slot}"));
        add("-device", &format!("igb,bus=port{number},netdev=igb{number},mac=02:00:00:00:01:0{slot}"));
        add("-netdev", &format!("hubport,id=virtio{number},hubid=2"));
        add("-device", &format!("virtio-net-pci,netdev=virtio{number},mac=02:00:00:00:02:0{slot}"));
    }
    let told = devices.counter_khz.map(|khz| format!(" tsc_early_khz={khz}")).unwrap_or_default();
    add("-append", &format!("{KERNEL_ARGUMENTS}{told}"));
    folder(&mut arguments, ROOT_TAG, Path::new("/"), ",readonly=on");
    folder(&mut arguments, SHARED_TAG, devices.shared, "");
    arguments.extend(["-kernel".into(), devices.kernel.into()]);
    arguments.extend(["-initrd".into(), devices.boot_image.into()]);
    arguments
}

/// A directory of this machine, with the file systems mounted below it.
fn folder(arguments: &mut Vec<OsString>, tag: &str, directory: &Path, option: &str) {
    let mut backend =
        OsString::from(format!("local,id={tag},security_model=none,multidevs=remap{option},path="));
    // A comma ends a value, two are one.
    backend.push(directory.display().to_string().replace(',', ",,"));
    let device = format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}");
    arguments.extend(["-fsdev".into(), backend, "-device".into(), device.into()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(accelerator: Accelerator) -> String {
        let devices = Devices {
            accelerator,
            counter_khz: Some(2_600_000),
            kernel: Path::new("/cache/vmlinux"),
            boot_image: Path::new("/logs/initrd"),
            shared: Path::new("/logs/a,b"),
        };
        let words: Vec<_> = arguments(&devices).into_iter().map(|word| word.into_string().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn the_machines_root_is_read_only_and_one_directory_is_not() {
        let line = line(Accelerator::Tcg);
        assert!(line.contains("multidevs=remap,readonly=on,path=/ "), "{line}");
        assert!(line.contains("id=shared,security_model=none,multidevs=remap,path=/logs/a,,b "), "{line}");
    }

    #[test]
    fn both_igb_cards_hang_on_one_cable_behind_ports_of_their_own() {
        let line = line(Accelerator::Tcg);
        assert_eq!(line.matches("hubid=1").count(), 2);
        assert_eq!(line.matches("pcie-root-port").count(), 2);
        assert!(line.contains("igb,bus=port1,netdev=igb1,mac=02:00:00:00:01:02"), "{line}");
    }

    #[test]
    fn a_guest_is_told_how_fast_its_counter_counts() {
        let line = line(Accelerator::Tcg);
        assert!(line.contains("iommu=pt tsc_early_khz=2600000 -fsdev"), "{line}");
    }

    #[test]
    fn the_processor_follows_the_accelerator() {
        assert!(line(Accelerator::Kvm).contains("-accel kvm -cpu host"));
        assert!(line(Accelerator::Tcg).contains("-accel tcg,thread=multi,tb-size=512 -cpu max"));
    }
}
