//! The JSON schema of plexusd's config file.

use schemars::schema_for;
use serde_json::Value;

use super::AgentConfig;

/// The schema, for editors and for checks before a deployment.
pub fn schema() -> Value {
    schema_for!(AgentConfig).to_value()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_schema_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/schema/agent-config.schema.json");
        let current = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
        if std::env::var_os("PLEXUS_WRITE_SCHEMA").is_some() {
            fs::write(&path, &current).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == current,
            "deploy/schema/agent-config.schema.json is old: run this test with PLEXUS_WRITE_SCHEMA=1"
        );
    }
    #[test]
    fn every_key_is_in_the_documentation() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let text = fs::read_to_string(path).unwrap();
        let schema = schema();
        let own = schema["properties"].as_object().unwrap().keys();
        let meta = schema["$defs"]["MetaKeys"]["properties"].as_object().unwrap().keys();
        let multus = plexus_cni::daemon_config::KEYS.iter().map(|key| key.name);
        let keys = own.chain(meta).map(String::as_str).chain(multus);
        let missing: Vec<&str> = keys
            .filter(|key| !["apiVersion", "kind"].contains(key) && !text.contains(&format!("`{key}`")))
            .collect();
        assert!(missing.is_empty(), "not in docs/configuration.md: {missing:?}");
    }
}
