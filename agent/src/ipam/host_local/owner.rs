//! Who holds a reservation, as its file says.

use std::fmt;

/// What the reference plugin writes between container id and interface name.
const LINE_BREAK: &str = "\r\n";

/// Container id and interface name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner<'a> {
    pub(super) container_id: &'a str,
    pub(super) ifname: &'a str,
}

/// How a file's owner relates to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Container and interface are the same.
    Exact,
    /// The file is of an old version that wrote the container only, and the container is the same.
    Legacy,
    /// Somebody else's.
    No,
}

impl Owner<'_> {
    /// The content of a reservation.
    pub(super) fn content(self) -> String {
        format!("{}{LINE_BREAK}{}", self.container_id.trim(), self.ifname)
    }

    /// Container id and interface of a file's content; old versions wrote no interface.
    pub(super) fn parts(content: &str) -> (&str, Option<&str>) {
        let content = content.trim();
        content.split_once(LINE_BREAK).map_or((content, None), |(id, ifname)| (id, Some(ifname)))
    }

    /// Compares with a file's content, white space around it left aside.
    pub(super) fn holds(self, content: &str) -> Match {
        match content.trim().split_once(LINE_BREAK) {
            Some((id, ifname)) if id == self.container_id.trim() && ifname == self.ifname => Match::Exact,
            None if !content.trim().is_empty() && content.trim() == self.container_id.trim() => Match::Legacy,
            _ => Match::No,
        }
    }
}

/// The container in a file's content.
pub(super) fn container(content: &str) -> &str {
    let content = content.trim();
    content.split_once(LINE_BREAK).map_or(content, |(id, _)| id)
}

/// Names the holder of a file with this content, for a message.
pub(super) fn describe(content: &str) -> impl fmt::Display + '_ {
    fmt::from_fn(move |formatter| match content.trim().split_once(LINE_BREAK) {
        Some((id, ifname)) => write!(formatter, "container {id} interface {ifname}"),
        None if content.trim().is_empty() => write!(formatter, "nobody (left by a crash)"),
        None => write!(formatter, "container {}", content.trim()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_one_container_and_one_interface() {
        let owner = Owner { container_id: "abc", ifname: "eth0" };
        assert_eq!(owner.content(), "abc\r\neth0");
        assert_eq!(owner.holds("abc\r\neth0"), Match::Exact);
        assert_eq!(owner.holds("abc\r\neth0\n"), Match::Exact);
        assert_eq!(owner.holds("abc"), Match::Legacy);
        assert_eq!(owner.holds(" abc\n"), Match::Legacy);
        for other in ["", "abc\r\neth1", "abcd\r\neth0", "ab", "abc\neth0", "eth0"] {
            assert_eq!(owner.holds(other), Match::No, "{other:?}");
        }
        assert_eq!([container("abc\r\neth0\n"), container(" abc\n"), container("")], ["abc", "abc", ""]);
        assert_eq!(describe("abc\r\neth0").to_string(), "container abc interface eth0");
    }
}
