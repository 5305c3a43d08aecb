//! In which boot and for which pod an address was reserved.
//!
//! The file's content is the reference plugin's, and so is the directory: neither has room for more. The stamp is an
//! extended attribute of the file. It goes with the file, whoever removes it, and a file that the reference plugin makes
//! under the same name has none; a list of our own beside the directory would have to be compared with it each time. A
//! file system that keeps no such attributes is no worse off than before: records say what to release, and on a tmpfs no
//! reservation outlives its boot.

use std::os::fd::AsFd;

use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use rustix::io::Errno;

/// The attribute's name.
const ATTRIBUTE: &str = "user.plexus.lease";
/// Longest stamp in bytes; a boot id, a namespace and a pod's name stay below.
const BYTES_MAX: usize = 512;

/// What we note of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The boot that it was made in.
    pub(super) boot_id: String,
    /// `<namespace>/<name>`; empty where the runtime named no pod.
    pub(super) pod: String,
}

/// What a reservation's file says of its boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// We made it.
    Ours(Stamp),
    /// Somebody else made it.
    Foreign,
    /// The file system keeps no stamps.
    Untold,
}

impl Stamp {
    /// Notes it on an open file; without it the reservation holds as well.
    pub(super) fn write(&self, file: impl AsFd) {
        let text = format!("{} {}", self.boot_id, self.pod);
        match fsetxattr(file, ATTRIBUTE, text.as_bytes(), XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => tracing::debug!(pod = self.pod, %error, "a reservation has no stamp"),
        }
    }

    /// As it was noted; `None` for a text that is none of ours.
    fn parse(text: &[u8]) -> Option<Self> {
        let (boot_id, pod) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        (!boot_id.is_empty()).then(|| Self { boot_id: boot_id.to_owned(), pod: pod.to_owned() })
    }
}

impl Origin {
    /// What an open file says.
    pub(super) fn of(file: impl AsFd) -> Self {
        let mut buffer = [0; BYTES_MAX];
        match fgetxattr(file, ATTRIBUTE, &mut buffer) {
            Ok(length) => buffer.get(..length).and_then(Stamp::parse).map_or(Self::Foreign, Self::Ours),
            Err(Errno::NODATA | Errno::RANGE) => Self::Foreign,
            // Where it cannot be told, nothing is done on its account.
            Err(_) => Self::Untold,
        }
    }

    /// Whether we made it, in another boot than this one: its container cannot be running.
    pub(super) fn is_of_earlier_boot(&self, boot_id: &str) -> bool {
        matches!(self, Self::Ours(stamp) if stamp.boot_id != boot_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(boot_id: &str, pod: &str) -> Stamp {
        Stamp { boot_id: boot_id.into(), pod: pod.into() }
    }

    #[test]
    fn a_stamp_is_read_as_it_was_written_and_a_file_without_one_is_somebody_elses() {
        let file = tempfile::tempfile().unwrap();
        if Origin::of(&file) == Origin::Untold {
            println!("SKIPPED: the file system of the temporary directory keeps no extended attributes");
            return;
        }
        assert_eq!(Origin::of(&file), Origin::Foreign);
        for stamp in [stamp("b1", "default/web-0"), stamp("b2", "")] {
            stamp.write(&file);
            let origin = Origin::of(&file);
            assert_eq!(origin, Origin::Ours(stamp.clone()));
            assert!(origin.is_of_earlier_boot("b3") && !origin.is_of_earlier_boot(&stamp.boot_id));
        }
        assert!(!Origin::Foreign.is_of_earlier_boot("b") && !Origin::Untold.is_of_earlier_boot("b"));
        for text in [&b" default/web-0"[..], b"b1", b"", &[0xff, b' ']] {
            assert_eq!(Stamp::parse(text), None);
        }
    }
}
