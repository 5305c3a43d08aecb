//! Where something stands that is told by words only: a config within a manifest, a key that an error names.

use crate::lines::{Lines, Position, child};

/// The place in `source` of what stands at `at` in `inner`, a text that was written into `source` somewhere after `from`,
/// in any of YAML's styles: white space and escapes differ, other characters come in the same order.
pub(super) fn outer(source: &str, from: Position, inner: &str, at: Position) -> Position {
    let mut wanted = Vec::new();
    'lines: for (line, text) in (1_u32..).zip(inner.split('\n')) {
        for (column, letter) in (1_u32..).zip(text.chars()) {
            if !letter.is_whitespace() {
                wanted.push(letter);
            }
            if (line, column) >= (at.line, at.column) {
                break 'lines;
            }
        }
    }
    let letters = (1_u32..).zip(source.split('\n')).flat_map(|(line, text)| {
        (1_u32..).zip(text.chars()).map(move |(column, letter)| (Position { line, column }, letter))
    });
    // The key itself is not part of the text.
    let mut letters =
        letters.skip_while(|(place, _)| *place < from).skip_while(|(_, letter)| *letter != ':').skip(1);
    let mut found = from;
    for letter in wanted {
        match letters.find(|(_, other)| *other == letter) {
            Some((place, _)) => found = place,
            None => return from,
        }
    }
    found
}

/// The pointer beneath `prefix` of the deepest key that `message` names, as in `key "ipam.ranges[0][1].subnet"`.
pub(super) fn named_key(lines: &Lines, prefix: &str, message: &str) -> String {
    let words =
        message.split(|letter: char| letter.is_whitespace() || matches!(letter, '"' | ':' | ',' | ';'));
    let pointers = words.filter(|word| !word.is_empty()).map(|word| pointer(prefix, word));
    pointers
        .filter(|pointer| lines.contains(pointer))
        .max_by_key(|pointer| pointer.matches('/').count())
        .unwrap_or_else(|| prefix.to_owned())
}

/// `a.b[0]` beneath `/x` is `/x/a/b/0`.
fn pointer(prefix: &str, path: &str) -> String {
    let parts = path.split(['.', '[', ']']).filter(|part| !part.is_empty());
    parts.fold(prefix.to_owned(), |pointer, part| child(&pointer, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_in_a_manifest_is_found_in_every_style() {
        let inner = "{\n  \"a\": 1,\n  \"b\": \"it's\"\n}\n";
        let at = Lines::of_json(inner).get("/b").unwrap();
        let from = Position { line: 2, column: 3 };
        for (source, line, column) in [
            ("spec:\n  config: |\n    {\n      \"a\": 1,\n      \"b\": \"it's\"\n    }\n", 5, 7),
            ("spec:\n  config: '{\"a\": 1,\n    \"b\": \"it''s\"}'\n", 3, 5),
            ("spec:\n  config: \"{\\\"a\\\": 1, \\\"b\\\": \\\"it's\\\"}\"\n", 2, 24),
            ("spec:\n  config: >-\n    {\"a\": 1,\n    \"b\": \"it's\"}\n", 4, 5),
        ] {
            let place = outer(source, from, inner, at);
            assert_eq!((place.line, place.column), (line, column), "{source}");
        }
    }

    #[test]
    fn the_deepest_key_of_a_message_is_meant() {
        let lines = Lines::of_json(r#"{"plugins": [{"type": "x", "ipam": {"ranges": [[{"subnet": 1}]]}}]}"#);
        let found = |message: &str| named_key(&lines, "/plugins/0", message);
        assert_eq!(
            found("network \"n\": host-local: ipam.ranges[0][0].subnet \"x\" is no subnet"),
            "/plugins/0/ipam/ranges/0/0/subnet"
        );
        assert_eq!(found("macvlan: key \"type\" cannot be used"), "/plugins/0/type");
        assert_eq!(found("nothing"), "/plugins/0");
    }
}
