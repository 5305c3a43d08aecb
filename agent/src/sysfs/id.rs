//! Names of devices: PCI addresses and auxiliary devices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of an auxiliary device that is accepted, in bytes.
const AUXILIARY_BYTES_MAX: usize = 64;

/// A text that names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a PCI address such as 0000:03:02.0 nor an auxiliary device such as mlx5_core.sf.4")]
pub struct WrongDeviceId(String);

/// A PCI function: `domain:bus:device.function`, in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PciAddress {
    /// Four digits, more behind some controllers (Intel VMD).
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl FromStr for PciAddress {
    type Err = WrongDeviceId;

    fn from_str(text: &str) -> Result<Self, WrongDeviceId> {
        parse_pci(text).ok_or_else(|| WrongDeviceId(text.to_owned()))
    }
}

fn parse_pci(text: &str) -> Option<PciAddress> {
    let (domain, rest) = text.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let hex = |digits: &str, lengths: std::ops::RangeInclusive<usize>| {
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_hex && lengths.contains(&digits.len())).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    Some(PciAddress {
        domain: hex(domain, 4..=8)?,
        bus: hex(bus, 2..=2)?.try_into().ok()?,
        device: hex(device, 2..=2)?.try_into().ok().filter(|device| *device < 32)?,
        function: hex(function, 1..=1)?.try_into().ok().filter(|function| *function < 8)?,
    })
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.domain, self.bus, self.device, self.function)
    }
}

impl TryFrom<String> for PciAddress {
    type Error = WrongDeviceId;

    fn try_from(text: String) -> Result<Self, WrongDeviceId> {
        text.parse()
    }
}

impl From<PciAddress> for String {
    fn from(address: PciAddress) -> Self {
        address.to_string()
    }
}

/// A device on the auxiliary bus, such as a scalable function: `driver.kind.number`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuxiliaryName(String);

impl AuxiliaryName {
    /// The name, which is a plain file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AuxiliaryName {
    type Err = WrongDeviceId;

    /// Names of parts, letters, digits, `_` and `-`, joined by dots; at least three (Linux, drivers/base/auxiliary.c).
    fn from_str(text: &str) -> Result<Self, WrongDeviceId> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        let is_name = text.len() <= AUXILIARY_BYTES_MAX
            && text.split('.').count() >= 3
            && text.split('.').all(is_part)
            && text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if is_name { Ok(Self(text.to_owned())) } else { Err(WrongDeviceId(text.to_owned())) }
    }
}

/// What a config's `deviceID` names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceId {
    /// A PCI function.
    Pci(PciAddress),
    /// A device on the auxiliary bus.
    Auxiliary(AuxiliaryName),
}

impl FromStr for DeviceId {
    type Err = WrongDeviceId;

    fn from_str(text: &str) -> Result<Self, WrongDeviceId> {
        text.parse().map(Self::Pci).or_else(|_| text.parse().map(Self::Auxiliary))
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pci(address) => address.fmt(f),
            Self::Auxiliary(name) => f.write_str(name.as_str()),
        }
    }
}

impl TryFrom<String> for DeviceId {
    type Error = WrongDeviceId;

    fn try_from(text: String) -> Result<Self, WrongDeviceId> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pci_address_is_read_in_either_case_and_written_as_sysfs_does() {
        for (text, written) in [("0000:3B:02.1", "0000:3b:02.1"), ("10000:00:1f.7", "10000:00:1f.7")] {
            assert_eq!(text.parse::<PciAddress>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_no_address_and_no_auxiliary_name_is_refused() {
        for wrong in [
            "",
            "03:02.0",
            "0000:03:20.0",
            "0000:03:02.8",
            "0000:03:02",
            "0000:03:02.0/..",
            "../0000:03:02.0",
            "0000:03:+2.0",
            "eth0",
            "a.b",
            "a.b.c",
            "a..1",
            "../x.sf.1",
            "a/b.sf.1",
            "a.sf.1 ",
            "..",
        ] {
            assert!(wrong.parse::<DeviceId>().is_err(), "{wrong}");
        }
        let long = format!("{}.sf.1", "a".repeat(AUXILIARY_BYTES_MAX));
        assert!(long.parse::<DeviceId>().is_err());
        assert!(matches!("mlx5_core.sf.4".parse(), Ok(DeviceId::Auxiliary(_))));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_one_plain_file_name(text in "\\PC{0,80}") {
            if let Ok(id) = text.parse::<DeviceId>() {
                let name = id.to_string();
                prop_assert!(!name.contains('/') && name != "." && name != ".." && !name.is_empty());
                prop_assert_eq!(name.parse::<DeviceId>().unwrap(), id);
            }
        }

        #[test]
        fn an_address_survives_its_text(domain: u16, bus: u8, device in 0_u8..32, function in 0_u8..8) {
            let address = PciAddress { domain: domain.into(), bus, device, function };
            prop_assert_eq!(address.to_string().parse::<PciAddress>().unwrap(), address);
        }
    }
}
