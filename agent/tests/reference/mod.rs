//! Each native plugin beside the reference plugin of its type: the same chain on two identical throw-away hosts, once
//! through the shim and once by the reference binaries; then everything that can be seen of it is compared.
//!
//! ```text
//!   row ──▶ place (ours)      ADD CHECK traffic DEL ──▶ what can be seen ─┐
//!       └─▶ place (theirs)    ADD CHECK traffic DEL ──▶ what can be seen ─┴▶ differences ⟷ those explained
//! ```
//! A difference without an explanation fails, and so does an explanation without a difference. The explanations are
//! the table of docs/differences-from-plugins.md.

pub(crate) mod chain;
pub(crate) mod difference;
pub(crate) mod document;
pub(crate) mod kernel;
pub(crate) mod names;
pub(crate) mod place;
pub(crate) mod probe;
pub(crate) mod row;
pub(crate) mod snapshot;
pub(crate) mod table;
pub(crate) mod trial;
