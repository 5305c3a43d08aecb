//! Which file is the primary CNI's.

/// File names in a config directory that are the primary CNI's, best first: the named one alone, else all that a runtime
/// would read, but for ours (`own`) and Multus'.
pub fn choose<'a>(files: &'a [String], own: &str, named: Option<&str>) -> Vec<&'a str> {
    let is_read = |name: &str| {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        matches!(extension, Some("conf" | "conflist" | "json")) && !name.starts_with('.')
    };
    let mut found: Vec<&str> = match named {
        Some(named) => files.iter().map(String::as_str).filter(|name| *name == named).collect(),
        None => files
            .iter()
            .map(String::as_str)
            .filter(|name| is_read(name) && *name != own && !name.starts_with("00-multus"))
            .collect(),
    };
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "00-plexus.conflist";

    #[test]
    fn the_alphabetically_first_foreign_config_is_the_primary() {
        let names = [
            "20-b.conf",
            OWN,
            "00-multus.conf",
            "10-flannel.conflist.bak",
            "10-calico.conflist",
            ".10-a.conflist",
            "05-x.yaml",
        ]
        .map(str::to_owned);
        assert_eq!(choose(&names, OWN, None), ["10-calico.conflist", "20-b.conf"]);
        assert_eq!(choose(&names, OWN, Some("20-b.conf")), ["20-b.conf"]);
        assert_eq!(choose(&names, OWN, Some("30-c.conf")), [""; 0]);
    }

    proptest! {
        #[test]
        fn our_own_file_is_never_the_primary(names in proptest::collection::vec("[0-9a-z.-]{0,12}", 0..20)) {
            let names: Vec<String> = names.into_iter().chain([OWN.to_owned()]).collect();
            prop_assert!(!choose(&names, OWN, None).contains(&OWN));
        }
    }
}
