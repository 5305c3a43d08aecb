//! A report as one page: no script, no font, no picture from elsewhere; light and dark.

mod chart;
mod group;
mod picture;
mod stack;

use std::fmt::Write as _;

use serde_json::Value;

use crate::profile::Profile;
use crate::report::BenchReport;
use crate::wanted;

pub(crate) use picture::picture;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(crate) fn page(report: &BenchReport) -> String {
    let mut body = String::new();
    section(&mut body, "Wanted and seen", &ratios(report));
    for (name, profile) in &report.profiles {
        section(&mut body, &format!("Where it goes: {name}, {}", profile.unit), &profiled(name, profile));
    }
    for group in group::groups(&report.arms) {
        section(&mut body, &group.title, &chart::bars(&group));
    }
    section(&mut body, "Conditions", &conditions(report));
    section(&mut body, "Environment", &environment(report));
    let title = format!("Plexus: bench {}", text(report.bench));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n<h1>{title}</h1>\n{body}</html>\n"
    )
}

fn section(out: &mut String, title: &str, content: &str) {
    if !content.is_empty() {
        // Writing to a string cannot fail.
        writeln!(out, "<section>\n<h2>{}</h2>\n{content}</section>", text(title)).ok();
    }
}

fn ratios(report: &BenchReport) -> String {
    let seen = report.ratios.iter().map(|(name, seen)| {
        let (bound, verdict) = wanted::judge(name, *seen);
        let (class, word) = match verdict {
            Some(true) => ("met", "met"),
            Some(false) => ("missed", "missed"),
            None => ("", ""),
        };
        row(name, &[bound.unwrap_or_default(), number(*seen), word.into()], class)
    });
    let absent = report.absent.iter().map(|(name, reason)| {
        format!("<tr class=\"absent\"><th>{}<td colspan=\"3\">{}\n", text(name), text(reason))
    });
    let rows: String = seen.chain(absent).collect();
    if rows.is_empty() {
        rows
    } else {
        format!("<table>\n<tr><th>ratio<th>wanted<th>seen<th>\n{rows}</table>\n")
    }
}

fn profiled(name: &str, profile: &Profile) -> String {
    let explains = match profile.explains.as_slice() {
        [] => String::new(),
        ratios => {
            format!("<p class=\"missed\">Missed, and explained by this: {}.\n", text(&ratios.join(", ")))
        }
    };
    let what = text(&profile.what);
    format!("<p>{what}\n{explains}{}{}", stack::stacks(name, profile), stack::table(profile))
}

fn conditions(report: &BenchReport) -> String {
    table(report.conditions.iter().map(|(name, value)| (*name, plain(value))))
}

fn environment(report: &BenchReport) -> String {
    match serde_json::to_value(&report.environment) {
        Ok(Value::Object(fields)) => table(fields.iter().map(|(name, value)| (name.as_str(), plain(value)))),
        _ => String::new(),
    }
}

fn table<'a>(rows: impl Iterator<Item = (&'a str, String)>) -> String {
    let rows: String = rows.map(|(name, value)| row(name, &[value], "")).collect();
    if rows.is_empty() { rows } else { format!("<table>\n{rows}</table>\n") }
}

fn row(name: &str, cells: &[String], class: &str) -> String {
    let mut out = format!("<tr class=\"{class}\"><th>{}", text(name));
    for cell in cells {
        out.push_str("<td>");
        out.push_str(&text(cell));
    }
    out.push('\n');
    out
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Three significant digits, and thousands apart.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 1000.0 {
        let digits = if value.abs() < 10.0 { 2 } else { 1 };
        return format!("{value:.digits$}");
    }
    let whole = format!("{value:.0}");
    let first = whole.len() % 3;
    let mut out = whole[..first].to_owned();
    for chunk in whole.as_bytes()[first..].chunks(3) {
        if !out.is_empty() && out != "-" {
            out.push('\u{202f}');
        }
        out.push_str(&String::from_utf8_lossy(chunk));
    }
    out
}

/// Text that is safe between tags and in attributes.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for character in raw.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Row;
    use crate::report::Figures;

    fn report() -> BenchReport {
        let mut report = BenchReport::begin("forward");
        for (arm, median) in [("pod_pod.plexus", 3e6), ("pod_pod.bridge", 1e6)] {
            report.arms.insert(arm.into(), Figures::of_rounds(&[median * 0.9, median], "packets/s").unwrap());
        }
        report.compare("pod_pod_vs_bridge_pps", "pod_pod.plexus", "pod_pod.bridge");
        report.absent.insert("routes_100k_vs_10", "no <routes> yet".into());
        report.conditions.insert("seconds", serde_json::json!(0.5));
        let rows = vec![Row::of("plexus", [("clock".to_owned(), 20.0)])];
        let profile = Profile { what: "by hand".into(), unit: "ns", explains: vec!["features"], rows };
        report.profiles.insert("cost", profile);
        report
    }

    #[test]
    fn a_page_has_every_arm_ratio_and_reason() {
        let page = page(&report());
        for part in [
            "pod_pod_vs_bridge_pps",
            "≥ 1.5",
            "met",
            "plexus",
            "bridge",
            "no &lt;routes&gt; yet",
            "seconds",
            "by hand",
            "clock",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let page = page(&report());
        for mark in ["http://", "https://", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(mark), "{mark}");
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(2.345), "2.35");
        assert_eq!(number(45.67), "45.7");
        assert_eq!(number(1_234_567.0), "1\u{202f}234\u{202f}567");
    }
}
