//! What a listing of a table says: which chains there are, and which elements lead to them.

/// An element of a verdict map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// The map.
    pub(super) map: String,
    /// The key, in nft's words.
    pub(super) key: String,
    /// The chain that the verdict names.
    pub(super) chain: String,
}

/// A chain and its comment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// What was noted on it.
    pub(super) comment: Option<&'a str>,
}

/// The elements of all verdict maps in the listing of one table.
pub(super) fn elements(listing: &str) -> Vec<Element> {
    let mut found = Vec::new();
    let mut map = "";
    for line in listing.lines().map(str::trim) {
        if let Some(name) = opened(line, "map ") {
            map = name;
        } else if opened(line, "chain ").is_some() {
            map = "";
        } else if !map.is_empty() {
            let line = line.strip_prefix("elements = {").unwrap_or(line).trim_end_matches('}');
            found.extend(line.split(',').filter_map(|element| {
                let (key, verdict) = element.split_once(" : ")?;
                let chain = verdict.trim().strip_prefix("goto ").or(verdict.trim().strip_prefix("jump "))?;
                Some(Element {
                    map: map.to_owned(),
                    key: key.trim().to_owned(),
                    chain: chain.trim().to_owned(),
                })
            }));
        }
    }
    found
}

/// The chains in the listing of one table.
pub(super) fn chains(listing: &str) -> Vec<Chain<'_>> {
    let mut found: Vec<Chain<'_>> = Vec::new();
    let mut is_inside = false;
    for line in listing.lines().map(str::trim) {
        if let Some(name) = opened(line, "chain ") {
            found.push(Chain { name, comment: None });
            is_inside = true;
        } else if line == "}" {
            is_inside = false;
        } else if is_inside
            && let Some(comment) = line.strip_prefix("comment \"")
            && let Some(chain) = found.last_mut()
        {
            chain.comment = comment.strip_suffix('"');
        }
    }
    found
}

/// `NAME` of a line `KIND NAME {`.
fn opened<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    line.strip_prefix(kind)?.strip_suffix(" {")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "table inet plexus-hostport {
\tmap any4 {
\t\ttype inet_proto . inet_service : verdict
\t\telements = { tcp . 8080 : goto port-c-net1, 17 . 53 : goto port-d-net1,
\t\t\t     tcp . 8081 : goto port-c-net1 }
\t}

\tmap pods6 {
\t\ttype ipv6_addr : verdict
\t\telements = { fd00::5 : jump masq-c-net1 }
\t}

\tchain port-c-net1 {
\t\tcomment \"blue\"
\t\tmeta nfproto ipv4 dnat ip to meta l4proto . th dport map { tcp . 8080 : 10.1.0.5 . 80 }
\t}

\tchain in-use {
\t}
}
";

    #[test]
    fn every_element_is_read_with_its_map_and_chain() {
        let element = |map: &str, key: &str, chain: &str| Element {
            map: map.into(),
            key: key.into(),
            chain: chain.into(),
        };
        assert_eq!(
            elements(LISTING),
            [
                element("any4", "tcp . 8080", "port-c-net1"),
                element("any4", "17 . 53", "port-d-net1"),
                element("any4", "tcp . 8081", "port-c-net1"),
                element("pods6", "fd00::5", "masq-c-net1"),
            ]
        );
    }

    #[test]
    fn chains_are_read_with_their_comments() {
        assert_eq!(
            chains(LISTING),
            [Chain { name: "port-c-net1", comment: Some("blue") }, Chain { name: "in-use", comment: None }]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_listing_makes_the_reader_panic(text: String) {
            elements(&text);
            chains(&text);
        }
    }
}
