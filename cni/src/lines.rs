//! Where in a text each key stands, so that an error can name the line.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_path_to_error::{Path, Segment};

/// Deepest nesting that is looked into; serde_json refuses deeper documents.
const DEPTH_MAX: usize = 128;

/// A place in a text; both numbers begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}", self.line, self.column)
    }
}

/// The positions of all keys and list items of a document, by JSON pointer (RFC 6901).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<String, Position>);

impl Lines {
    /// The positions in a JSON text; of a text that is no JSON those before the error.
    pub fn of_json(text: &str) -> Self {
        let mut scanner =
            Scanner { text: text.chars().collect(), at: 0, line: 1, column: 1, lines: Self::default() };
        scanner.value("", 0);
        scanner.lines
    }

    /// Notes a position.
    pub fn insert(&mut self, pointer: String, position: Position) {
        self.0.insert(pointer, position);
    }

    /// The position of what `pointer` leads to, else of the nearest thing around it.
    pub fn get(&self, pointer: &str) -> Option<Position> {
        let mut rest = pointer;
        loop {
            if let Some(position) = self.0.get(rest) {
                return Some(*position);
            }
            rest = &rest[..rest.rfind('/')?];
        }
    }

    /// Whether the document has exactly this.
    pub fn contains(&self, pointer: &str) -> bool {
        self.0.contains_key(pointer)
    }

    /// The positions of what lies under `pointer`, with pointers that begin there.
    pub fn under(&self, pointer: &str) -> Self {
        let inner = |(key, position): (&String, &Position)| {
            let rest = key.strip_prefix(pointer).filter(|rest| rest.is_empty() || rest.starts_with('/'));
            rest.map(|rest| (rest.to_owned(), *position))
        };
        Self(self.0.iter().filter_map(inner).collect())
    }
}

/// The JSON pointer of a place that serde could not read.
pub fn pointer_of(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Map { key } => child(&pointer, key),
        Segment::Seq { index } => child(&pointer, &index.to_string()),
        _ => pointer,
    })
}

/// The pointer of `key` beneath `pointer`.
pub fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Walks over JSON and notes positions. It understands just enough for that, and never fails: it stops.
struct Scanner {
    text: Vec<char>,
    at: usize,
    line: u32,
    column: u32,
    lines: Lines,
}

impl Scanner {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn step(&mut self) -> Option<char> {
        let found = self.peek()?;
        self.at += 1;
        if found == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(found)
    }

    fn position(&mut self) -> Position {
        while self.peek().is_some_and(char::is_whitespace) {
            self.step();
        }
        Position { line: self.line, column: self.column }
    }

    /// The next character but white space, if it is this one.
    fn take(&mut self, wanted: char) -> bool {
        self.position();
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.step();
        }
        is_there
    }

    fn string(&mut self) -> Option<String> {
        let start = self.at;
        if !self.take('"') {
            return None;
        }
        while let Some(found) = self.step() {
            match found {
                '\\' => drop(self.step()),
                '"' => {
                    let written: String = self.text[start..self.at].iter().collect();
                    return serde_json::from_str(&written).ok();
                }
                _ => {}
            }
        }
        None
    }

    /// Passes one value; whether the text goes on as JSON.
    fn value(&mut self, pointer: &str, depth: usize) -> bool {
        let position = self.position();
        // Where there is a key its position is the better one.
        self.lines.0.entry(pointer.to_owned()).or_insert(position);
        match self.peek() {
            _ if depth > DEPTH_MAX => false,
            Some('{') => self.members(pointer, depth, '}'),
            Some('[') => self.members(pointer, depth, ']'),
            Some('"') => self.string().is_some(),
            Some(_) => {
                let is_scalar = |found: char| found.is_alphanumeric() || matches!(found, '-' | '+' | '.');
                let start = self.at;
                while self.peek().is_some_and(is_scalar) {
                    self.step();
                }
                self.at > start
            }
            None => false,
        }
    }

    fn members(&mut self, pointer: &str, depth: usize, end: char) -> bool {
        self.step();
        let mut index = 0_usize;
        loop {
            let position = self.position();
            if self.take(end) {
                return true;
            }
            let name = if end == '}' {
                let Some(key) = self.string() else { return false };
                if !self.take(':') {
                    return false;
                }
                key
            } else {
                index.to_string()
            };
            let inner = child(pointer, &name);
            self.lines.insert(inner.clone(), position);
            if !self.value(&inner, depth + 1) {
                return false;
            }
            if !self.take(',') && self.peek() != Some(end) {
                return false;
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_and_items_are_found_and_what_is_missing_is_where_it_would_be() {
        let text =
            "{\n  \"a/b\": 1,\n  \"list\": [\n    {\"x\": \"}\\\"\"},\n    2\n  ],\n  \"last\": true\n}";
        let lines = Lines::of_json(text);
        let at = |pointer: &str| lines.get(pointer).map(|position| (position.line, position.column));
        assert_eq!(
            [at(""), at("/a~1b"), at("/list/1"), at("/last")],
            [Some((1, 1)), Some((2, 3)), Some((5, 5)), Some((7, 3))]
        );
        assert_eq!(at("/list/0/x/deeper"), Some((4, 6)));
        assert_eq!(at("/nowhere"), Some((1, 1)));
        assert_eq!(lines.under("/list").get("/1"), lines.get("/list/1"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_scanner_panic_or_hang(text in any::<String>(), nested in "[\\[{\"a:,\\]} \n]{0,300}") {
            Lines::of_json(&text);
            Lines::of_json(&nested);
            Lines::of_json(&"[".repeat(1000));
        }
    }
}
