//! One row: a chain of plugins, what it needs, and how the two results may differ.

use serde_json::Value;

use super::probe::Probe;

/// A way in which ours is not the reference's, on purpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    /// Where: a path such as `*/pod/links/net1/mtu`, and all that is below it. `*` stands for any part of one segment.
    pub(crate) path: &'static str,
    /// Why, for docs/differences-from-plugins.md.
    pub(crate) why: &'static str,
}

/// One comparison.
#[derive(Clone, Default)]
pub(crate) struct Row {
    /// What it is about.
    pub(crate) name: &'static str,
    /// The chain's plugins, as in a list of plugins. `cniVersion` is 1.0.0, which is what the reference of Debian speaks.
    pub(crate) plugins: Vec<Value>,
    /// `runtimeConfig` of every plugin.
    pub(crate) runtime_config: Option<Value>,
    /// Commands before ADD: on the host, or `pod: …` and `outside: …` in these namespaces.
    pub(crate) setup: Vec<&'static str>,
    /// What is added to `CNI_ARGS`, e.g. `MAC=02:00:00:00:00:07`.
    pub(crate) args: &'static str,
    /// Traffic after ADD.
    pub(crate) probes: Vec<Probe>,
    /// What differs, and why.
    pub(crate) differs: Vec<Difference>,
}

/// Shorthand for tables.
pub(crate) const fn differs(path: &'static str, why: &'static str) -> Difference {
    Difference { path, why }
}

impl Row {
    /// A chain on a plain host.
    pub(crate) fn new(name: &'static str, plugins: impl IntoIterator<Item = Value>) -> Self {
        Self { name, plugins: plugins.into_iter().collect(), ..Self::default() }
    }

    /// With commands before ADD.
    pub(crate) fn setup(mut self, commands: &[&'static str]) -> Self {
        self.setup.extend(commands);
        self
    }

    /// With a `runtimeConfig`.
    pub(crate) fn runtime_config(mut self, value: Value) -> Self {
        self.runtime_config = Some(value);
        self
    }

    /// With something in `CNI_ARGS`.
    pub(crate) fn args(mut self, args: &'static str) -> Self {
        self.args = args;
        self
    }

    /// With traffic after ADD.
    pub(crate) fn probe(mut self, probe: Probe) -> Self {
        self.probes.push(probe);
        self
    }

    /// With explained differences.
    pub(crate) fn differs(mut self, differences: &[Difference]) -> Self {
        self.differs.extend(differences);
        self
    }
}
