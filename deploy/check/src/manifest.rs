//! Manifests: YAML text with any number of Kubernetes objects.

use serde_json::Value;

/// The objects of a manifest, as Kubernetes reads YAML: `yes` and `off` are texts. Empty documents are passed over.
pub fn objects(text: &str) -> Result<Vec<Value>, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let documents = serde_saphyr::from_multiple_with_options::<Value>(text, options)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// `kind` of an object; empty if it has none.
pub fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// `kind namespace/name`, for messages.
pub fn title(object: &Value) -> String {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or("(without name)");
    match metadata["namespace"].as_str() {
        Some(namespace) => format!("{} {namespace}/{name}", kind(object)),
        None => format!("{} {name}", kind(object)),
    }
}
