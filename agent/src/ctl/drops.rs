//! `plexusctl drops`: what was dropped, and what is being dropped.

use std::io::BufReader;
use std::path::Path;

use anyhow::bail;
use clap::Args;
use plexus_cni::wire::{Call, Follow, Query, Reply};
use serde_json::{Value, json};

use super::{Output, ask, print, table, text};

/// Which drops.
#[derive(Args)]
pub(super) struct Drops {
    /// `namespace/name` or `name`; all pods without.
    pod: Option<String>,
    /// Show samples of drops as they happen, until interrupted: reason, pod, interface and what the packet was.
    #[arg(long, short)]
    follow: bool,
}

pub(super) fn run(drops: &Drops, socket: &Path, output: Output) -> anyhow::Result<()> {
    if drops.follow {
        return follow(drops, socket, output);
    }
    let rows = rows(&ask::ask(socket, &Query::Counters)?, drops.pod.as_deref());
    if drops.pod.is_some() && rows.is_empty() {
        bail!("no such pod with a port on this node; `plexusctl ports` lists those that have one");
    }
    if output != Output::Table {
        return print(&output.document(&rows)?);
    }
    let mut table = table::table(&["drops", "reason", "pod", "network", "interface", "port"]);
    for row in &rows {
        table.add_row(
            ["drops", "reason", "pod", "network", "interface", "port"].map(|column| text(&row[column])),
        );
    }
    print(&table.to_string())
}

/// A row for each port and reason, most drops first; a port without drops has one without a reason.
fn rows(counters: &Value, pod: Option<&str>) -> Vec<Value> {
    let mut rows = Vec::new();
    for port in table::rows(counters) {
        let name = port["pod"].as_str().unwrap_or_default();
        if pod.is_some_and(|pod| name != pod && name.rsplit('/').next() != Some(pod)) {
            continue;
        }
        let row = |reason: Option<&str>, drops: u64| {
            json!({
                "port": port["port"], "pod": port["pod"], "network": port["network"],
                "interface": port["interface"], "reason": reason, "drops": drops,
            })
        };
        let reasons = port["counters"]["drops"].as_object().into_iter().flatten();
        let counted = reasons.filter_map(|(reason, drops)| Some((reason, drops.as_u64()?)));
        let before = rows.len();
        rows.extend(counted.filter(|(_, drops)| *drops > 0).map(|(reason, drops)| row(Some(reason), drops)));
        if rows.len() == before {
            rows.push(row(None, 0));
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row["drops"].as_u64()));
    rows
}

fn follow(drops: &Drops, socket: &Path, output: Output) -> anyhow::Result<()> {
    let stream = ask::call(socket, &Call::Follow(Follow::Drops { pod: drops.pod.clone() }))?;
    // Hours may pass between two drops.
    stream.set_read_timeout(None)?;
    let mut stream = BufReader::new(stream);
    loop {
        match ask::read(&mut stream)? {
            Reply::Item(drop) if output == Output::Table => print(&line(&drop))?,
            Reply::Item(drop) => print(&drop.to_string())?,
            Reply::Done(_) => return Ok(()),
            Reply::Failed(error) => return Err(error.into()),
            _ => bail!("plexusd answered something else than drops; are both of the same release?"),
        }
    }
}

/// One drop as a line.
fn line(drop: &Value) -> String {
    if let Some(suppressed) = drop["suppressed"].as_u64() {
        let missed = drop["missed"].as_u64().unwrap_or_default();
        return format!("… {} more drops are not shown", suppressed + missed);
    }
    let field = |key: &str| text(&drop[key]);
    format!(
        "{}  {:<20}  {:<8}  {}  {}  {}  {} bytes  {}",
        field("time"),
        field("reason"),
        field("direction"),
        field("pod"),
        field("network"),
        field("interface"),
        field("length"),
        field("summary"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_drops_come_first_and_a_port_without_any_is_there() {
        let counters = json!([
            {"port": 1, "pod": "default/a", "network": "n", "interface": "net1",
             "counters": {"drops": {"tagged": 2, "malformed": 0, "spoofed-ip": 9}}},
            {"port": 2, "pod": "default/b", "network": "n", "interface": "net1", "counters": {"drops": {"tagged": 0}}},
        ]);
        let all = rows(&counters, None);
        let seen: Vec<_> = all.iter().map(|row| (row["drops"].as_u64(), row["reason"].as_str())).collect();
        assert_eq!(seen, [(Some(9), Some("spoofed-ip")), (Some(2), Some("tagged")), (Some(0), None)]);
        assert_eq!(rows(&counters, Some("b")).len(), 1);
    }

    #[test]
    fn what_is_not_shown_is_said() {
        assert_eq!(line(&json!({"suppressed": 7, "missed": 1})), "… 8 more drops are not shown");
    }
}
