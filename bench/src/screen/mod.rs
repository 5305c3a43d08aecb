//! What a person sees: steps with a verdict, progress while they run, tables, colours only on a terminal.

mod paint;
mod table;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use paint::Paint;
pub(crate) use table::table;

/// Columns of an expectation, before what was seen.
const WHAT_WIDTH: usize = 56;

/// Standard output, as a terminal or as a file.
#[derive(Debug)]
pub(crate) struct Screen {
    paint: Paint,
    is_terminal: bool,
    started: Instant,
    failures: Vec<String>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let paint = Paint { enabled: is_terminal && std::env::var_os("NO_COLOR").is_none() };
        Self { paint, is_terminal, started: Instant::now(), failures: Vec::new() }
    }

    /// The colours in use.
    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    /// A heading over a group of steps.
    pub(crate) fn heading(&self, text: &str) {
        println!("\n{}", self.paint.bold(text));
    }

    /// An indented block, such as a table.
    pub(crate) fn block(&self, text: &str) {
        let indent = self.paint.dim("│");
        for line in text.trim_end().lines() {
            println!("    {indent} {line}");
        }
    }

    /// A remark without a verdict.
    pub(crate) fn note(&self, text: &str) {
        println!("    {}", self.paint.dim(text));
    }

    /// Tells whether an expectation held, and remembers it if not.
    pub(crate) fn expect(&mut self, held: bool, what: &str, detail: &str) {
        let mark = if held { self.paint.green("✓") } else { self.paint.red("✗") };
        println!("  {mark} {what:<WHAT_WIDTH$} {}", self.paint.dim(detail));
        if !held {
            self.failures.push(format!("{what}: {detail}"));
        }
    }

    /// Expectations that did not hold.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Shows that something takes a while; on a terminal with a bar (`length` > 0) or a spinner, else one line.
    pub(crate) fn progress(&self, text: &str, length: u64) -> ProgressBar {
        if !self.is_terminal {
            println!("  … {text}");
            return ProgressBar::hidden();
        }
        let bar = if length == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(length) };
        let template = if length == 0 {
            "  {spinner} {msg} {elapsed}"
        } else {
            "  {spinner} {msg} {bar:30} {pos}/{len} {eta}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(text.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    /// The last line: whether everything held, and how long it took.
    pub(crate) fn verdict(&self) {
        let seconds = self.elapsed().as_secs_f64();
        match self.failures.len() {
            0 => println!("\n{} everything as expected, in {seconds:.1} s", self.paint.green("✓")),
            count => {
                println!("\n{} {count} not as expected, in {seconds:.1} s", self.paint.red("✗"));
                for failure in &self.failures {
                    println!("    {failure}");
                }
            }
        }
    }

    /// The end of a run that could not go on.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        eprintln!("{} {error}", self.paint.red("error:"));
        for cause in error.chain().skip(1) {
            eprintln!("  because {cause}");
        }
    }
}
