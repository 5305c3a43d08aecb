//! One row on both sides, and the verdict.

use serde_json::{Map, Value, json};

use super::chain::Chain;
use super::difference::{between, idle, unexplained};
use super::names::replace;
use super::place::{Place, Tools, Whose};
use super::row::Row;
use super::{snapshot, table};

/// Compares every row of a table; says all that is wrong at once.
pub(crate) fn compare(plugin: &str, of: &table::Table) {
    let test = format!("{plugin}_does_what_the_reference_plugin_does");
    let Some(tools) = Tools::find_or_skip(&test, plugin) else { return };
    let (mut wrong, mut all) = (Vec::new(), Vec::new());
    for row in (of.rows)() {
        let (mut ours, mut theirs) = (side(&tools, Whose::Ours, &row), side(&tools, Whose::Theirs, &row));
        if ours["add"]["ends"] != theirs["add"]["ends"] {
            // What was attached on one side only is seen by that alone.
            [&mut ours, &mut theirs].into_iter().for_each(forget_attachment);
        }
        let found = between(&ours, &theirs);
        let news = unexplained(&found, &[&row.differs, of.differs].concat());
        let stale = idle(&found, &row.differs);
        println!(
            "{plugin}, {}: {} differences, {} not as explained",
            row.name,
            found.len(),
            news.len() + stale.len()
        );
        wrong.extend(news.into_iter().chain(stale).map(|what| format!("{}: {what}", row.name)));
        all.extend(found);
    }
    wrong.extend(idle(&all, of.differs));
    assert!(wrong.is_empty(), "{plugin} is not as explained:\n  {}", wrong.join("\n  "));
}

/// What can be seen of a row on one side.
fn side(tools: &Tools, whose: Whose, row: &Row) -> Value {
    let place = Place::prepare(tools, whose, row);
    let chain = Chain { place: &place, row };
    let mut seen = json!({"before": snapshot::links(&place)});
    let added = chain.add();
    if let Ok(result) = &added {
        seen["added"] = snapshot::take(&place);
        seen["added"]["result"] = result.clone();
        seen["check"] = ended(chain.check(result));
        let traffic: Map<String, Value> = row
            .probes
            .iter()
            .map(|probe| probe.run(&place))
            .map(|(name, value)| (name.replace('/', "|"), value))
            .collect();
        seen["traffic"] = Value::Object(traffic);
    }
    seen["add"] = ended(added.clone());
    seen["del"] = ended(chain.del(added.as_ref().ok()));
    seen["deleted"] = snapshot::take(&place);
    let asked = format!("{:?} {:?} {} {:?}", row.plugins, row.runtime_config, row.args, row.setup);
    let mut seen = replace(&seen, &asked);
    // It is there for the names alone: two hosts are prepared alike.
    seen.as_object_mut().unwrap().remove("before");
    seen
}

fn forget_attachment(seen: &mut Value) {
    for phase in ["added", "check", "traffic"] {
        seen[phase] = Value::Null;
    }
}

fn ended(outcome: Result<Value, Value>) -> Value {
    match outcome {
        Ok(_) => json!({"ends": "in success"}),
        Err(mut error) => {
            error["ends"] = json!("in failure");
            error
        }
    }
}
