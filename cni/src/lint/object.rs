//! What the documents hold: objects of Kubernetes, and configs.

use serde_json::Value;

use super::finding::{Finding, Severity};
use super::place;
use crate::daemon_config::KEYS;
use crate::error::CniError;
use crate::lines::{Lines, Position, child};
use crate::meta::META_TYPES;
use crate::nad::NetworkAttachmentDefinition;

/// One document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file, as it was named.
    pub file: String,
    /// The whole file's text.
    pub text: String,
    /// The document.
    pub value: Value,
    /// Where its keys stand in the file.
    pub lines: Lines,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A NetworkAttachmentDefinition.
    Network,
    /// A CNI conf or conflist.
    Cni,
    /// A pod, or a template of pods.
    Pod,
    /// Multus' daemon config.
    Multus,
    /// The runtime's config for the meta-plugin.
    Meta,
    /// Something else.
    Strange,
}

/// One object and where it stands.
pub(super) struct Object<'a> {
    document: &'a Document,
    /// Where it is in the document.
    pub(super) pointer: String,
    /// The text, where it is a config in a string, with the positions in that.
    embedded: Option<(String, Lines)>,
    pub(super) subject: Subject,
    pub(super) value: Value,
    /// Kind, namespace and name.
    pub(super) title: String,
}

/// Most objects in a list of lists.
const DEPTH_MAX: usize = 4;

/// Workloads, and where their pod's metadata and spec are.
const TEMPLATES: [(&str, &str); 8] = [
    ("Pod", ""),
    ("Deployment", "/spec/template"),
    ("StatefulSet", "/spec/template"),
    ("DaemonSet", "/spec/template"),
    ("ReplicaSet", "/spec/template"),
    ("ReplicationController", "/spec/template"),
    ("Job", "/spec/template"),
    ("CronJob", "/spec/jobTemplate/spec/template"),
];

/// Where the pod's metadata and spec are in an object of this kind.
pub(super) fn template(kind: &str) -> Option<&'static str> {
    TEMPLATES.iter().find(|(known, _)| *known == kind).map(|(_, pointer)| *pointer)
}

/// The objects of a document; kinds that have no networks are passed over.
pub(super) fn objects(document: &Document) -> Vec<Object<'_>> {
    let mut found = Vec::new();
    collect(document, &document.value, String::new(), 0, &mut found);
    found
}

fn collect<'a>(
    document: &'a Document,
    value: &Value,
    pointer: String,
    depth: usize,
    found: &mut Vec<Object<'a>>,
) {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let Some(kind) = text("kind") else {
        let (subject, title) = config_subject(value);
        found.push(Object {
            document,
            pointer,
            embedded: None,
            subject,
            value: value.clone(),
            title: title.into(),
        });
        return;
    };
    let metadata =
        |key: &str| value.pointer("/metadata").and_then(|found| found.get(key)).and_then(Value::as_str);
    let namespace = metadata("namespace").filter(|name| !name.is_empty()).unwrap_or("default");
    let title = format!("{kind} {namespace}/{}", metadata("name").unwrap_or("(no name)"));
    let items = value.get("items").and_then(Value::as_array);
    if let (Some(items), true) = (items.filter(|_| kind.ends_with("List")), depth < DEPTH_MAX) {
        for (index, item) in items.iter().enumerate() {
            collect(document, item, format!("{pointer}/items/{index}"), depth + 1, found);
        }
    } else if kind == "ConfigMap" {
        for (name, text) in value.get("data").and_then(Value::as_object).into_iter().flatten() {
            let text = text.as_str().unwrap_or_default();
            let Ok(inner @ Value::Object(_)) = serde_json::from_str::<Value>(text) else { continue };
            let (subject, what) = config_subject(&inner);
            let pointer = child(&format!("{pointer}/data"), name);
            let embedded = Some((text.to_owned(), Lines::of_json(text)));
            let title = format!("{title}, {name} ({what})");
            if subject != Subject::Strange {
                found.push(Object { document, pointer, embedded, subject, value: inner, title });
            }
        }
    } else if kind == NetworkAttachmentDefinition::KIND || template(kind).is_some() {
        let subject = if template(kind).is_some() { Subject::Pod } else { Subject::Network };
        found.push(Object { document, pointer, embedded: None, subject, value: value.clone(), title });
    }
}

fn config_subject(value: &Value) -> (Subject, &'static str) {
    let plugin_type = value.get("type").or_else(|| value.pointer("/plugins/0/type")).and_then(Value::as_str);
    match plugin_type {
        Some(plugin_type) if META_TYPES.contains(&plugin_type) => {
            (Subject::Meta, "config of the meta-plugin")
        }
        Some(_) => (Subject::Cni, "CNI config"),
        None if value.get("plugins").is_some() => (Subject::Cni, "CNI config"),
        None if KEYS.iter().any(|key| value.get(key.name).is_some()) => {
            (Subject::Multus, "Multus daemon config")
        }
        None => (Subject::Strange, "document"),
    }
}

impl<'a> Object<'a> {
    /// The config in a string of this object, as an object of its own.
    pub(super) fn embed(&self, pointer: &str, text: &str, value: Value) -> Object<'a> {
        Object {
            document: self.document,
            pointer: format!("{}{pointer}", self.pointer),
            embedded: Some((text.to_owned(), Lines::of_json(text))),
            subject: Subject::Cni,
            value,
            title: self.title.clone(),
        }
    }

    /// A part of this object, as an object of its own.
    pub(super) fn part(&self, pointer: &str, value: Value) -> Object<'a> {
        let embedded = self.embedded.as_ref().map(|(text, lines)| (text.clone(), lines.under(pointer)));
        let outer =
            if embedded.is_some() { self.pointer.clone() } else { format!("{}{pointer}", self.pointer) };
        Object {
            document: self.document,
            pointer: outer,
            embedded,
            subject: Subject::Cni,
            value,
            title: self.title.clone(),
        }
    }

    /// Where its keys stand: in the file, or in the text that it is.
    pub(super) fn lines(&self) -> Lines {
        match &self.embedded {
            Some((_, lines)) => lines.clone(),
            None => self.document.lines.under(&self.pointer),
        }
    }

    /// The place in the file of what `pointer` leads to.
    fn place(&self, pointer: &str) -> Option<Position> {
        match &self.embedded {
            Some((_, lines)) => self.within(lines.get(pointer)?),
            None => self.document.lines.get(&format!("{}{pointer}", self.pointer)),
        }
    }

    /// The place in the file of a place in the text that this object is.
    fn within(&self, at: Position) -> Option<Position> {
        let (text, _) = self.embedded.as_ref()?;
        Some(place::outer(&self.document.text, self.document.lines.get(&self.pointer)?, text, at))
    }

    /// Something about what `pointer` leads to.
    pub(super) fn finding(
        &self,
        severity: Severity,
        pointer: &str,
        what: &str,
        why: &str,
        action: &str,
    ) -> Finding {
        self.at(self.place(pointer), severity, what, why, action)
    }

    /// Something about a place in the text of a string at `pointer` in this object.
    pub(super) fn broken_text(&self, pointer: &str, text: &str, error: &serde_json::Error) -> Finding {
        let inner = self.embed(pointer, text, Value::Null);
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let at = Position { line: number(error.line()), column: number(error.column().max(1)) };
        self.at(
            inner.within(at),
            Severity::Error,
            "the config is no JSON",
            &error.to_string(),
            "correct the text at that place",
        )
    }

    /// An error of the code that an ADD runs, at the key that it names beneath `prefix`.
    pub(super) fn error(&self, prefix: &str, error: &CniError, action: &str) -> Finding {
        let pointer = place::named_key(&self.lines(), prefix, &error.to_string());
        self.finding(Severity::Error, &pointer, &error.msg, &error.details, action)
    }

    fn at(
        &self,
        place: Option<Position>,
        severity: Severity,
        what: &str,
        why: &str,
        action: &str,
    ) -> Finding {
        Finding {
            file: self.document.file.clone(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            object: self.title.clone(),
            severity,
            what: what.to_owned(),
            why: why.to_owned(),
            action: action.to_owned(),
        }
    }
}
