//! The table of explained differences, as it stands in docs/differences-from-plugins.md.

use std::collections::BTreeMap;

use super::table::TABLES;

/// One line for each plugin, place and reason, with how many rows show it.
pub(crate) fn differences() -> String {
    let mut lines: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for table in TABLES {
        for difference in table.differs {
            lines.insert((table.plugin, difference.path, difference.why), vec!["every row"]);
        }
        for row in (table.rows)() {
            for difference in row.differs {
                lines.entry((table.plugin, difference.path, difference.why)).or_default().push(row.name);
            }
        }
    }
    let shown = lines.into_iter().map(|((plugin, path, why), rows)| {
        // A bar would end the cell, in code too.
        format!("| {plugin} | {} | `{}` | {why} |\n", rows.join("; "), path.replace('|', "\\|"))
    });
    let head = "| plugin | rows | where | why |\n|---|---|---|---|\n".to_owned();
    shown.fold(head, |text, line| text + &line)
}
