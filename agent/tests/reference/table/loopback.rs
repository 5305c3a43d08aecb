//! `loopback`.

use serde_json::json;

use super::{Ground, Table};
use crate::reference::row::Row;

pub(super) const TABLE: Table = Table { plugin: "loopback", ground: Ground::Namespaces, differs: &[], rows };

fn rows() -> Vec<Row> {
    let plugin = json!({"type": "loopback"});
    vec![
        Row::new("a link that is down", [plugin.clone()]).setup(&["pod: ip link set lo down"]),
        Row::new("a link that is up", [plugin]),
    ]
}
