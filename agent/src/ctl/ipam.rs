//! `plexusctl ipam` as tables: pools, then what contradicts, then holders where a pool was named.

use serde_json::Value;

use super::table::{rows, table};
use super::text;

/// The answer as tables.
pub(super) fn render(answer: &Value) -> String {
    let pools = || rows(&answer["pools"]);
    let mut all = table(&["pool", "kind", "network", "range", "used", "size", "slices", "most slices"]);
    for pool in pools() {
        let slices = &pool["slices"];
        all.add_row([
            text(&pool["name"]),
            text(&pool["kind"]),
            text(&pool["network"]),
            text(&pool["range"]),
            used(pool),
            text(&pool["size"]),
            if slices.is_object() { format!("{}/{}", slices["taken"], slices["total"]) } else { "-".into() },
            rows(&slices["nodes"]).next().map_or_else(|| "-".into(), owner),
        ]);
    }
    let mut parts = vec![all.to_string()];
    let conflicts =
        || pools().flat_map(|pool| rows(&pool["conflicts"]).map(move |conflict| (pool, conflict)));
    if conflicts().next().is_some() {
        let mut shown = table(&["conflict", "pool", "what"]);
        for (pool, conflict) in conflicts() {
            shown.add_row([text(&conflict["address"]), text(&pool["name"]), text(&conflict["what"])]);
        }
        parts.push(shown.to_string());
    }
    let holders = || pools().flat_map(|pool| rows(&pool["holders"]).map(move |holder| (pool, holder)));
    if pools().any(|pool| pool["holders"].is_array()) {
        let mut shown = table(&["address", "pool", "pod", "interface", "container", "node"]);
        for (pool, holder) in holders() {
            shown.add_row([
                text(&holder["address"]),
                text(&pool["name"]),
                text(&holder["pod"]),
                text(&holder["interface"]),
                text(&holder["containerId"]),
                text(&holder["node"]),
            ]);
        }
        parts.push(shown.to_string());
    }
    if let Some(count) = answer["holdersLeftOut"].as_u64().filter(|count| *count > 0) {
        parts.push(format!("{count} holders are left out"));
    }
    parts.extend(rows(&answer["errors"]).map(|error| format!("not read: {}", text(error))));
    parts.join("\n\n")
}

/// `120 (47 %)`
fn used(pool: &Value) -> String {
    match (pool["used"].as_u64(), pool["size"].as_u64()) {
        (Some(used), Some(size)) if size > 0 => {
            format!("{used} ({} %)", u128::from(used) * 100 / u128::from(size))
        }
        (Some(used), _) => used.to_string(),
        (None, _) => "-".into(),
    }
}

fn owner(owner: &Value) -> String {
    format!("{}: {}", text(&owner["node"]), owner["slices"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn use_conflicts_and_holders_are_shown_where_there_are_some() {
        let pool = json!({
            "kind": "whereabouts", "name": "10.0.0.0-24", "range": "10.0.0.0/24", "used": 127, "size": 254,
            "conflicts": [{"address": "10.0.0.5", "what": "held twice"}], "holders": [{"address": "10.0.0.9"}],
        });
        let text = render(&json!({"pools": [pool], "errors": ["no answer"], "holdersLeftOut": 3}));
        for part in ["127 (50 %)", "held twice", "10.0.0.9", "not read: no answer", "3 holders"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let sliced =
            json!({"used": null, "slices": {"taken": 2, "total": 8, "nodes": [{"node": "a", "slices": 2}]}});
        let text = render(&json!({"pools": [sliced]}));
        assert!(text.contains("2/8") && text.contains("a: 2") && !text.contains("CONFLICT"), "{text}");
    }
}
