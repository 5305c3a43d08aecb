//! `CNI_ARGS`: pairs of key and value that the runtime adds.

use crate::error::{CniError, Code};
use crate::limits::ARGS_BYTES_MAX;

/// The pairs of `CNI_ARGS`, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CniArgs {
    pairs: Vec<(String, String)>,
}

/// Keys that Plexus reads.
const KNOWN: &[&str] = &[
    "IgnoreUnknown",
    "IP",
    "MAC",
    "GATEWAY",
    "K8S_POD_NAMESPACE",
    "K8S_POD_NAME",
    "K8S_POD_UID",
    "K8S_POD_INFRA_CONTAINER_ID",
];

impl CniArgs {
    /// Parses `KEY=VALUE;KEY=VALUE`; a key that nobody here reads is an error unless `IgnoreUnknown` is true (C028).
    pub fn parse(text: &str) -> Result<Self, CniError> {
        if text.len() > ARGS_BYTES_MAX {
            return Err(wrong(format!("it has {} bytes, at most {ARGS_BYTES_MAX} are allowed", text.len())));
        }
        let mut pairs = Vec::new();
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((key, value)) if !key.is_empty() && !value.contains('=') => {
                    pairs.push((key.to_owned(), value.to_owned()));
                }
                _ => return Err(wrong(format!("{pair:?} is not KEY=VALUE with exactly one '='"))),
            }
        }
        let args = Self { pairs };
        if !args.ignores_unknown()
            && let Some((key, _)) = args.pairs.iter().find(|(key, _)| !KNOWN.contains(&key.as_str()))
        {
            return Err(wrong(format!("key {key:?} is unknown and IgnoreUnknown is not true")));
        }
        Ok(args)
    }

    /// The value of `key`; empty values count as absent, the last one wins.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .iter()
            .rev()
            .find(|(found, value)| found == key && !value.is_empty())
            .map(|(_, value)| &**value)
    }

    /// The value of `K8S_POD_NAMESPACE` and `K8S_POD_NAME`, if this call is about a pod.
    pub fn pod(&self) -> Option<(&str, &str)> {
        Some((self.get("K8S_POD_NAMESPACE")?, self.get("K8S_POD_NAME")?))
    }

    /// All pairs, in the runtime's order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    fn ignores_unknown(&self) -> bool {
        self.get("IgnoreUnknown")
            .is_some_and(|value| matches!(value, "1" | "true" | "True" | "TRUE" | "t" | "T"))
    }
}

fn wrong(why: String) -> CniError {
    CniError::new(Code::InvalidEnvironment, "CNI_ARGS cannot be used").because(why)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn c028_unknown_keys_are_refused_unless_ignored() {
        assert!(CniArgs::parse("COLOR=blue").is_err());
        assert_eq!(CniArgs::parse("IgnoreUnknown=1;COLOR=blue").unwrap().get("COLOR"), Some("blue"));
        assert!(CniArgs::parse("K8S_POD_NAME").is_err());
        assert!(CniArgs::parse("K8S_POD_NAME=a=b").is_err());
    }

    #[test]
    fn a_duplicate_key_with_an_empty_value_does_not_hide_the_filled_one() {
        let args = CniArgs::parse("K8S_POD_NAME=a;K8S_POD_NAME=;K8S_POD_NAMESPACE=n").unwrap();
        assert_eq!(args.pod(), Some(("n", "a")));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            if let Ok(args) = CniArgs::parse(&text) {
                prop_assert!(args.pairs().iter().all(|(key, value)| !key.is_empty() && !value.contains('=')));
            }
        }

        #[test]
        fn pairs_come_out_as_they_went_in(pairs in proptest::collection::vec(("[A-Z_]{1,8}", "[a-z0-9./:-]{0,8}"), 0..8)) {
            let mut all = vec![("IgnoreUnknown".to_owned(), "1".to_owned())];
            all.extend(pairs);
            let text: Vec<String> = all.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let args = CniArgs::parse(&text.join(";")).unwrap();
            prop_assert_eq!(args.pairs(), &all[..]);
        }
    }
}
