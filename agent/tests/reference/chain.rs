//! The container runtime's part for a list of plugins: forwards on ADD and CHECK, backwards on DEL.

use plexus_agent::lab::Plexusd;
use serde_json::{Map, Value, json};

use super::place::Place;
use super::row::Row;

/// The interface's name in the pod.
pub(crate) const IFNAME: &str = "net1";

/// A row's chain on one side.
pub(crate) struct Chain<'a> {
    pub(crate) place: &'a Place,
    pub(crate) row: &'a Row,
}

impl Chain<'_> {
    /// Each plugin's ADD; what the last one said, or the error of the first that failed.
    pub(crate) fn add(&self) -> Result<Value, Value> {
        let mut result = None;
        for plugin in &self.row.plugins {
            result = Some(self.call("ADD", plugin, result.as_ref())?);
        }
        Ok(result.unwrap_or_default())
    }

    /// Each plugin's CHECK.
    pub(crate) fn check(&self, result: &Value) -> Result<Value, Value> {
        self.row.plugins.iter().try_fold(Value::Null, |_, plugin| self.call("CHECK", plugin, Some(result)))
    }

    /// Each plugin's DEL; all are called, and the first error counts.
    pub(crate) fn del(&self, result: Option<&Value>) -> Result<Value, Value> {
        let outcomes: Vec<_> =
            self.row.plugins.iter().rev().map(|plugin| self.call("DEL", plugin, result)).collect();
        outcomes.into_iter().find(Result::is_err).unwrap_or(Ok(Value::Null))
    }

    fn call(&self, command: &str, plugin: &Value, previous: Option<&Value>) -> Result<Value, Value> {
        let plugin_type = plugin["type"].as_str().unwrap();
        let mut config =
            Map::from_iter([("cniVersion".to_owned(), json!("1.0.0")), ("name".to_owned(), json!("net"))]);
        config.extend(plugin.as_object().unwrap().clone());
        config.extend(self.row.runtime_config.clone().map(|value| ("runtimeConfig".to_owned(), value)));
        config.extend(previous.cloned().map(|value| ("prevResult".to_owned(), value)));
        let runtime = self.place.runtime(plugin_type);
        let pod = &self.place.pod;
        let netns = pod.netns.path().display().to_string();
        let args = [pod.cni_args(), self.row.args.to_owned()].join(";");
        let environment = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", &pod.container_id),
            ("CNI_NETNS", &netns),
            ("CNI_IFNAME", IFNAME),
            ("CNI_ARGS", args.trim_end_matches(';')),
            ("CNI_PATH", &runtime.path),
        ];
        let outcome = runtime.execute(&environment, Value::Object(config).to_string().as_bytes()).unwrap();
        let answer = outcome.json().unwrap_or_else(|_| json!({"msg": outcome.stdout}));
        // Version 1.1.1 prints some errors and exits with 0.
        if outcome.code == 0 && answer.get("code").is_none() {
            return Ok(answer);
        }
        let plexusd = self.place.plexusd.as_ref().map(Plexusd::log_tail).unwrap_or_default();
        println!(
            "{command} of {plugin_type} in row {:?}: {answer} {}{plexusd}",
            self.row.name, outcome.stderr
        );
        Err(json!({"plugin": plugin_type, "code": answer["code"]}))
    }
}
