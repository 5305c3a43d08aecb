//! The most telling charts of a report as one SVG file of its own, for pages that cannot hold markup.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{chart, group, text};
use crate::report::Figures;

/// Quantities that are drawn, by benchmark; what is not listed is drawn whole.
const DRAWN: [(&str, &[&str]); 2] = [
    ("forward", &["pod_pod", "uplink_pod_xdp", "uplink_pod_stack", "tcp", "rr", "cost_tc"]),
    (
        "police",
        &[
            "rate_error",
            "first_second_excess",
            "tcp_goodput",
            "latency_under_tcp",
            "tcp_goodput_shaped",
            "latency_shaped",
        ],
    ),
];
const WIDTH: f64 = 860.0;
/// Height of a chart's title with the space above it.
const TITLE: f64 = 40.0;
const STYLE: &str = "text { fill: #1c2430; font: 12px system-ui, sans-serif; } .title { font-size: 15px; font-weight: 600; } \
     .bar { fill: #9fb3c8; } .own { fill: #1f6feb; } .spread { stroke: #1c2430; stroke-width: 1.5; } \
     @media (prefers-color-scheme: dark) { text { fill: #e3e8ee; } .bar { fill: #52657a; } .own { fill: #58a6ff; } \
     .spread { stroke: #e3e8ee; } }";

/// The picture of a benchmark's arms; light and dark.
pub(crate) fn picture(bench: &str, arms: &BTreeMap<String, Figures>) -> String {
    let drawn = DRAWN.iter().find(|(name, _)| *name == bench).map(|(_, quantities)| *quantities);
    let is_drawn = |title: &str| {
        drawn.is_none_or(|quantities| {
            quantities.iter().any(|quantity| title.split([',', ' ']).next() == Some(quantity))
        })
    };
    let (mut body, mut top) = (String::new(), 0.0);
    for group in group::groups(arms).iter().filter(|group| is_drawn(&group.title)) {
        // Writing to a string cannot fail.
        writeln!(
            body,
            "<text class=\"title\" x=\"0\" y=\"{:.0}\">{}</text>",
            top + TITLE - 12.0,
            text(&group.title)
        )
        .ok();
        let height = chart::height(group);
        let place = format!("<svg y=\"{:.0}\" width=\"{WIDTH}\" height=\"{height}\" ", top + TITLE);
        body.push_str(&chart::bars(group).replacen("<svg ", &place, 1));
        top += TITLE + height;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top:.0}\" width=\"{WIDTH}\" height=\"{top:.0}\">\n\
         <style>{STYLE}</style>\n{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_drawn_quantities_one_below_the_other() {
        let arms = ["pod_pod.plexus", "pod_pod.bridge", "rr.plexus", "cpu_pod_pod.plexus"]
            .map(|name| (name.to_owned(), Figures::of_rounds(&[1.0], "u").unwrap()));
        let picture = picture("forward", &BTreeMap::from(arms));
        assert!(picture.contains("viewBox=\"0 0 860 158\""), "{picture}");
        assert!(picture.contains("<svg y=\"132\""), "{picture}");
        assert!(!picture.contains("cpu_pod_pod"));
    }
}
