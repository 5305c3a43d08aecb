//! Differences of two documents, and whether each is explained.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::row::Difference;

/// Of a value that differs, so much is shown.
const SHOWN_CHARS: usize = 160;

/// One value that is not the same on both sides; `None` where one has none.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: String,
    ours: Option<String>,
    theirs: Option<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |side: &Option<String>| {
            let text = side.as_deref().unwrap_or("nothing");
            text.chars().take(SHOWN_CHARS).collect::<String>()
        };
        write!(f, "{}: ours {}, theirs {}", self.path, shown(&self.ours), shown(&self.theirs))
    }
}

/// All of them; what is wholly on one side is one difference.
pub(crate) fn between(ours: &Value, theirs: &Value) -> Vec<Found> {
    let mut found = Vec::new();
    compare(ours, theirs, "", &mut found);
    found
}

fn compare(ours: &Value, theirs: &Value, path: &str, found: &mut Vec<Found>) {
    if ours == theirs || is_empty(ours) && is_empty(theirs) {
        return;
    }
    let both: BTreeSet<String> = keys(ours).chain(keys(theirs)).collect();
    let is_leaf = |value: &Value| is_empty(value) || !(value.is_object() || value.is_array());
    if is_leaf(ours) || is_leaf(theirs) {
        let shown = |value: &Value| (!is_empty(value)).then(|| value.to_string());
        return found.push(Found { path: path.to_owned(), ours: shown(ours), theirs: shown(theirs) });
    }
    for key in both {
        let below = if path.is_empty() { key.clone() } else { format!("{path}/{key}") };
        compare(at(ours, &key), at(theirs, &key), &below, found);
    }
}

/// What holds nothing is as good as absent.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.values().all(is_empty),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn keys(value: &Value) -> Box<dyn Iterator<Item = String> + '_> {
    match value {
        Value::Object(object) => Box::new(object.keys().cloned()),
        Value::Array(items) => Box::new((0..items.len()).map(|at| at.to_string())),
        _ => Box::new(std::iter::empty()),
    }
}

fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    match value {
        Value::Array(items) => key.parse().ok().and_then(|at: usize| items.get(at)),
        other => other.get(key),
    }
    .unwrap_or(&Value::Null)
}

/// Differences without an explanation.
pub(crate) fn unexplained(found: &[Found], explained: &[Difference]) -> Vec<String> {
    let is_covered = |one: &&Found| explained.iter().any(|difference| covers(difference.path, &one.path));
    found.iter().filter(|one| !is_covered(one)).map(|one| format!("not explained: {one}")).collect()
}

/// Explanations without a difference.
pub(crate) fn idle(found: &[Found], explained: &[Difference]) -> Vec<String> {
    let is_idle = |difference: &&Difference| !found.iter().any(|one| covers(difference.path, &one.path));
    let shown = |difference: &Difference| {
        format!("explained, but there is no such difference: {} ({})", difference.path, difference.why)
    };
    explained.iter().filter(is_idle).map(shown).collect()
}

/// Whether `path` is at or below the place that `pattern` names.
fn covers(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    pattern.split('/').all(|wanted| segments.next().is_some_and(|segment| is_like(wanted, segment)))
}

fn is_like(pattern: &str, segment: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == segment,
        Some((start, rest)) => segment.strip_prefix(start).is_some_and(|tail| {
            rest.is_empty()
                || (0..=tail.len()).any(|at| tail.is_char_boundary(at) && is_like(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pattern_covers_what_is_at_or_below_it() {
        assert!(covers("added/pod/links/net1", "added/pod/links/net1/mtu"));
        assert!(covers("*/pod/links/net*/mtu", "added/pod/links/net1/mtu"));
        assert!(covers("*/*/qdiscs/* clsact", "added/pod/qdiscs/net1 clsact"));
        assert!(!covers("*/*/qdiscs/* clsact", "added/pod/qdiscs/net1 tbf"));
        assert!(!covers("added/pod/links/net1/mtu", "added/pod/links/net1"));
    }

    #[test]
    fn a_difference_needs_an_explanation_and_an_explanation_a_difference() {
        let found = between(&json!({"a": {"b": 1, "c": []}}), &json!({"a": {"b": 2}, "d": null}));
        assert_eq!(found.len(), 1);
        assert_eq!(unexplained(&found, &[]).len(), 1);
        let because = |path| Difference { path, why: "" };
        assert_eq!(unexplained(&found, &[because("a")]), Vec::<String>::new());
        assert_eq!(idle(&found, &[because("a"), because("x")]).len(), 1);
    }
}
