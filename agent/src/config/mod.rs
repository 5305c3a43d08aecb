//! What plexusd is told by a file: its own config, or one of Multus', merged with the command line.
//!
//! ```text
//! file ─ apiVersion, kind? ─ yes ─▶ AgentConfig ──┐
//!              └───────────── no ─▶ DaemonConfig ─┴▶ flags that the command line does not give ─▶ Settings
//! ```
//! A key of the file is a flag of `plexusd run` in camelCase, so both are checked by the same rules.

mod document;
mod file;
mod flags;
mod load;
mod multus;
mod schema;

pub use document::{Document, Unreadable, read};
pub use file::{API_VERSION, AgentConfig, Checked, MetaKeys};
pub use load::{FromFile, command_line};
pub use schema::schema;
