//! Stacked bars: each whole as a bar of its parts, with a table of the numbers below.

use std::fmt::Write as _;

use super::{number, text};
use crate::profile::{Profile, Row};

/// Columns of the drawing: names, bars, numbers.
const NAMES: f64 = 230.0;
const BARS: f64 = 540.0;
const WIDTH: f64 = 860.0;
/// Height of one bar with the space around it.
const STEP: f64 = 30.0;
/// Colours of the style sheet, which repeat after that.
const COLOURS: usize = 8;

/// One chart as SVG; a part below zero is not drawn.
pub(super) fn stacks(title: &str, profile: &Profile) -> String {
    let parts = part_names(profile);
    let positive = |row: &Row| row.parts.iter().map(|part| part.value.max(0.0)).sum::<f64>();
    let longest = profile.rows.iter().map(positive).fold(0.0, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a chart has tens of bars")]
    let height = profile.rows.len() as f64 * STEP;
    let mut out =
        format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n", text(title));
    let mut top = 0.0;
    for row in &profile.rows {
        let baseline = top + STEP / 2.0 + 4.0;
        // Writing to a string cannot fail.
        write!(out, "<text x=\"0\" y=\"{baseline}\">{}</text>", text(&row.name)).ok();
        let mut left = NAMES;
        for part in &row.parts {
            let width = if longest > 0.0 { part.value.max(0.0) / longest * BARS } else { 0.0 };
            let colour = parts.iter().position(|name| *name == part.name).unwrap_or_default() % COLOURS;
            write!(
                out,
                "<rect class=\"part{colour}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"20\"><title>{}: {}</title></rect>",
                top + 5.0,
                text(&part.name),
                number(part.value),
            )
            .ok();
            left += width;
        }
        writeln!(out, "<text x=\"{:.1}\" y=\"{baseline}\">{}</text>", NAMES + BARS + 10.0, number(row.total))
            .ok();
        top += STEP;
    }
    out.push_str("</svg>\n");
    out
}

/// The numbers: a line for each part, a column for each whole.
pub(super) fn table(profile: &Profile) -> String {
    let mut out = format!("<table>\n<tr><th>{}", text(profile.unit));
    for row in &profile.rows {
        write!(out, "<th>{}", text(&row.name)).ok();
    }
    out.push('\n');
    for (index, name) in part_names(profile).iter().enumerate() {
        write!(out, "<tr><th><span class=\"key part{}\"></span>{}", index % COLOURS, text(name)).ok();
        for row in &profile.rows {
            let value = row.parts.iter().find(|part| part.name == *name).map(|part| number(part.value));
            write!(out, "<td>{}", value.unwrap_or_default()).ok();
        }
        out.push('\n');
    }
    out.push_str("</table>\n");
    out
}

/// Every part's name once, in the order in which they come.
fn part_names(profile: &Profile) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for part in profile.rows.iter().flat_map(|row| &row.parts) {
        if !names.contains(&part.name.as_str()) {
            names.push(&part.name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_one_after_the_other_and_in_the_table() {
        let part = |name: &str, value| (name.to_owned(), value);
        let rows = vec![
            Row::of("plexus", [part("a <b>", 30.0), part("clock", 60.0)]),
            Row::of("least", [part("clock", -1.0)]),
        ];
        let profile = Profile { what: String::new(), unit: "ns", explains: Vec::new(), rows };
        let svg = stacks("t", &profile);
        assert!(svg.contains("x=\"230.0\" y=\"5.0\" width=\"180.0\""), "{svg}");
        assert!(svg.contains("class=\"part1\" x=\"410.0\" y=\"5.0\" width=\"360.0\""), "{svg}");
        assert!(svg.contains("width=\"0.0\""), "a negative part has no width: {svg}");
        assert!(table(&profile).contains("a &lt;b&gt;<td>30.0<td>\n"), "{}", table(&profile));
    }
}
