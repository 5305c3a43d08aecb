use std::fs::{create_dir_all, read_to_string, write};
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

const PF: &str = "0000:03:00.0";
const VF: &str = "0000:03:10.1";

/// A physical function `ens1` with its second virtual function `ens1v1`, an auxiliary device, a virtio NIC and `lo`.
fn tree() -> (TempDir, Sysfs) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let pci = root.join("devices/pci0000:00");
    for path in [
        "0000:03:00.0/net/ens1",
        "0000:03:00.0/net/aa0",
        "0000:03:10.0",
        "0000:03:10.1/net/ens1v1",
        "0000:04:00.0/virtio2/net/eth5",
        "0000:05:00.0",
        "0000:03:00.0/mlx5_core.sf.4/net/p0s4",
    ] {
        create_dir_all(pci.join(path)).unwrap();
    }
    for path in ["bus/pci/devices", "bus/auxiliary/devices", "class/net", "devices/virtual/net/lo"] {
        create_dir_all(root.join(path)).unwrap();
    }
    for driver in ["igbvf", "vfio-pci"] {
        create_dir_all(root.join("bus/pci/drivers").join(driver)).unwrap();
        for file in ["bind", "unbind"] {
            write(root.join("bus/pci/drivers").join(driver).join(file), "").unwrap();
        }
    }
    for name in ["0000:03:00.0", "0000:03:10.0", "0000:03:10.1", "0000:04:00.0", "0000:05:00.0"] {
        symlink(pci.join(name), root.join("bus/pci/devices").join(name)).unwrap();
    }
    symlink(pci.join(PF).join("mlx5_core.sf.4"), root.join("bus/auxiliary/devices/mlx5_core.sf.4")).unwrap();
    for (link, target) in [
        ("0000:03:10.0/physfn", "../0000:03:00.0"),
        ("0000:03:10.1/physfn", "../0000:03:00.0"),
        ("0000:03:00.0/virtfn0", "../0000:03:10.0"),
        ("0000:03:00.0/virtfn1", "../0000:03:10.1"),
        ("0000:03:10.1/driver", "../../../bus/pci/drivers/igbvf"),
        ("0000:03:10.0/driver", "../../../bus/pci/drivers/vfio-pci"),
        ("0000:03:10.1/net/ens1v1/device", "../../../0000:03:10.1"),
        ("0000:04:00.0/virtio2/net/eth5/device", "../../../virtio2"),
    ] {
        symlink(target, pci.join(link)).unwrap();
    }
    for (name, target) in [
        ("ens1v1", "0000:03:10.1/net/ens1v1"),
        ("eth5", "0000:04:00.0/virtio2/net/eth5"),
        ("aa0", "0000:03:00.0/net/aa0"),
    ] {
        symlink(pci.join(target), root.join("class/net").join(name)).unwrap();
    }
    write(pci.join("0000:03:00.0/net/aa0/phys_port_name"), "pf0vf1\n").unwrap();
    write(pci.join("0000:04:00.0/virtio2/net/eth5/dev_port"), "1\n").unwrap();
    write(pci.join("0000:03:10.1/net/ens1v1/dev_port"), "0\n").unwrap();
    symlink(root.join("devices/virtual/net/lo"), root.join("class/net/lo")).unwrap();
    let sysfs = Sysfs::at(root);
    (dir, sysfs)
}

fn id(text: &str) -> DeviceId {
    text.parse().unwrap()
}

#[test]
fn a_device_has_the_netdevs_of_its_directory_or_of_its_virtio_device() {
    let (_dir, sysfs) = tree();
    for (device, netdevs) in [
        (VF, &["ens1v1"][..]),
        ("mlx5_core.sf.4", &["p0s4"]),
        ("0000:04:00.0", &["eth5"]),
        ("0000:05:00.0", &[]),
        ("0000:09:00.0", &[]),
    ] {
        assert_eq!(sysfs.netdevs(&id(device)).unwrap(), netdevs, "{device}");
    }
    let path: KernelPath = "/sys/devices/pci0000:00/0000:03:10.1".parse().unwrap();
    assert_eq!(sysfs.netdevs_at(&path).unwrap(), ["ens1v1"]);
    assert!(sysfs.has(&id(VF)) && !sysfs.has(&id("0000:09:00.0")));
}

#[test]
fn a_kernel_path_stays_beneath_the_devices() {
    for wrong in [
        "",
        "/sys",
        "/sys/class/net/eth0",
        "/sys/devices/../class",
        "sys/devices/x",
        "/etc/devices",
        "/sys/devicesx",
    ] {
        assert!(wrong.parse::<KernelPath>().is_err(), "{wrong}");
    }
}

#[test]
fn a_netdev_leads_to_its_device_and_a_virtual_one_to_none() {
    let (_dir, sysfs) = tree();
    assert_eq!(sysfs.device_of("ens1v1").unwrap(), Some(id(VF)));
    assert_eq!(sysfs.device_of("eth5").unwrap(), Some(id("0000:04:00.0")));
    for name in ["lo", "none", "../x", ".."] {
        assert_eq!(sysfs.device_of(name).unwrap(), None, "{name}");
    }
}

#[test]
fn netdevs_of_one_device_are_told_apart_by_their_ports() {
    let (_dir, sysfs) = tree();
    for (name, port) in [("aa0", "pf0vf1"), ("eth5", "1"), ("ens1v1", ""), ("none", ""), ("../x", "")] {
        assert_eq!(sysfs.port_of(name), port, "{name}");
    }
}

#[test]
fn a_virtual_function_knows_its_physical_one_and_its_number() {
    let (_dir, sysfs) = tree();
    let (pf, vf) = (PF.parse().unwrap(), VF.parse().unwrap());
    assert_eq!(sysfs.virtual_function(vf).unwrap(), Some(VirtualFunction { pf, index: 1 }));
    assert_eq!(sysfs.virtual_function(pf).unwrap(), None);
    assert_eq!(sysfs.pf_netdev(pf).unwrap().as_deref(), Some("ens1"));
}

#[test]
fn drivers_are_named_and_bound_by_their_files() {
    let (dir, sysfs) = tree();
    assert_eq!(sysfs.driver(&id(VF)).unwrap().as_deref(), Some("igbvf"));
    assert!(is_userspace_driver(&sysfs.driver(&id("0000:03:10.0")).unwrap().unwrap()));
    assert_eq!(sysfs.driver(&id("0000:05:00.0")).unwrap(), None);
    let vf = VF.parse().unwrap();
    sysfs.unbind(vf, "igbvf").unwrap();
    assert_eq!(read_to_string(dir.path().join("bus/pci/drivers/igbvf/unbind")).unwrap(), VF);
    let error = CniError::from(sysfs.bind(vf, "none").unwrap_err());
    assert!(error.to_string().contains("drivers/none/bind"), "{error}");
}
