//! Network selection: which networks a pod's annotation asks for, and how.
//!
//! Source: Network Plumbing Working Group, multi-net-spec 1.3, "Network Selection Annotation"; where the text leaves a
//! choice, ours is Multus'.

mod element;
mod field;

use serde_json::Value;

pub use element::NetworkSelectionElement;

use crate::error::{CniError, Code};
use crate::limits::{ANNOTATION_BYTES_MAX, NETWORKS_MAX};
use crate::name::{check_ifname, is_dns_label};

/// Parses the text of the annotation `key`; an element without a namespace is in `namespace`.
///
/// Text with any of `[{"` is a JSON list, other text is `[<namespace>/]<name>[@<interface>]`, comma separated. Blank
/// text selects nothing. Every error names the annotation, the element and the field.
pub fn parse_selection(
    key: &str,
    text: &str,
    namespace: &str,
) -> Result<Vec<NetworkSelectionElement>, CniError> {
    let what = format!("annotation {key}");
    if text.len() > ANNOTATION_BYTES_MAX {
        return Err(wrong(
            &what,
            format!("it has {} bytes, at most {ANNOTATION_BYTES_MAX} are read", text.len()),
        ));
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let elements = if text.contains(['[', '{', '"']) {
        json_elements(text, &what, namespace)?
    } else {
        text.split(',')
            .enumerate()
            .map(|(at, item)| short_element(item, &what, at, namespace))
            .collect::<Result<_, _>>()?
    };
    if elements.len() > NETWORKS_MAX {
        return Err(wrong(
            &what,
            format!("it selects {} networks, at most {NETWORKS_MAX} are allowed", elements.len()),
        ));
    }
    Ok(elements)
}

fn json_elements(text: &str, what: &str, namespace: &str) -> Result<Vec<NetworkSelectionElement>, CniError> {
    let items: Vec<Value> = serde_json::from_str(text)
        .map_err(|error| wrong(what, format!("it is no JSON list of networks: {error}")))?;
    items
        .iter()
        .enumerate()
        .map(|(at, item)| match item {
            Value::Object(object) => {
                NetworkSelectionElement::from_object(object, &format!("{what}: element {at}"), namespace)
            }
            _ => Err(wrong(&format!("{what}: element {at}"), "it is no JSON object")),
        })
        .collect()
}

/// `[<namespace>/]<name>[@<interface>]`
fn short_element(
    item: &str,
    what: &str,
    at: usize,
    namespace: &str,
) -> Result<NetworkSelectionElement, CniError> {
    let what = format!("{what}: element {at}");
    let (network, interface) = match item.split_once('@') {
        None => (item, None),
        Some((network, interface)) => (network, Some(interface.trim())),
    };
    let (namespace, name) = match network.split_once('/') {
        None => (namespace, network.trim()),
        Some((namespace, name)) => (namespace.trim(), name.trim()),
    };
    for (field, value) in [("namespace", namespace), ("name", name)] {
        if !is_dns_label(value) {
            return Err(wrong(
                &what,
                format!(
                    "{field} {value:?} must hold lower case letters, digits and '-' only, as in [<namespace>/]<name>[@<interface>]"
                ),
            ));
        }
    }
    if let Some(interface) = interface {
        check_ifname(interface, &format!("{what}: interface")).map_err(as_config_error)?;
        if interface.contains('@') {
            return Err(wrong(&what, format!("{item:?} has more than one '@'")));
        }
    }
    Ok(NetworkSelectionElement::new(namespace, name, interface))
}

/// An annotation is configuration, so what is wrong with it is not the environment's fault.
fn as_config_error(error: CniError) -> CniError {
    CniError { code: Code::InvalidConfig, ..error }
}

fn wrong(what: &str, why: impl Into<String>) -> CniError {
    CniError::new(Code::InvalidConfig, format!("{what} cannot be used")).because(why)
}

#[cfg(test)]
mod tests;
