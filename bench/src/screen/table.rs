//! Aligned tables.

use comfy_table::{Cell, CellAlignment, Table, presets};

/// A table without frames; columns whose heading starts with `>` are aligned to the right.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
    for (index, heading) in headings.iter().enumerate() {
        if let (true, Some(column)) = (heading.starts_with('>'), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in rows {
        table.add_row(row.into_iter().map(Cell::new));
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let text = table(&["arm", ">ms"], [vec!["a".into(), "1.0".into()], vec!["b".into(), "10.0".into()]]);
        let ends: Vec<_> = text.lines().map(|line| line.trim_end().len()).collect();
        assert_eq!(ends[1], ends[2]);
    }
}
