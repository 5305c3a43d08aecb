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
}
