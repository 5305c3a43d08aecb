//! The administrator's list of sysctls that may be set: one regular expression a line.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use plexus_cni::{CniError, Code};
use regex::Regex;

/// Longest list, in bytes.
const BYTES_MAX: u64 = 64 << 10;

/// Which sysctls may be set.
#[derive(Debug)]
pub(super) enum Allowlist {
    /// There is no list: all of a pod's namespace.
    All,
    /// Those that one of these matches.
    Matching(Vec<Regex>),
}

impl Allowlist {
    /// Reads the file; one that is not there allows all, as in the reference.
    pub(super) fn read(path: &Path) -> Result<Self, CniError> {
        let fail = |why: String| {
            CniError::new(
                Code::State,
                format!("the list of allowed sysctls {} cannot be read", path.display()),
            )
            .because(why)
        };
        let file = match File::open(path) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Self::All);
            }
            other => other.map_err(|error| fail(error.to_string()))?,
        };
        let mut text = String::new();
        file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| fail(error.to_string()))?;
        if text.len() as u64 > BYTES_MAX {
            return Err(fail(format!("it has more than {BYTES_MAX} bytes")));
        }
        Self::parse(&text).map_err(fail)
    }

    /// Reads the text of such a file.
    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        let parsed = lines.map(|(at, line)| {
            Regex::new(line).map_err(|error| format!("line {} is no regular expression: {error}", at + 1))
        });
        parsed.collect::<Result<_, _>>().map(Self::Matching)
    }

    /// Whether the sysctl may be set, by the key that the config has for it; an expression may match a part of it.
    pub(super) fn allows(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Matching(expressions) => expressions.iter().any(|expression| expression.is_match(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Allowlist {
        Allowlist::parse(text).unwrap()
    }

    #[test]
    fn a_line_is_an_expression_and_matches_a_part() {
        let some = list("\n  ^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$ \n\nsomaxconn\n");
        for (key, is_allowed) in [
            ("net.ipv4.conf.IFNAME.arp_filter", true),
            ("net.ipv4.conf.all.arp_filter", false),
            ("net.core.somaxconn", true),
            ("net.core.rmem_max", false),
        ] {
            assert_eq!(some.allows(key), is_allowed, "{key}");
        }
    }

    #[test]
    fn without_a_file_all_is_allowed_and_with_an_empty_one_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("allowlist.conf");
        assert!(Allowlist::read(&path).unwrap().allows("net.a"));
        std::fs::write(&path, "\n").unwrap();
        assert!(!Allowlist::read(&path).unwrap().allows("net.a"));
    }

    #[test]
    fn a_list_that_cannot_be_understood_allows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("allowlist.conf");
        std::fs::write(&path, "net.a\n(").unwrap();
        let error = Allowlist::read(&path).unwrap_err();
        assert!(error.details.contains("line 2"), "{error}");
        std::fs::write(&path, vec![b'a'; 1 << 17]).unwrap();
        assert_eq!(Allowlist::read(&path).unwrap_err().code, Code::State);
        assert_eq!(Allowlist::read(dir.path()).unwrap_err().code, Code::State);
    }

    proptest! {
        #[test]
        fn a_key_that_is_listed_literally_is_allowed_and_no_other(
            keys in prop::collection::vec("net(\\.[a-z_]{1,6}){1,3}", 1..6), other in "net(\\.[a-z_]{1,6}){1,3}",
        ) {
            let lines: Vec<String> = keys.iter().map(|key| format!("^{}$", regex::escape(key))).collect();
            let some = list(&lines.join("\n"));
            prop_assert!(keys.iter().all(|key| some.allows(key)));
            prop_assert_eq!(some.allows(&other), keys.contains(&other));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            drop(Allowlist::parse(&text));
        }
    }
}
