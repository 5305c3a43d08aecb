//! Reading JSON that others wrote: losslessly as an object, then key by key into types.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{CniError, Code};
use crate::limits::CONFIG_BYTES_MAX;

/// A JSON object with its keys in the author's order and its numbers as they were written.
pub type Object = Map<String, Value>;

/// Parses a document that must be one JSON object (C009); `what` names it in the error.
pub fn parse_object(text: &[u8], what: &str) -> Result<Object, CniError> {
    let fail = |why: String| CniError::new(Code::Decoding, format!("{what} cannot be decoded")).because(why);
    if text.len() > CONFIG_BYTES_MAX {
        return Err(fail(format!("it has more than {CONFIG_BYTES_MAX} bytes")));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(fail("it is empty, expected a JSON object".into()));
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(fail(format!("expected a JSON object, found {}", kind(&other)))),
        Err(error) => Err(fail(format!("{error}"))),
    }
}

/// Reads the keys that `T` knows from `object`; the error names the key, its value and the reason.
///
/// A key whose value is null counts as absent, as it does for the reference plugins (Go's encoding/json).
pub fn typed<T: DeserializeOwned>(object: &Object, what: &str) -> Result<T, CniError> {
    let present = object.iter().filter(|(_, value)| !value.is_null());
    let present: Object = present.map(|(key, value)| (key.clone(), value.clone())).collect();
    serde_path_to_error::deserialize(Value::Object(present)).map_err(|error| {
        let path = error.path().to_string();
        let top = path.split(['.', '[']).next().unwrap_or_default();
        let found = object
            .get(top)
            .map(|value| format!(", found {}", shorten(&value.to_string())))
            .unwrap_or_default();
        CniError::new(Code::InvalidConfig, format!("{what}: key {path:?} cannot be used"))
            .because(format!("{}{found}", error.into_inner()))
    })
}

/// The beginning of a foreign text, short enough for an error message.
fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(CHARS_MAX).chain("…".chars()).collect()
}

/// The string at `key`, or `None` where it is absent or null; another type is an error.
pub fn string<'a>(object: &'a Object, key: &str, what: &str) -> Result<Option<&'a str>, CniError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => {
            Err(CniError::new(Code::InvalidConfig, format!("{what}: key {key:?} must be a string"))
                .because(format!("found {}", kind(other))))
        }
    }
}

/// The object at `key`, or `None` where it is absent or null; another type is an error.
pub fn object<'a>(object: &'a Object, key: &str, what: &str) -> Result<Option<&'a Object>, CniError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(inner)) => Ok(Some(inner)),
        Some(other) => {
            Err(CniError::new(Code::InvalidConfig, format!("{what}: key {key:?} must be an object"))
                .because(format!("found {}", kind(other))))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c009_what_is_not_one_object_is_a_decoding_error() {
        let deep = "[".repeat(100_000);
        for wrong in ["", " \n", "{", "[]", "1", "\"x\"", "{}{}", &deep] {
            assert_eq!(parse_object(wrong.as_bytes(), "stdin").unwrap_err().code, Code::Decoding);
        }
        assert!(parse_object(b"\xff{}", "stdin").is_err());
        assert!(parse_object(&vec![b' '; 10 << 20], "stdin").unwrap_err().details.contains("more than"));
    }

    #[test]
    fn a_wrong_key_is_named_with_its_path() {
        #[derive(serde::Deserialize)]
        struct Conf {
            #[serde(rename = "mtu")]
            _mtu: u32,
        }
        let object = parse_object(br#"{"mtu": -1}"#, "stdin").unwrap();
        let error = typed::<Conf>(&object, "macvlan").err().unwrap();
        assert!(error.msg.contains("mtu") && error.details.contains("-1"), "{error}");
    }
}
