//! Names that foreign input chooses: what they may hold, so that none can name a path.

use crate::error::{CniError, Code};
use crate::limits::{CONTAINER_ID_BYTES_MAX, NETWORK_NAME_BYTES_MAX};

/// The shim's file name; its other names are links to it.
pub const SHIM_NAME: &str = "plexus";
/// What is appended to the name of a plugin whose place the shim took.
pub const KEPT_ASIDE: &str = ".before-plexus";

/// Checks a container id (C024, C025): alphanumeric first, then also `_`, `.` and `-`.
pub fn check_container_id(id: &str) -> Result<(), CniError> {
    if id.is_empty() || !is_cni_name(id) {
        return Err(CniError::new(
            Code::InvalidEnvironment,
            format!("CNI_CONTAINERID {id:?} is not a container id"),
        )
        .because("it must start with a letter or digit and hold only letters, digits, '_', '.' and '-'"));
    }
    if id.len() > CONTAINER_ID_BYTES_MAX {
        return Err(CniError::new(
            Code::InvalidEnvironment,
            format!("CNI_CONTAINERID has {} bytes, at most {CONTAINER_ID_BYTES_MAX} are allowed", id.len()),
        ));
    }
    Ok(())
}

/// Checks an interface name (C026) as the kernel's `dev_valid_name` does; `origin` says where it was read.
pub fn check_ifname(name: &str, origin: &str) -> Result<(), CniError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > 15 {
        "it is longer than 15 bytes"
    } else if name == "." || name == ".." {
        "it is a directory"
    } else if name
        .bytes()
        .any(|byte| matches!(byte, b'/' | b':' | b'%' | 0xa0) || byte <= b' ' || byte == 0x7f)
    {
        // The kernel reads "%d" as "the next free number" and 0xa0 as white space.
        "it holds '/', ':', '%' or white space"
    } else {
        return Ok(());
    };
    Err(CniError::new(Code::InvalidEnvironment, format!("{origin} {name:?} is not an interface name"))
        .because(reason))
}

/// Checks a network name (C011).
pub fn check_network_name(name: &str) -> Result<(), CniError> {
    if is_cni_name(name) && name.len() <= NETWORK_NAME_BYTES_MAX {
        return Ok(());
    }
    Err(CniError::new(Code::InvalidConfig, format!("name {name:?} is not a network name")).because(format!(
        "it must start with a letter or digit, hold only letters, digits, '_', '.' and '-', \
         and have at most {NETWORK_NAME_BYTES_MAX} bytes"
    )))
}

/// Checks a plugin type (C029); `key` is `type` or `ipam.type`.
pub fn check_plugin_type(name: &str, key: &str) -> Result<(), CniError> {
    let plain = !name.is_empty() && name.len() <= 100 && name != "." && name != "..";
    if plain && !name.bytes().any(|byte| matches!(byte, b'/' | b'\\' | 0)) {
        return Ok(());
    }
    Err(CniError::new(Code::InvalidConfig, format!("{key} {name:?} is not a plugin name"))
        .because("a plugin is named by its file name in CNI_PATH, without directories"))
}

/// Whether `name` can be a namespace or a network in an annotation's short form: RFC 1123 label, at most 63 bytes.
pub fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether `name` can be a Kubernetes object's: RFC 1123 subdomain, at most 253 bytes.
pub fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

/// `^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`
fn is_cni_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c024_a_container_id_cannot_be_a_path() {
        for wrong in ["", "-a", ".a", "a/b", "../a", "a b", "a;b", "a\nb", "a\0b", "ä"] {
            assert_eq!(check_container_id(wrong).unwrap_err().code, Code::InvalidEnvironment, "{wrong:?}");
        }
        assert!(check_container_id("a0B-_.").is_ok());
    }

    #[test]
    fn c026_an_interface_name_fits_the_kernel() {
        for wrong in ["", "sixteen-bytes-ab", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\u{b}b", "net%d", "à"]
        {
            assert!(check_ifname(wrong, "CNI_IFNAME").is_err(), "{wrong:?}");
        }
        assert!(check_ifname("fifteen-bytes-a", "CNI_IFNAME").is_ok());
    }

    #[test]
    fn c029_a_plugin_type_cannot_leave_its_directory() {
        for wrong in ["", "a/b", "..", "a\\b", "a\0"] {
            assert_eq!(check_plugin_type(wrong, "type").unwrap_err().code, Code::InvalidConfig, "{wrong:?}");
        }
    }
}
