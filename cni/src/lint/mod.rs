//! What is wrong with manifests and configs, before they are deployed.
//!
//! ```text
//! documents ─▶ objects ─▶ known networks ─▶ each object: network | pod | node config ─▶ findings
//! ```
//! Nothing is read and no kernel is asked: the caller brings the documents and what it knows of plugins.

mod finding;
mod known;
mod network;
mod node;
mod object;
mod place;
mod pod;

pub use finding::{Finding, Severity};
pub use object::Document;

use crate::config::PluginConfig;
use crate::error::CniError;
use object::{Object, Subject};

/// What is known of plugins.
pub trait Plugins {
    /// Whether the plugin of this type is built in; any other is executed.
    fn is_native(&self, plugin_type: &str) -> bool;

    /// Whether the address management of this type is built in.
    fn is_native_ipam(&self, ipam_type: &str) -> bool;

    /// The keys that the built-in plugin reads, beside those of every plugin.
    fn keys(&self, plugin_type: &str) -> &'static [&'static str];

    /// Refuses a built-in plugin's config that cannot work on any node.
    fn validate(&self, network: &str, plugin: &PluginConfig) -> Result<(), CniError>;
}

/// Everything that is to be said of the documents, in their order.
pub fn check(documents: &[Document], plugins: &dyn Plugins) -> Vec<Finding> {
    let objects: Vec<Object<'_>> = documents.iter().flat_map(object::objects).collect();
    let known = known::Known::of(&objects);
    let mut findings = Vec::new();
    for object in &objects {
        match object.subject {
            Subject::Network => network::definition(object, plugins, &mut findings),
            Subject::Cni => network::file(object, plugins, &mut findings),
            Subject::Pod => pod::check(object, &known, &mut findings),
            Subject::Multus | Subject::Meta => node::check(object, plugins, &mut findings),
            Subject::Strange => findings.push(object.finding(
                Severity::Warning,
                "",
                "it is nothing that is checked here",
                "it is no pod, no workload, no NetworkAttachmentDefinition and no CNI or node config",
                "leave it out, or correct its \"kind\" or \"type\"",
            )),
        }
    }
    findings
}

#[cfg(test)]
mod tests;
