//! Every native plugin has a section, and every key a verdict.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use plexus_agent::ipam::Ipam;
use plexus_agent::plugin::Builtin;
use plexus_cni::lint::Plugins as _;

use crate::keys::{EXECUTED, PLUGINS};

/// Types that no standard plugin has, whose tables say something else of a key.
const OWN: [&str; 2] = ["fastpath", "passthru"];
/// The words of the issue.
const VERDICTS: [&str; 3] = ["covered", "changed", "not covered"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The types that are served natively, as `plugin::native` lists them.
fn native_types() -> Vec<String> {
    let source = read("agent/src/plugin/mod.rs");
    let arms = source.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => Some(&"));
    arms.map(|(name, _)| name.to_owned()).collect()
}

/// The sections of docs/plugins.md by the type that their title begins with.
fn sections() -> HashMap<String, String> {
    let text = read("docs/plugins.md");
    let sections = text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
    let type_of = |title: &str| title.split_whitespace().next().unwrap_or_default().to_owned();
    sections.map(|(title, body)| (type_of(title), body.to_owned())).collect()
}

/// The verdict on each key: a row's first cell names keys in backticks, its second has the verdict.
fn verdicts(section: &str) -> HashMap<String, String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells =
        rows.filter_map(|row| Some((row.split_once(" | ")?.0.to_owned(), row.split(" | ").nth(1)?.trim())));
    let keyed = cells.flat_map(|(cell, verdict)| {
        let words = cell.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        let keys: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
        keys.into_iter().map(move |key| (key, verdict.to_owned()))
    });
    keyed.collect()
}

#[test]
fn every_plugin_and_key_has_a_verdict_in_the_document() {
    let sections = sections();
    let native = native_types();
    assert!(native.contains(&"macvlan".to_owned()), "the list of native types is not where this test looks");
    let builtin = Builtin { ipam_data_dirs: Vec::<PathBuf>::new() };
    let mut wrong = Vec::new();
    let of_ipam =
        PLUGINS.iter().map(|(plugin, _)| (*plugin).to_owned()).filter(|name| Ipam::native(name).is_some());
    for plugin in &native.into_iter().chain(of_ipam).collect::<Vec<_>>() {
        let Some(section) = sections.get(plugin) else {
            wrong.push(format!("{plugin} is native and has no section"));
            continue;
        };
        let verdicts = verdicts(section);
        let standard =
            PLUGINS.iter().find(|(name, _)| name == plugin).map(|(_, keys)| *keys).unwrap_or_default();
        for key in standard.iter().chain(builtin.keys(plugin)) {
            match verdicts.get(*key) {
                None => wrong.push(format!("{plugin}: key {key} has no row")),
                Some(verdict) if !OWN.contains(&&**plugin) && !VERDICTS.contains(&&**verdict) => {
                    wrong.push(format!("{plugin}: {verdict:?} is no verdict on {key}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "docs/plugins.md:\n  {}", wrong.join("\n  "));
}

#[test]
fn plugins_that_are_executed_are_named() {
    let section = sections().remove("Executed").unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let native = native_types();
    let others = PLUGINS.iter().map(|(plugin, _)| *plugin).filter(|plugin| Ipam::native(plugin).is_none());
    for plugin in
        others.filter(|plugin| !native.iter().any(|native| native == plugin)).chain(EXECUTED.iter().copied())
    {
        assert!(
            rows.iter().any(|row| row.contains(&format!("`{plugin}`"))),
            "docs/plugins.md does not say what becomes of {plugin}"
        );
    }
}
