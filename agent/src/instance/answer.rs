//! What the service's texts mean.

use super::InstanceError;

/// Most interfaces that are read of one instance; the largest have far fewer.
const INTERFACES_MAX: usize = 64;
/// Bytes of an answer that an error repeats.
const SHOWN: usize = 80;

/// One network interface of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The ENI, `eni-…`.
    pub eni: String,
    /// The index at which it is attached; 0 is the primary one.
    pub device_index: u32,
}

/// The hardware addresses of a listing: one on a line, with a slash behind it.
pub(super) fn macs(path: &str, text: &str) -> Result<Vec<[u8; 6]>, InstanceError> {
    let lines = text.lines().map(|line| line.trim().trim_end_matches('/')).filter(|line| !line.is_empty());
    let macs = lines.map(|line| mac(line).ok_or_else(|| wrong(path, text, "a list of hardware addresses")));
    macs.take(INTERFACES_MAX).collect()
}

/// Six bytes in hexadecimal.
fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|byte| if byte.len() == 2 { u8::from_str_radix(byte, 16).ok() } else { None })
        .collect();
    bytes?.try_into().ok()
}

/// The number of a device.
pub(super) fn device_index(path: &str, text: &str) -> Result<u32, InstanceError> {
    text.trim().parse().map_err(|_| wrong(path, text, "a device number"))
}

/// The name of an ENI.
pub(super) fn eni(path: &str, text: &str) -> Result<String, InstanceError> {
    let name = text.trim();
    if is_eni(name) { Ok(name.to_owned()) } else { Err(wrong(path, text, "the name of an ENI")) }
}

/// Whether it is `eni-` and hexadecimal digits.
pub fn is_eni(name: &str) -> bool {
    name.strip_prefix("eni-").is_some_and(|digits| {
        (1..=32).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn wrong(path: &str, text: &str, expected: &'static str) -> InstanceError {
    InstanceError::Answer { path: path.to_owned(), answer: text.chars().take(SHOWN).collect(), expected }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_listing_has_one_address_on_a_line() {
        let text = "02:29:96:8f:6a:2d/\n06:00:00:00:00:0A/";
        let expected = [[0x02, 0x29, 0x96, 0x8f, 0x6a, 0x2d], [6, 0, 0, 0, 0, 10]];
        assert_eq!(macs("/macs", text).unwrap(), expected);
        assert_eq!(macs("/macs", "").unwrap(), Vec::<[u8; 6]>::new());
        let error = macs("/macs", "<html>not here</html>").unwrap_err().to_string();
        assert!(error.contains("/macs") && error.contains("not here"), "{error}");
    }

    #[test]
    fn numbers_and_names_are_checked() {
        assert_eq!(device_index("/p", "2\n").unwrap(), 2);
        assert!(device_index("/p", "eth0").is_err());
        assert_eq!(eni("/p", "eni-0a1b2c\n").unwrap(), "eni-0a1b2c");
        assert!(eni("/p", "eni-../../x").is_err() && eni("/p", "eni-").is_err());
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(text in "\\PC{0,200}") {
            let outcomes = (macs("/p", &text).is_ok(), device_index("/p", &text).is_ok(), eni("/p", &text).is_ok());
            prop_assert!(!(outcomes.1 && outcomes.2));
        }
    }
}
