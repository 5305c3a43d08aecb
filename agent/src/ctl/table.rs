//! Answers as aligned tables.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, Table};
use plexus_cni::wire::Query;
use serde_json::Value;

use super::{ipam, is_coloured, text};

/// The answer to `query` as a table.
pub(super) fn render(query: &Query, answer: &Value) -> String {
    match query {
        Query::Status => pairs(answer),
        Query::Pods => pods(answer),
        Query::Ports => ports(answer),
        Query::Counters => counters(answer),
        Query::Networks => networks(answer),
        Query::Routes { .. } => routes(answer),
        Query::Ipam { .. } => ipam::render(answer),
        Query::Explain { .. } => explain(answer),
    }
}

pub(super) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(columns.iter().map(|column| Cell::new(column.to_uppercase())));
    table
}

pub(super) fn rows(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.as_array().into_iter().flatten()
}

fn pairs(answer: &Value) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    add_pairs(&mut table, "", answer);
    table.to_string()
}

/// Objects in objects are rows too, with dots in their keys.
fn add_pairs(table: &mut Table, prefix: &str, object: &Value) {
    for (key, value) in object.as_object().into_iter().flatten() {
        let key = format!("{prefix}{key}");
        match value {
            Value::Object(_) => add_pairs(table, &format!("{key}."), value),
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for item in items {
                    let fields: Vec<String> =
                        item.as_object().into_iter().flatten().map(|(_, field)| text(field)).collect();
                    table.add_row([key.clone(), fields.join(" ")]);
                }
            }
            _ => {
                table.add_row([key, text(value)]);
            }
        }
    }
}

fn pods(answer: &Value) -> String {
    let mut table = table(&["pod", "interface", "network", "plugins", "addresses", "mac", "port"]);
    for pod in rows(answer) {
        for interface in rows(&pod["interfaces"]) {
            let mark = if interface["isDefault"] == true { " *" } else { "" };
            table.add_row([
                text(&pod["name"]),
                text(&interface["name"]) + mark,
                text(&interface["network"]),
                text(&interface["plugins"]),
                text(&interface["ips"]),
                text(&interface["mac"]),
                text(&interface["port"]),
            ]);
        }
    }
    table.to_string()
}

fn ports(answer: &Value) -> String {
    let mut table = table(&[
        "port",
        "pod",
        "interface",
        "network",
        "kind",
        "hooks",
        "to pod",
        "from pod",
        "guard",
        "why there, and what it lacks",
    ]);
    for port in rows(answer) {
        let hooks = hooks(&port["state"]["hooks"]);
        let remarks: Vec<_> =
            [text(&port["reason"])].into_iter().chain(rows(&port["lacks"]).map(text)).collect();
        let guards = [("guardMac", "mac"), ("guardIp", "ip")];
        let guards: Vec<_> =
            guards.iter().filter(|(key, _)| port[*key] == true).map(|(_, name)| *name).collect();
        table.add_row([
            text(&port["id"]),
            text(&port["pod"]),
            text(&port["interface"]),
            text(&port["network"]),
            text(&port["state"]["kind"]),
            if hooks == "-" { text(&port["error"]) } else { hooks },
            rate(&port["ingress"]),
            egress(&port["egress"]),
            if guards.is_empty() { "-".into() } else { guards.join(" ") },
            remarks.join("; "),
        ]);
    }
    table.to_string()
}

fn counters(answer: &Value) -> String {
    let columns =
        ["port", "pod", "interface", "network", "rx packets", "rx bytes", "tx packets", "tx bytes", "drops"];
    let mut table = table(&columns);
    for row in rows(answer) {
        let counters = &row["counters"];
        let drops = counters["drops"].as_object().into_iter().flatten();
        let drops: Vec<_> = drops
            .filter(|(_, count)| **count != 0)
            .map(|(reason, count)| format!("{reason}={count}"))
            .collect();
        table.add_row([
            text(&row["port"]),
            text(&row["pod"]),
            text(&row["interface"]),
            text(&row["network"]),
            text(&counters["rxPackets"]),
            text(&counters["rxBytes"]),
            text(&counters["txPackets"]),
            text(&counters["txBytes"]),
            if drops.is_empty() { "0".into() } else { drops.join(" ") },
        ]);
    }
    for column in 4..8 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

fn networks(answer: &Value) -> String {
    let mut table =
        table(&["network", "cni name", "plugins", "interfaces", "uplink", "vlan", "uplink hooks"]);
    for network in rows(answer) {
        let fastpath = &network["fastpath"];
        table.add_row([
            text(&network["name"]),
            text(&network["cniName"]),
            text(&network["plugins"]),
            text(&network["pods"]),
            text(&fastpath["uplink"]),
            text(&fastpath["vlan"]),
            hooks(&fastpath["state"]["hooks"]),
        ]);
    }
    table.to_string()
}

fn routes(answer: &Value) -> String {
    let mut table =
        table(&["pod", "interface", "network", "looked up from", "destination", "type", "gateway", "by"]);
    for one in rows(answer) {
        let from = text(&one["from"]) + if one["isInForce"] == true { "" } else { " (not in force)" };
        for route in rows(&one["routes"]) {
            table.add_row([
                text(&one["pod"]),
                text(&one["interface"]),
                text(&one["network"]),
                from.clone(),
                text(&route["dst"]),
                text(&route["type"]),
                text(&route["gateway"]),
                text(&route["interface"]),
            ]);
        }
    }
    table.to_string()
}

/// `xdp (native), tc (tcx)`
fn hooks(hooks: &Value) -> String {
    let describe = |hook: &Value| {
        let state = if hook["ours"] == true { text(&hook["mode"]) } else { "off".into() };
        format!("{} ({state})", text(&hook["name"]))
    };
    let hooks: Vec<_> = rows(hooks).map(describe).collect();
    if hooks.is_empty() { "-".into() } else { hooks.join(", ") }
}

fn explain(answer: &Value) -> String {
    let pod = Value::Array(vec![answer["pod"].clone()]);
    let mut table = table(&["interface", "state", "finding"]);
    for finding in rows(&answer["findings"]) {
        let severity = text(&finding["severity"]);
        let colour = match &*severity {
            "ok" => Color::Green,
            "broken" => Color::Red,
            _ => Color::Yellow,
        };
        let state = Cell::new(&severity);
        let state = if is_coloured() { state.fg(colour) } else { state };
        table.add_row([Cell::new(text(&finding["interface"])), state, Cell::new(text(&finding["what"]))]);
    }
    format!("{}\n\n{table}", pods(&pod))
}

/// `{"rateBps": 10000000, …}` as `10 Mbit/s`.
fn egress(limit: &Value) -> String {
    let mode = limit["mode"].as_str().map(|mode| format!(" {mode}")).unwrap_or_default();
    format!("{}{mode}", rate(limit))
}

fn rate(limit: &Value) -> String {
    let Some(bps) = limit["rateBps"].as_u64() else { return "-".into() };
    for (unit, size) in [("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1_000)] {
        if bps >= size {
            let (whole, rest) = (bps / size, bps % size * 10 / size);
            return if rest == 0 { format!("{whole} {unit}") } else { format!("{whole}.{rest} {unit}") };
        }
    }
    format!("{bps} bit/s")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_read_at_a_glance() {
        assert_eq!(rate(&json!({"rateBps": 12_500_000_u64})), "12.5 Mbit/s");
        assert_eq!(rate(&json!({"rateBps": 400_000_000_000_u64})), "400 Gbit/s");
        assert_eq!(rate(&json!({"rateBps": 999})), "999 bit/s");
        assert_eq!(rate(&Value::Null), "-");
        assert_eq!(egress(&json!({"rateBps": 5_000, "mode": "shaped"})), "5 kbit/s shaped");
        assert_eq!(egress(&Value::Null), "-");
    }

    #[test]
    fn a_default_interface_is_marked() {
        let pods = json!([{"name": "n/p", "interfaces": [{"name": "eth0", "isDefault": true, "ips": []}]}]);
        assert!(render(&Query::Pods, &pods).contains("eth0 *"));
    }
}
