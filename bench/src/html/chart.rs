//! Horizontal bars: the median as a bar, lowest and highest sample as a line over it.

use std::fmt::Write as _;

use super::group::Group;
use super::{number, text};

/// Columns of the drawing: names, bars, numbers.
const NAMES: f64 = 230.0;
const BARS: f64 = 480.0;
const WIDTH: f64 = 860.0;
/// Height of one bar with the space around it.
const STEP: f64 = 26.0;

/// Height of the drawing.
#[expect(clippy::cast_precision_loss, reason = "a chart has tens of bars")]
pub(super) fn height(group: &Group<'_>) -> f64 {
    group.bars.len() as f64 * STEP
}

/// One chart as inline SVG.
pub(super) fn bars(group: &Group<'_>) -> String {
    // The line of a sample far off (a first round trip) must not push all bars to the left.
    let longest = group.bars.iter().map(|(_, figures)| figures.median.abs()).fold(0.0, f64::max);
    let scale = |value: f64| {
        if longest > 0.0 { (value.abs() / longest * BARS * 0.85).min(BARS) } else { 0.0 }
    };
    let height = height(group);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n",
        text(&group.title)
    );
    let mut top = 0.0;
    for (name, figures) in &group.bars {
        let class = if name.starts_with("plexus") { "own" } else { "bar" };
        let (bar, low, high) = (scale(figures.median), scale(figures.min), scale(figures.max));
        let (middle, baseline) = (top + STEP / 2.0, top + STEP / 2.0 + 4.0);
        let (low, high) = (NAMES + low, NAMES + high);
        // Writing to a string cannot fail.
        writeln!(
            out,
            "<text x=\"0\" y=\"{baseline}\">{}</text><rect class=\"{class}\" x=\"{NAMES}\" y=\"{:.1}\" width=\"{bar:.1}\" \
             height=\"16\"/><line class=\"spread\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>\
             <text x=\"{:.1}\" y=\"{baseline}\">{}</text>",
            text(name),
            top + 5.0,
            NAMES + BARS + 10.0,
            text(&number(figures.median)),
        )
        .ok();
        top += STEP;
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    #[test]
    fn bars_are_in_proportion_and_never_leave_the_drawing() {
        let [long, short] = [&[2e6, 2e9, 2e6][..], &[1e6]].map(|it| Figures::of_rounds(it, "pps").unwrap());
        let svg = bars(&Group { title: "t".into(), bars: vec![("plexus", &long), ("bridge", &short)] });
        assert!(svg.contains("width=\"408.0\"") && svg.contains("width=\"204.0\""), "{svg}");
        assert!(svg.contains("x2=\"710.0\""), "{svg}");
    }
}
