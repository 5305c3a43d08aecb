//! `plexus-bench publish`: reports into the checkout, and their charts and ratios into its README.

mod published;
mod section;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::args::PublishOptions;
use crate::html;
use crate::report::write_text;
use crate::screen::Screen;
use published::Published;

/// Copies each report to `DIR/BENCH.json`, draws `DIR/BENCH.svg`, and writes the README's section anew from all that are in DIR.
pub(crate) fn verb(options: &PublishOptions, screen: &Screen) -> Result<ExitCode> {
    fs::create_dir_all(&options.to).with_context(|| format!("cannot create {}", options.to.display()))?;
    for path in &options.reports {
        let (text, report) = Published::read(path)?;
        ensure!(
            section::BENCHES.contains(&report.bench.as_str()),
            "{} is a report of {:?}; the README shows {}",
            path.display(),
            report.bench,
            section::BENCHES.join(" and ")
        );
        let to = options.to.join(&report.bench);
        write_text(&to.with_extension("json"), &text)?;
        write_text(&to.with_extension("svg"), &html::picture(&report.bench, &report.arms))?;
    }
    let readme = beside_or_above(&options.to)?;
    let text = fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let new = section::replace(&text, &section::of(&all(&options.to)?))
        .with_context(|| format!("{} has no lines {:?}", readme.display(), section::MARKS))?;
    write_text(&readme, &new)?;
    screen.note(&format!("published: {}, {}", options.to.display(), readme.display()));
    Ok(ExitCode::SUCCESS)
}

/// The reports that are in a directory, in the order of the README.
fn all(dir: &Path) -> Result<Vec<Published>> {
    let paths = section::BENCHES.iter().map(|bench| dir.join(bench).with_extension("json"));
    paths.filter(|path| path.exists()).map(|path| Ok(Published::read(&path)?.1)).collect()
}

/// The README of the checkout that the directory is in.
fn beside_or_above(dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir).with_context(|| format!("{} is no usable path", dir.display()))?;
    let found = dir.ancestors().skip(1).map(|above| above.join("README.md")).find(|path| path.is_file());
    found.with_context(|| format!("no README.md above {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_shows_what_the_committed_reports_say() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let readme = fs::read_to_string(checkout.join("README.md")).unwrap();
        let reports = all(&checkout.join("docs/bench")).unwrap();
        assert!(!reports.is_empty(), "no report is committed");
        let wanted = section::replace(&readme, &section::of(&reports)).unwrap();
        assert!(readme == wanted, "run `plexus-bench publish --to docs/bench`; it would be:\n{wanted}");
    }

    #[test]
    fn the_committed_charts_are_those_of_the_committed_reports() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/bench");
        for report in all(&dir).unwrap() {
            let drawn = fs::read_to_string(dir.join(&report.bench).with_extension("svg")).unwrap();
            assert!(drawn == html::picture(&report.bench, &report.arms), "{}", report.bench);
        }
    }
}
