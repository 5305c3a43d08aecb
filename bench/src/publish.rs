//! The end of every benchmark: figures on the screen, and the files that were asked for.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::report::{BenchReport, write, write_text};
use crate::screen::Screen;
use crate::{html, summary};

/// Shows the figures; writes `json` and `page` where given.
pub(crate) fn publish(
    report: &BenchReport,
    json: Option<&Path>,
    page: Option<&Path>,
    screen: &Screen,
) -> Result<()> {
    summary::show(report, screen);
    if json == Some(Path::new("-")) {
        println!("{}", serde_json::to_string(report).context("cannot print the report")?);
    } else if let Some(path) = json {
        write(path, report).context("the figures above are not saved")?;
        screen.note(&format!("report: {}", path.display()));
    }
    if let Some(path) = page {
        write_text(path, &html::page(report)).context("the page is not saved")?;
        screen.note(&format!("page: {}", path.display()));
    }
    Ok(())
}
