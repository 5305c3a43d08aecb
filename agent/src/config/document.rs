//! Reading YAML and JSON with the place of every key.

use std::fmt;

use plexus_cni::lines::{Lines, Position, child};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// Most documents in one text.
const DOCUMENTS_MAX: usize = 10_000;

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its content.
    pub value: Value,
    /// Where each key stands.
    pub lines: Lines,
}

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}{why}", position.map(|at| format!("{at}: ")).unwrap_or_default())]
pub struct Unreadable {
    /// Where reading ended.
    pub position: Option<Position>,
    /// What is wrong there.
    pub why: String,
}

/// Reads JSON, or YAML with any number of documents, as Kubernetes does: `off` and `n` are texts.
pub fn read(text: &str) -> Result<Vec<Document>, Unreadable> {
    if is_json(text) {
        // YAML would forgive what JSON does not, and whoever reads the file in the end may not.
        let value = serde_json::from_str(text).map_err(|error| Unreadable {
            position: place(error.line(), error.column()),
            why: error.to_string(),
        })?;
        return Ok(vec![Document { value, lines: Lines::of_json(text) }]);
    }
    let options = serde_saphyr::options! { strict_booleans: true };
    let documents = serde_saphyr::from_multiple_with_options::<Spanned<Node>>(text, options);
    let documents = documents.map_err(|error| {
        let at = error.location().and_then(|at| place(to_usize(at.line()), to_usize(at.column())));
        Unreadable { position: at, why: error.without_snippet().to_string() }
    })?;
    if documents.len() > DOCUMENTS_MAX {
        return Err(Unreadable {
            position: None,
            why: format!("it has more than {DOCUMENTS_MAX} documents"),
        });
    }
    Ok(documents.into_iter().map(document).filter(|document| !document.value.is_null()).collect())
}

/// Whether the text begins as JSON: a brace and a quoted key, or a list of such.
fn is_json(text: &str) -> bool {
    let inner = text.trim_start().strip_prefix(['{', '[']).map(str::trim_start);
    inner.is_some_and(|inner| inner.starts_with(['"', '{', '}', ']']))
}

fn to_usize(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or_default()
}

fn place(line: usize, column: usize) -> Option<Position> {
    let position = Position { line: u32::try_from(line).ok()?, column: u32::try_from(column).ok()? };
    (line > 0).then_some(position)
}

fn document(root: Spanned<Node>) -> Document {
    let mut lines = Lines::default();
    note(&mut lines, String::new(), &root.referenced);
    let value = root.value.into_value("", &mut lines);
    Document { value, lines }
}

fn note(lines: &mut Lines, pointer: String, at: &serde_saphyr::Location) {
    if let Some(position) = place(to_usize(at.line()), to_usize(at.column())) {
        lines.insert(pointer, position);
    }
}

/// A value that knows where its keys and items are.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    fn into_value(self, pointer: &str, lines: &mut Lines) -> Value {
        match self {
            Self::Scalar(value) => value,
            Self::List(items) => {
                let item = |(index, item): (usize, Spanned<Self>)| {
                    let inner = child(pointer, &index.to_string());
                    note(lines, inner.clone(), &item.referenced);
                    item.value.into_value(&inner, lines)
                };
                Value::Array(items.into_iter().enumerate().map(item).collect())
            }
            Self::Map(members) => {
                let mut object = Map::new();
                for (key, value) in members {
                    let inner = child(pointer, &key.value);
                    note(lines, inner.clone(), &key.referenced);
                    let value = value.into_value(&inner, lines);
                    object.insert(key.value, value);
                }
                Value::Object(object)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_knows_where_its_keys_are() {
        let text = "# first\na: 1\nlist:\n- x\n- y: off\n---\nb:\n  c: \"2\"\n";
        let documents = read(text).unwrap();
        assert_eq!(documents[0].value, serde_json::json!({"a": 1, "list": ["x", {"y": "off"}]}));
        assert_eq!(documents[1].value, serde_json::json!({"b": {"c": "2"}}));
        let line = |document: usize, pointer: &str| documents[document].lines.get(pointer).unwrap().line;
        assert_eq!([line(0, "/a"), line(0, "/list/1"), line(0, "/list/1/y"), line(1, "/b/c")], [2, 5, 5, 8]);
    }

    #[test]
    fn json_with_tabs_is_json_and_what_is_wrong_has_its_place() {
        let documents = read("{\n\t\"a\": {\n\t\t\"b\": [1, 2]\n\t}\n}\n").unwrap();
        assert_eq!(documents[0].lines.get("/a/b").unwrap().line, 3);
        assert_eq!(read("{\n\"a\": 1,\n}").unwrap_err().position.unwrap().line, 3);
        assert_eq!(read("a: 1\nb: [\n").unwrap_err().position.map(|at| at.line >= 2), Some(true));
        assert_eq!(read("a: 1\nb: 2\na: 3\n").unwrap_err().position.unwrap().line, 3);
        assert!(read("").unwrap().is_empty());
    }
}
