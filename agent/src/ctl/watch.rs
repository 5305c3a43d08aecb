//! `plexusctl counters --watch`: the counters each second, with rates.

use std::collections::HashMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use plexus_cni::wire::Query;
use serde_json::{Value, json};

use super::{ask, is_coloured, print, table};

const INTERVAL: Duration = Duration::from_secs(1);
/// Clears the screen and goes to its first cell.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Prints until the agent is gone or the reader interrupts: tables on a terminal, else a JSON document a line.
pub(super) fn counters(socket: &Path, as_table: bool) -> anyhow::Result<()> {
    let mut before: HashMap<u64, (u64, u64)> = HashMap::new();
    let mut asked = Instant::now();
    loop {
        let answer = ask::ask(socket, &Query::Counters)?;
        let elapsed = asked.elapsed();
        asked = Instant::now();
        let rates = rates(&answer, &mut before, elapsed);
        if as_table {
            let clear = if is_coloured() { CLEAR } else { "" };
            print(&format!("{clear}{}\n\n{}", table::render(&Query::Counters, &answer), rates.join("\n")))?;
        } else {
            print(&json!({"counters": answer, "intervalMs": elapsed.as_millis()}).to_string())?;
        }
        sleep(INTERVAL);
    }
}

/// A line for each port that carried packets since the last time.
fn rates(answer: &Value, before: &mut HashMap<u64, (u64, u64)>, elapsed: Duration) -> Vec<String> {
    let mut lines = Vec::new();
    for row in answer.as_array().into_iter().flatten() {
        let Some(port) = row["port"].as_u64() else { continue };
        let count = |key: &str| row["counters"][key].as_u64().unwrap_or_default();
        let now = (count("rxPackets") + count("txPackets"), count("rxBytes") + count("txBytes"));
        let Some(last) = before.insert(port, now) else { continue };
        let millis = elapsed.as_millis().max(1);
        let per_second = |now: u64, last: u64| u128::from(now.saturating_sub(last)) * 1000 / millis;
        let (packets, bits) = (per_second(now.0, last.0), per_second(now.1, last.1) * 8);
        if packets > 0 {
            lines.push(format!(
                "port {port}: {packets} packets/s, {}.{:03} Mbit/s",
                bits / 1_000_000,
                bits / 1_000 % 1_000
            ));
        }
    }
    lines
}
