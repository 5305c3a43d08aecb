//! How long calls and plugins take, and how they end.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use plexus_cni::CniError;
use plexus_cni::meta::META_TYPE;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds in seconds: from a native ADD to the longest that a call may take.
const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0];
/// Most values of the label `plugin`: types come from NetworkAttachmentDefinitions, so from anybody.
const PLUGINS_MAX: usize = 64;
/// The label of every plugin type beyond those.
const OTHER: &str = "other";

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    command: &'static str,
    plugin: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MultusLabels {
    handler: &'static str,
    code: &'static str,
    method: &'static str,
}

/// Counts and times, filled by workers.
pub struct Requests {
    calls: Histograms,
    plugins: Histograms,
    multus: Family<MultusLabels, Counter>,
    names: Mutex<BTreeSet<String>>,
}

impl Default for Requests {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        Self {
            calls: Family::new_with_constructor(histogram),
            plugins: Family::new_with_constructor(histogram),
            multus: Family::default(),
            names: Mutex::default(),
        }
    }
}

impl Requests {
    /// A call has ended; `plugin` is the type that was called.
    pub fn call_ended<T>(
        &self,
        command: &'static str,
        plugin: &str,
        begun: Instant,
        outcome: &Result<T, CniError>,
    ) {
        if plugin == META_TYPE {
            self.multus("/cni", outcome.is_ok(), "post");
        }
        self.observe(&self.calls, command, plugin, begun, outcome);
    }

    /// One plugin of a chain has ended, be it native or executed.
    pub fn plugin_ended<T>(
        &self,
        command: &'static str,
        plugin: &str,
        begun: Instant,
        outcome: &Result<T, CniError>,
    ) {
        self.observe(&self.plugins, command, plugin, begun, outcome);
    }

    /// A handler of the name that it has in Multus' server has answered.
    pub(super) fn multus(&self, handler: &'static str, is_ok: bool, method: &'static str) {
        // What Multus answers: StatusBadRequest for a failed call, StatusInternalServerError for a probe.
        let code = match (is_ok, method) {
            (true, _) => "200",
            (false, "post") => "400",
            (false, _) => "500",
        };
        self.multus.get_or_create(&MultusLabels { handler, code, method }).inc();
    }

    /// Puts the metrics on a page, those under Multus' names only where they are wanted.
    pub(super) fn register(&self, registry: &mut Registry, multus_names: bool) {
        let calls = "Time of a call, from its arrival to its answer";
        registry.register("plexus_request_seconds", calls, self.calls.clone());
        let plugins = "Time of one plugin of a chain, native or executed";
        registry.register("plexus_plugin_seconds", plugins, self.plugins.clone());
        if multus_names {
            let multus = "Counter for HTTP requests, as Multus counts them";
            registry.register("multus_server_request", multus, self.multus.clone());
        }
    }

    fn observe<T>(
        &self,
        histograms: &Histograms,
        command: &'static str,
        plugin: &str,
        begun: Instant,
        outcome: &Result<T, CniError>,
    ) {
        let result = outcome.as_ref().map_or_else(|error| error.code.metric_label(), |_| "ok");
        let labels = Labels { command, plugin: self.name(plugin), result };
        histograms.get_or_create(&labels).observe(begun.elapsed().as_secs_f64());
    }

    /// The plugin's type, as long as there are not too many of them.
    fn name(&self, plugin: &str) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains(plugin) || names.len() < PLUGINS_MAX && names.insert(plugin.to_owned()) {
            return plugin.to_owned();
        }
        OTHER.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use plexus_cni::Code;
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn page(requests: &Requests, multus_names: bool) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        requests.register(&mut registry, multus_names);
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_call_is_counted_by_command_plugin_and_result() {
        let requests = Requests::default();
        requests.call_ended("ADD", META_TYPE, Instant::now(), &Ok(()));
        requests.call_ended(
            "ADD",
            META_TYPE,
            Instant::now(),
            &Err::<(), _>(CniError::new(Code::Kernel, "x")),
        );
        let text = page(&requests, true);
        for line in [
            r#"plexus_request_seconds_count{command="ADD",plugin="plexus",result="ok"} 1"#,
            r#"plexus_request_seconds_count{command="ADD",plugin="plexus",result="kernel"} 1"#,
            r#"multus_server_request_total{handler="/cni",code="200",method="post"} 1"#,
            r#"multus_server_request_total{handler="/cni",code="400",method="post"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!page(&requests, false).contains("multus"));
    }

    #[test]
    fn plugin_types_without_end_have_one_label_together() {
        let requests = Requests::default();
        for number in 0..2 * PLUGINS_MAX {
            requests.plugin_ended("ADD", &format!("type{number}"), Instant::now(), &Ok(()));
        }
        let count = page(&requests, false).matches("plexus_plugin_seconds_count").count();
        assert_eq!(count, PLUGINS_MAX + 1);
    }
}
